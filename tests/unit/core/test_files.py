"""Files are whole or absent, whatever happens while they are written."""

import json
import os
import stat
from pathlib import Path

import pytest

from tallystick.components.core.errors import ExitCode, StorageError
from tallystick.components.core.files import (
    canonical_json,
    folder_written_whole,
    sha256_of_bytes,
    sha256_of_file,
    write_bytes,
    write_json,
    write_text,
)

# SHA-256 of "abc": FIPS 180-4, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_file_is_written_with_its_folders_and_is_readable_by_all(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b.txt", b"abc")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"abc"
    assert stat.S_IMODE((tmp_path / "a" / "b.txt").stat().st_mode) == 0o644


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\)") as caught:
        write_text(tmp_path / "a", "new")
    assert caught.value.exit_code is ExitCode.BROKE
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


def test_file_in_place_of_a_folder_is_said(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "a" / "b", "")


def test_canonical_json_is_the_same_for_equal_values_and_refuses_nan() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_json_reads_back_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1, 2]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1, 2]}
    assert text.endswith("}\n")


def test_digests_are_sha256(tmp_path: Path) -> None:
    write_bytes(tmp_path / "abc", b"abc")
    assert sha256_of_bytes(b"abc") == sha256_of_file(tmp_path / "abc") == ABC
    large = b"x" * (3 << 20)
    write_bytes(tmp_path / "large", large)
    assert sha256_of_file(tmp_path / "large") == sha256_of_bytes(large)


def test_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    with folder_written_whole(tmp_path / "f") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "f").exists()
    with folder_written_whole(tmp_path / "f") as folder:
        (folder / "b").write_text("2")
    assert [entry.name for entry in (tmp_path / "f").iterdir()] == ["b"]


def test_folder_vanishes_when_its_block_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), folder_written_whole(tmp_path / "f") as folder:
        (folder / "a").write_text("1")
        raise KeyError
    assert list(tmp_path.iterdir()) == []

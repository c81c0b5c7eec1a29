"""The Kubeflow component around the logic: what it writes when the gate opens, refuses, or is given bad input."""

import json
from pathlib import Path

import pandas as pd
import pytest
from kfp import dsl

from tallystick.components.core.files import sha256_of_file
from tallystick.components.core.journal import JOURNAL_VARIABLE, read_events
from tallystick.components.core.profiles import parse_profile
from tallystick.components.data_validation.component import data_validation
from tests.support import lending


def call(folder: Path, source: Path, **changes: str) -> tuple[bool, dsl.Dataset]:
    dataset = dsl.Dataset(uri=str(folder / "dataset"))
    arguments = {
        "data": str(source),
        "contract_yaml": lending.CONTRACT,
        "policy_yaml": lending.POLICY,
        "evidence": str(folder / "evidence"),
        "run_id": "run-1",
        "reference_profile": "",
        **changes,
    }
    passed = data_validation.python_func(
        **arguments,
        dataset=dataset,
        profile=dsl.Artifact(uri=str(folder / "profile")),
        report=dsl.HTML(uri=str(folder / "report")),
    )
    return passed, dataset


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(JOURNAL_VARIABLE, str(tmp_path / "journal.jsonl"))
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def statement(out: Path) -> dict[str, object]:
    value: dict[str, object] = json.loads((out / "evidence" / "run-1" / "data_validation.json").read_text())
    return value


def test_good_data_is_passed_on_with_its_digests(out: Path, tmp_path: Path) -> None:
    data, *_ = lending.write_files(tmp_path / "in")
    passed, dataset = call(out, data)
    assert passed is True
    assert dataset.metadata["sha256"] == sha256_of_file(data)
    assert dataset.metadata["dataset_sha256"] == sha256_of_file(out / "dataset")
    assert len(pd.read_parquet(out / "dataset")) == 1500
    assert parse_profile((out / "profile").read_text(), "profile").rows == 1500
    assert (out / "report").read_text().startswith("<!doctype html>")
    said = statement(out)
    assert said["subject"] == [{"name": str(data), "digest": {"sha256": sha256_of_file(data)}}]
    predicate = said["predicate"]
    assert isinstance(predicate, dict)
    assert predicate["outcome"] == "pass"
    assert predicate["details"]["dataset_sha256"] == sha256_of_file(out / "dataset")
    kinds = [event["kind"] for event in read_events(tmp_path / "journal.jsonl")]
    assert kinds == ["started", "progress", "progress", "verdict", "finished"]


def test_refused_data_leaves_a_report_and_a_statement_and_no_data_set(out: Path, tmp_path: Path) -> None:
    data, *_ = lending.write_files(tmp_path / "in", late_payments=-1)
    passed, dataset = call(out, data)
    assert passed is False
    assert "dataset_sha256" not in dataset.metadata
    assert sorted(entry.name for entry in out.iterdir()) == ["evidence", "report"]
    predicate = statement(out)["predicate"]
    assert isinstance(predicate, dict)
    assert predicate["outcome"] == "fail"


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "nowhere.csv"},
        {"contract_yaml": lending.CONTRACT.replace("minimum: 18", "minium: 18")},
        {"policy_yaml": lending.POLICY.replace("minimum: 0.8", "minimum: 8")},
        {"reference_profile": "nowhere.json"},
    ],
)
def test_bad_input_exits_with_2_one_line_and_no_output(
    out: Path, tmp_path: Path, changes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    data, *_ = lending.write_files(tmp_path / "in")
    with pytest.raises(SystemExit) as caught:
        call(out, data, **changes)
    assert caught.value.code == 2
    assert list(out.iterdir()) == []
    assert capsys.readouterr().err.count("\n") == 1
    last = read_events(tmp_path / "journal.jsonl")[-1]
    assert (last["kind"], last["reason"], last["exit_code"]) == ("failed", "bad_input", 2)


def test_full_disk_or_read_only_folder_is_said_and_exits_with_1(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, *_ = lending.write_files(tmp_path / "in")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SystemExit) as caught:
        call(out, data)
    assert caught.value.code == 1
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert list(out.iterdir()) == []

"""Files of all kinds: what can be read is read as it stands, what cannot is one message and exit code 2."""

import gzip
import hashlib
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.data_validation.reading import open_source, read_cells

PLAIN = b"age,name\n41,Ana\n7,Bo\n"


def read(path: Path) -> pd.DataFrame:
    return read_cells(open_source(str(path), path.parent))


def refusal(folder: Path, name: str, content: bytes) -> InputError:
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert str(path) in str(caught.value)
    assert sorted(entry.name for entry in folder.iterdir()) == [name]
    return caught.value


def test_csv_cells_are_text_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'age,name\n 041,"Bo, ""Jr"""\n,NA\n')
    assert read(path).to_dict("list") == {"age": [" 041", ""], "name": ['Bo, "Jr"', "NA"]}


def test_source_carries_the_digest_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(PLAIN)
    source = open_source(str(path), tmp_path)
    assert source.sha256 == hashlib.sha256(PLAIN).hexdigest()
    assert source.name == str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("crlf.csv", PLAIN.replace(b"\n", b"\r\n")),
        ("bom.csv", b"\xef\xbb\xbf" + PLAIN),
        ("blank_lines.csv", b"\n" + PLAIN + b"\n\n"),
        ("squeezed.csv.gz", gzip.compress(PLAIN)),
        ("UPPER.CSV", PLAIN),
    ],
)
def test_the_same_table_in_other_clothes(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name).to_dict("list") == {"age": ["41", "7"], "name": ["Ana", "Bo"]}


def test_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(PLAIN)
    assert len(read_cells(open_source(f"file://{tmp_path}/a.csv", tmp_path))) == 2


def test_parquet_keeps_its_types_and_drops_pandas_row_labels(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": [41, 7], "name": ["Ana", "Bo"]}, index=[10, 20])
    table.to_parquet(tmp_path / "a.parquet")
    cells = read(tmp_path / "a.parquet")
    assert list(cells.columns) == ["age", "name"]
    assert cells["age"].tolist() == [41, 7]


def test_parquet_types_of_other_tools_are_read_as_plain_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "decimal": pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
            "dictionary": pa.array(["a", "b"]).dictionary_encode(),
            "list": [[1, 2], None],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    cells = read(tmp_path / "a.parquet")
    assert cells["decimal"].tolist()[0] == 1.25
    assert cells["decimal"].isna().tolist() == [False, True]
    assert cells["dictionary"].tolist() == ["a", "b"]
    assert cells["list"].tolist()[0] == "[1, 2]"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"age,name\n", "has a header and no rows"),
        (b"age,name\n41,Ana\n7\n", "row 2: has 1 field: the file may be cut off; allowed: 2 fields"),
        (
            b"age,rate\n41,0.84\n7,0.1",
            "ends in the middle of a line, '7,0.1': it may be cut off; allowed: a line break",
        ),
        (b"age,name\n41,Ana,x\n", "row 1: has 3 fields: a text with a comma must stand in quotes; allowed: 2 fields"),
        (b'age,name\n41,"Ana\n7,Bo\n', "a quoted text is never closed: the file may be cut off"),
        (b"age;name\n41;Ana\n", "separated by semicolons; allowed: columns separated by commas"),
        (b"age\tname\n41\tAna\n", "separated by tabs; allowed: columns separated by commas"),
        (b"age,name\n41,Jos\xe9\n", "is not UTF-8 text (byte 0xe9 in line 2; it may be Latin-1 or binary)"),
        ("age,name\n41,Ana\n".encode("utf-16"), "text in UTF-16: save it as UTF-8"),
        (bytes(range(256)) * 8, "is not UTF-8 text"),
        (b"age,name\n41,\x00\n", "a zero byte stands in line 2"),
        (b"PK\x03\x04" + bytes(20), "an Excel workbook: export it as CSV"),
        (gzip.compress(PLAIN), "compressed by gzip: name it .csv.gz"),
        (b"age,age\n41,7\n", "'age' stands twice, as columns 1 and 2; allowed: each name once"),
        (b"age,\n41,7\n", "column 2 has no name"),
    ],
)
def test_unreadable_csv_is_bad_input(tmp_path: Path, content: bytes, says: str) -> None:
    assert says in str(refusal(tmp_path, "a.csv", content))


@pytest.mark.parametrize("kept", range(1, 40))
def test_csv_cut_off_anywhere_but_after_a_row_is_bad_input(tmp_path: Path, kept: int) -> None:
    content = b"age,rate\n41,0.845\n7,0.175\n19,0.25\n63,0.5\n"
    if content[:kept].endswith(b"\n") and kept > len(b"age,rate\n"):
        (tmp_path / "a.csv").write_bytes(content[:kept])
        assert len(read(tmp_path / "a.csv")) == content[:kept].count(b"\n") - 1
    else:
        refusal(tmp_path, "a.csv", content[:kept])


def test_cut_off_gzip_is_bad_input(tmp_path: Path) -> None:
    content = gzip.compress(b"age,name\n" + b"41,Ana\n" * 500)
    assert "is cut off" in str(refusal(tmp_path, "a.csv.gz", content[:-12]))


@pytest.mark.parametrize("kept", [0, 3, 100, -1, -9])
def test_cut_off_parquet_is_bad_input(tmp_path: Path, kept: int) -> None:
    whole = tmp_path / "whole.parquet"
    pd.DataFrame({"age": range(500)}).to_parquet(whole)
    content = whole.read_bytes()
    whole.unlink()
    message = str(refusal(tmp_path, "a.parquet", content[:kept]))
    assert ("is empty" if kept == 0 else "is cut off or no Parquet file") in message


def test_garbage_in_the_middle_of_parquet_is_bad_input(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pd.DataFrame({"age": range(5000)}).to_parquet(whole)
    content = bytearray(whole.read_bytes())
    whole.unlink()
    content[4:400] = b"\xff" * 396
    assert "is cut off or no Parquet file" in str(refusal(tmp_path, "a.parquet", bytes(content)))


def test_parquet_named_csv_is_told_apart(tmp_path: Path) -> None:
    pd.DataFrame({"age": [1]}).to_parquet(tmp_path / "b.parquet")
    content = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").unlink()
    assert "a Parquet file: name it .parquet" in str(refusal(tmp_path, "a.csv", content))


def test_other_endings_name_the_ones_allowed(tmp_path: Path) -> None:
    message = str(refusal(tmp_path, "a.xlsx", PLAIN))
    assert "ends in .xlsx; allowed: .csv, .csv.gz or .parquet" in message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "data: is empty; allowed: a path, s3://bucket/key or example:NAME"),
        ("   ", "data: is empty"),
        ("nowhere.csv", "nowhere.csv: no such file"),
        ("http://host/a.csv", "unknown scheme http://; allowed: a path, file:// or s3://"),
        ("s3://bucket", "names no object; allowed: s3://bucket/key"),
        ("example:boston", "is no example; allowed: example:loanapp, example:uci-credit-default"),
    ],
)
def test_data_that_is_not_there(tmp_path: Path, data: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        open_source(data, tmp_path)
    assert says in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_folder_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        open_source(str(tmp_path), tmp_path)


def test_s3_without_an_endpoint_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(InputError, match=r"AWS_ENDPOINT_URL: is not set.*allowed: the object store's address"):
        open_source("s3://bucket/a.csv", tmp_path)
    assert list(tmp_path.iterdir()) == []

"""Brings the data here and reads its cells, exactly as they stand: nothing is guessed and nothing is repaired.

A CSV is read as text, cell by cell, because a reader that guesses types turns one bad cell into a column of text
and a short row into missing values. What cannot be read as one table is bad input, said with the line.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tallystick.components.core.errors import InputError
from tallystick.components.core.files import sha256_of_file
from tallystick.components.core.storage import fetch_file
from tallystick.components.data_validation.examples import SCHEME, write_example

ENDINGS = ".csv, .csv.gz or .parquet"
_BLOCK_BYTES = 1 << 26
_INDEX_COLUMN = re.compile(r"__index_level_\d+__")
_SIGNATURES = {
    b"PAR1": "a Parquet file: name it .parquet",
    b"PK\x03\x04": "a zip archive or an Excel workbook: export it as CSV",
    b"\x1f\x8b": "compressed by gzip: name it .csv.gz",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: export it as CSV",
    b"\xff\xfe": "text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "text in UTF-16: save it as UTF-8",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file of data on this machine: `name` is what the user called it, `sha256` is of its bytes."""

    name: str
    path: Path
    sha256: str


def open_source(data: str, folder: Path) -> Source:
    """Bring the data here.

    Parameters
    ----------
    data
        A path, ``file://``, ``s3://bucket/key`` or ``example:NAME``.
    folder
        Where a file that is not on this machine may be put; the caller removes it.

    Raises
    ------
    InputError
        Nothing there, or a name that cannot be understood.
    StorageError
        A bucket that cannot be read.
    """
    if not data.strip():
        raise InputError("data", "is empty", "a path, s3://bucket/key or example:NAME")
    if data.startswith(SCHEME):
        path = write_example(data, folder)
    else:
        path = fetch_file(data, folder / Path(urlsplit(data).path).name)
    return Source(name=data, path=path, sha256=_digest(path, data))


def _digest(path: Path, name: str) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise InputError(name, f"cannot be read ({error.strerror})", "a file that you may read") from error


def read_cells(source: Source) -> pd.DataFrame:
    """Read all columns: of a CSV as text, of a Parquet file by its own types.

    Raises
    ------
    InputError
        An unknown ending, no rows, damaged or cut off, not UTF-8, another separator than a comma, a row with
        more or fewer fields than the header, a header with an empty or repeated name.
    """
    lower = source.path.name.lower()
    if lower.endswith(".parquet"):
        table = _read_parquet(source)
    elif lower.endswith((".csv", ".csv.gz")):
        table = _read_csv(source, compressed=lower.endswith(".gz"))
    else:
        raise InputError(source.name, f"ends in {source.path.suffix or 'nothing'}", ENDINGS)
    if table.empty:
        raise InputError(source.name, "has a header and no rows", "at least one row")
    return table


def _read_parquet(source: Source) -> pd.DataFrame:
    if source.path.stat().st_size == 0:
        raise InputError(source.name, "is empty", "a Parquet file with at least one row")
    try:
        table = pa.parquet.ParquetFile(source.path).read()
        _check_header(list(table.column_names), source.name)
        frame: pd.DataFrame = _plain(table).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        problem = str(error).split("\n")[0]
        raise InputError(
            source.name, f"is cut off or no Parquet file ({problem})", "a whole Parquet file", "export it again"
        ) from error
    # pandas writes its row labels as columns of this name: they are none of the data.
    return frame.drop(columns=[name for name in frame.columns if _INDEX_COLUMN.fullmatch(str(name))])


def _plain(table: pa.Table) -> pa.Table:
    """Decimals as floats, dictionaries as their values, and lists and the like as the text of what they hold."""
    for place, field in enumerate(table.schema):
        column = table.column(place)
        if pa.types.is_decimal(field.type):
            column = column.cast(pa.float64())
        elif pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        elif pa.types.is_nested(field.type):
            column = pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
        else:
            continue
        table = table.set_column(place, field.name, column)
    return table


def _read_csv(source: Source, *, compressed: bool) -> pd.DataFrame:
    content = _text_bytes(source, compressed=compressed)
    header = _header(content, source.name)
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            # One thread: only then does a message name the row.
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _row_problem(source.name, str(error), header) from error
    frame: pd.DataFrame = table.to_pandas()
    return frame.astype(object)


def _text_bytes(source: Source, *, compressed: bool) -> bytes:
    """The file's bytes, known to be UTF-8 text with closed quotes and a last line break, without a byte order mark.

    Half a number is a number too: only the missing line break tells a file that was cut off in its last cell.
    """
    name = source.name
    content = source.path.read_bytes()
    if compressed:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                name, f"is cut off or not compressed by gzip ({error})", "a whole .csv.gz", "export it again"
            ) from error
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise InputError(name, "is empty", "a header and at least one row")
    for signature, meaning in _SIGNATURES.items():
        if content.startswith(signature):
            raise InputError(name, f"is no CSV but {meaning}", ENDINGS)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            name,
            f"is not UTF-8 text (byte 0x{content[error.start]:02x} in line {line}; it may be Latin-1 or binary)",
            "CSV in UTF-8",
            "save it as UTF-8",
        ) from error
    if b"\x00" in content:
        line = content.count(b"\n", 0, content.index(b"\x00")) + 1
        raise InputError(name, f"is no text: a zero byte stands in line {line}", "CSV in UTF-8")
    if not content.endswith((b"\n", b"\r")):
        raise InputError(
            name,
            f"ends in the middle of a line, {_cut(content.splitlines()[-1].decode())!r}: it may be cut off",
            "a line break after the last row",
            "export it again, or add the line break if the row is whole",
        )
    if content.count(b'"') % 2:
        raise InputError(
            name, "a quoted text is never closed: the file may be cut off", 'an even number of "', "export it again"
        )
    return content


def _header(content: bytes, name: str) -> list[str]:
    import csv

    lines = (line for line in content.decode().splitlines() if line.strip())
    header = next(csv.reader(lines))
    if len(header) == 1:
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
            if separator in header[0]:
                raise InputError(
                    f"{name}: header",
                    f"is one column, {_cut(header[0])!r}: the columns seem to be separated by {word}",
                    "columns separated by commas, numbers with a decimal point",
                    "save it so",
                )
    _check_header(header, name)
    return header


def _check_header(header: list[str], name: str) -> None:
    seen: dict[str, int] = {}
    for place, column in enumerate(header, start=1):
        if not column.strip():
            raise InputError(f"{name}: header", f"column {place} has no name", "a name for every column")
        if column in seen:
            raise InputError(
                f"{name}: header",
                f"{column!r} stands twice, as columns {seen[column]} and {place}",
                "each name once",
            )
        seen[column] = place


def _row_problem(name: str, message: str, header: list[str]) -> InputError:
    found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if not found:
        return InputError(name, f"cannot be read as CSV ({message.splitlines()[0]})", "CSV in UTF-8", "export it again")
    row, fields = int(found[1]) - 1, int(found[3])
    why = "the file may be cut off" if fields < len(header) else "a text with a comma must stand in quotes"
    return InputError(
        f"{name}: row {row}",
        f"has {fields} field{'s' * (fields != 1)}: {why}",
        f"{len(header)} fields, as in the header",
        "export it again" if fields < len(header) else "",
    )


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."

"""Turns cells into the types that the contract names, or says which cells are of another type.

Only what a cell *is* gets decided here; whether its value is allowed is for the schema. A cell is never mended:
text that is no number stays an error, and a column that the contract does not name is never guessed at.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tallystick.components.core.contract import Column, Contract, Scalar
from tallystick.components.core.errors import InputError

MISSING_TEXTS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})
_TRUTH = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0, "1.0": 1.0, "0.0": 0.0}
_SHOWN_ROWS = 5
_SHOWN_PROBLEMS = 5
_TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number, with a decimal point and no other signs",
    "boolean": "0, 1, true or false",
}

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class TypeProblem:
    """Cells of one column that are of another type; `rows` counts data rows from 1."""

    column: str
    rows: tuple[int, ...]
    count: int
    found: tuple[str, ...]
    allowed: str

    def sentence(self) -> str:
        """What stands where, and what may."""
        return f"column {self.column}, {rows_text(self.rows, self.count)}: found {', '.join(self.found)}"


def rows_text(rows: Sequence[int], count: int) -> str:
    """``row 7`` or ``rows 3, 17, 20 (of 25)``."""
    shown = ", ".join(str(row) for row in rows[:_SHOWN_ROWS])
    more = f" (of {count:,})" if count > len(rows[:_SHOWN_ROWS]) else ""
    return f"row{'s' * (count != 1)} {shown}{more}"


def first_rows(mask: Mask) -> tuple[int, ...]:
    """The first few rows where `mask` holds, counted from 1."""
    return tuple(int(row) + 1 for row in np.flatnonzero(mask)[:_SHOWN_ROWS])


def typed_table(cells: pd.DataFrame, contract: Contract, name: str) -> pd.DataFrame:
    """The contract's columns (excluded ones too, where they are there) and the target, in their types.

    Parameters
    ----------
    cells
        Text of a CSV, or columns of a Parquet file.
    name
        What to call the file in messages.

    Returns
    -------
    DataFrame
        Rows in the order of the file. ``integer`` and ``boolean`` are Int64 (0 and 1), ``number`` is float64,
        categories and the target hold the contract's own values where they match and the cell's text where
        they do not. Missing codes and the usual words for "missing" are nulls. An excluded column stays as it is.

    Raises
    ------
    InputError
        A column is missing or not in the contract, or cells are of another type.
    """
    _check_columns(cells, contract, name)
    table: dict[str, pd.Series] = {}
    problems: list[TypeProblem] = []
    for column in contract.columns:
        if column.role == "excluded":
            if column.name in cells:
                table[column.name] = cells[column.name]
            continue
        values, wrong = _typed(cells[column.name], column, contract)
        table[column.name] = values
        if wrong.any():
            problems.append(_problem(cells[column.name], column, wrong))
    if problems:
        raise _type_error(problems, name)
    target = contract.target
    table[target.column] = _matched(cells[target.column], (target.adverse, target.favourable))
    return pd.DataFrame(table)


def _check_columns(cells: pd.DataFrame, contract: Contract, name: str) -> None:
    found = [str(column) for column in cells.columns]
    needed = [column.name for column in contract.columns if column.role != "excluded"] + [contract.target.column]
    known = {column.name for column in contract.columns} | {contract.target.column}
    missing = [column for column in needed if column not in found]
    extra = [column for column in found if column not in known] if contract.other_columns == "refuse" else []
    unplaced = [column for column in found if column not in known]
    parts = [_missing_column(column, unplaced) for column in missing]
    parts += [
        f"column {column!r} is not in the contract"
        for column in extra
        if not any(f"did you mean {column!r}?" in part for part in parts)
    ]
    if not parts:
        return
    allowed = "the columns of the contract, each once"
    todo = "or set `other_columns: ignore` in the contract" if extra and not missing else ""
    raise InputError(name, _listed(parts), allowed, todo)


def _missing_column(column: str, unplaced: Sequence[str]) -> str:
    lower = {other.strip().lower(): other for other in unplaced}
    near = difflib.get_close_matches(column.lower(), list(lower), n=1, cutoff=0.75)
    hint = f" (did you mean {lower[near[0]]!r}?)" if near else ""
    return f"column {column!r} is missing{hint}"


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - _SHOWN_PROBLEMS
    return "\n  ".join([*parts[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])])


def _problem(cells: pd.Series, column: Column, wrong: Mask) -> TypeProblem:
    rows = first_rows(wrong)
    found = dict.fromkeys(_shown(cells.iloc[row - 1]) for row in rows)
    allowed = f"{_TYPE_WORDS[column.type]} ({column.type})"
    if column.nullable:
        allowed += ", or empty"
    return TypeProblem(column=column.name, rows=rows, count=int(wrong.sum()), found=tuple(found), allowed=allowed)


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _type_error(problems: Sequence[TypeProblem], name: str) -> InputError:
    allowed = "; ".join(dict.fromkeys(f"{problem.column}: {problem.allowed}" for problem in problems[:_SHOWN_PROBLEMS]))
    return InputError(name, _listed([problem.sentence() for problem in problems]), allowed)


def _typed(cells: pd.Series, column: Column, contract: Contract) -> tuple[pd.Series, Mask]:
    nothing = np.zeros(len(cells), dtype=bool)
    if column.type == "category":
        values = _matched(cells, (*allowed_values(column, contract), *column.missing_codes))
        values[values.isin(list(column.missing_codes))] = None
        return values, nothing
    if column.role == "key" and column.type == "integer":
        return _whole_keys(cells)
    numbers, wrong = _numbers(cells, truth=column.type == "boolean")
    codes = np.array(column.missing_codes, dtype=np.float64).astype(np.float32)
    # Compared as float32, as the encoding does: a code that lost digits on its way is still the code.
    with np.errstate(over="ignore"):
        numbers[np.isin(numbers.astype(np.float32), codes)] = np.nan
    if column.type == "number":
        return pd.Series(numbers, index=cells.index), wrong
    known = ~np.isnan(numbers)
    if column.type == "boolean":
        wrong |= known & ~np.isin(numbers, (0.0, 1.0))
    else:
        wrong |= known & (numbers != np.floor(numbers)) & np.isfinite(numbers)
    if wrong.any():
        return cells, wrong
    # A number that no whole number of 64 bits can hold stays a float, for the range to refuse.
    if np.abs(numbers[known]).max(initial=0.0) >= 2.0**63:
        return pd.Series(numbers, index=cells.index), wrong
    return pd.Series(pd.array(numbers, dtype="Float64"), index=cells.index).astype("Int64"), wrong


def allowed_values(column: Column, contract: Contract) -> tuple[Scalar, ...]:
    """The values that a category may have: its own, or those that a sensitive attribute puts into groups."""
    if column.categories:
        return tuple(column.categories)
    groups = [a.groups for a in contract.sensitive.values() if a.column == column.name]
    return tuple(dict.fromkeys(value for group in groups for value in group))


def _numbers(cells: pd.Series, *, truth: bool) -> tuple[npt.NDArray[np.float64], Mask]:
    """Cells as numbers, NaN where missing, and which of them are no numbers."""
    if pd.api.types.is_bool_dtype(cells.dtype):
        wrong = np.full(len(cells), not truth) & cells.notna().to_numpy()
        return _floats(cells), wrong
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return _floats(cells), np.zeros(len(cells), dtype=bool)
    if not (pd.api.types.is_object_dtype(cells.dtype) or pd.api.types.is_string_dtype(cells.dtype)):
        return np.full(len(cells), np.nan), cells.notna().to_numpy()
    codes, distinct = pd.factorize(cells, use_na_sentinel=True)
    read = np.array([_number(value, truth=truth) for value in distinct], dtype=np.float64)
    known = np.array([not _is_missing(value) for value in distinct], dtype=bool)
    numbers = np.append(read, np.nan)[codes]
    wrong = np.append(known & np.isnan(read), False)[codes]
    return numbers, wrong


def _floats(cells: pd.Series) -> npt.NDArray[np.float64]:
    return np.asarray(cells.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _number(value: Any, *, truth: bool) -> float:
    """One cell as a number; NaN where it is none."""
    if isinstance(value, bool | np.bool_):
        return float(value) if truth else np.nan
    if isinstance(value, int | float | np.number):
        return float(value)
    if not isinstance(value, str):
        return np.nan
    text = value.strip()
    if truth:
        return _TRUTH.get(text.lower(), np.nan)
    if "_" in text or not text.isascii():  # what Python reads as a number, and no spreadsheet does
        return np.nan
    try:
        return float(text)
    except ValueError:
        return np.nan


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in MISSING_TEXTS
    return bool(pd.isna(value))


def _whole_keys(cells: pd.Series) -> tuple[pd.Series, Mask]:
    """Keys exactly: an account number may be longer than a float can tell from the next."""
    text = cells.astype("string").str.strip()
    missing = (text.isna() | text.isin(MISSING_TEXTS)).to_numpy()
    wrong = ~missing & ~text.str.fullmatch(r"[-+]?\d+(\.0+)?").fillna(False).to_numpy(dtype=bool)
    return text.mask(missing).str.replace(r"\.0+$", "", regex=True), wrong


def _matched(cells: pd.Series, allowed: Iterable[Scalar]) -> pd.Series:
    """Cells as the contract's own values where they match one, else as they are; null where missing."""
    values = tuple(allowed)
    codes, distinct = pd.factorize(cells.astype(object), use_na_sentinel=True)
    found = np.empty(len(distinct) + 1, dtype=object)
    for place, value in enumerate(distinct):
        found[place] = _match(value, values)
    return pd.Series(found[codes], index=cells.index, dtype=object)


def _match(value: Any, allowed: Sequence[Scalar]) -> Any:
    text = value.strip() if isinstance(value, str) else str(value)
    for candidate in allowed:
        if isinstance(candidate, str):
            if text == candidate:
                return candidate
        elif isinstance(candidate, bool):
            if _TRUTH.get(text.lower()) == float(candidate):
                return candidate
        elif _number(value, truth=False) == float(candidate):
            return candidate
    if _is_missing(value):
        return None
    return text if isinstance(value, str) else value

"""Tables as the contract describes them: reading files, the target as 0 and 1, groups, columns for encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tallystick.components.core.contract import Contract, SensitiveAttribute
from tallystick.components.core.encoding import Feature
from tallystick.components.core.errors import InputError

UNKNOWN_GROUP = "unknown"


def read_table(path: Path, *, name: str = "") -> pd.DataFrame:
    """Read a CSV (comma, header, UTF-8) or Parquet file, by its ending.

    Raises
    ------
    InputError
        Neither ending, empty, cut off, or not what the ending says.
    """
    shown = name or str(path)
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix in (".csv", ".gz"):
            table = pd.read_csv(path, low_memory=False)
        else:
            raise InputError(shown, f"ends in {path.suffix or 'nothing'}", ".csv, .csv.gz or .parquet")
    except pd.errors.EmptyDataError as error:
        raise InputError(shown, "is empty", "a header and at least one row") from error
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise InputError(
            shown, f"cannot be read: it may be cut off or damaged ({problem})", "", "export it again"
        ) from error
    if table.empty:
        raise InputError(shown, "has a header and no rows", "at least one row")
    return table


def adverse_outcomes(table: pd.DataFrame, contract: Contract) -> npt.NDArray[np.int64]:
    """The target as 1 (adverse) and 0 (favourable), shape (rows,), for a table that passed validation."""
    return np.asarray(table[contract.target.column] == contract.target.adverse, dtype=np.int64)


def groups(table: pd.DataFrame, attribute: SensitiveAttribute) -> npt.NDArray[np.object_]:
    """The group of each row by one sensitive attribute, shape (rows,); ``unknown`` where it is not given."""
    if attribute.indicators:
        result = np.full(len(table), UNKNOWN_GROUP, dtype=object)
        for column, group in attribute.indicators.items():
            result[np.asarray(table[column] == 1)] = group
        return result
    values = table[attribute.column]
    if attribute.bands:
        numbers = values.astype(float).to_numpy()
        names = np.array(attribute.group_names, dtype=object)
        result = names[np.searchsorted(np.array(attribute.bands), numbers, side="right")]
        return np.where(np.isnan(numbers), UNKNOWN_GROUP, result)
    return np.asarray(values.map(dict(attribute.groups)).fillna(UNKNOWN_GROUP), dtype=object)


def group_columns(table: pd.DataFrame, contract: Contract) -> dict[str, npt.NDArray[np.object_]]:
    """The groups of each row by every sensitive attribute of the contract."""
    return {name: groups(table, attribute) for name, attribute in contract.sensitive.items()}


def feature_values(table: pd.DataFrame, features: Sequence[Feature]) -> Mapping[str, Sequence[Any]]:
    """Columns as :func:`tallystick.components.core.encoding.encode` takes them."""
    return {
        feature.name: table[feature.name].astype(object).where(table[feature.name].notna(), None).tolist()
        for feature in features
    }

"""Tables as the contract describes them: the target as 0 and 1, groups, columns for encoding.

For tables that passed validation; reading and checking files is the data validation's work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tallystick.components.core.contract import Contract, SensitiveAttribute
from tallystick.components.core.encoding import Feature

UNKNOWN_GROUP = "unknown"


def adverse_outcomes(table: pd.DataFrame, contract: Contract) -> npt.NDArray[np.int64]:
    """The target as 1 (adverse) and 0 (favourable), shape (rows,), for a table that passed validation."""
    return np.asarray(table[contract.target.column] == contract.target.adverse, dtype=np.int64)


def groups(table: pd.DataFrame, attribute: SensitiveAttribute) -> npt.NDArray[np.object_]:
    """The group of each row by one sensitive attribute, shape (rows,); ``unknown`` where it is not given."""
    if attribute.indicators:
        result = np.full(len(table), UNKNOWN_GROUP, dtype=object)
        for column, group in attribute.indicators.items():
            result[table[column].eq(1).fillna(False).to_numpy(dtype=bool)] = group
        return result
    values = table[attribute.column]
    if attribute.bands:
        numbers = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        names = np.array(attribute.group_names, dtype=object)
        result = names[np.searchsorted(np.array(attribute.bands), numbers, side="right")]
        return np.where(np.isnan(numbers), UNKNOWN_GROUP, result)
    # A dictionary, not Series.map: 1, 1.0 and True are one group however the file stored them.
    return np.array([attribute.groups.get(value, UNKNOWN_GROUP) for value in _objects(values)], dtype=object)


def group_columns(table: pd.DataFrame, contract: Contract) -> dict[str, npt.NDArray[np.object_]]:
    """The groups of each row by every sensitive attribute of the contract."""
    return {name: groups(table, attribute) for name, attribute in contract.sensitive.items()}


def feature_values(table: pd.DataFrame, features: Sequence[Feature]) -> Mapping[str, Sequence[Any]]:
    """Columns as :func:`tallystick.components.core.encoding.encode` and a caller of the model server give them.

    Truth values are bool, whole numbers int, categories as the contract writes them, and what is missing None:
    a Parquet file with nulls brings all of these as floats.
    """
    return {feature.name: _as_given(table[feature.name], feature) for feature in features}


def _as_given(values: pd.Series, feature: Feature) -> list[Any]:
    if feature.type == "category":
        written = {value: value for value in feature.categories}
        return [written.get(value) for value in _objects(values)]
    kind: Any = {"boolean": bool, "integer": int, "number": float}[feature.type]
    return [None if value is None else kind(value) for value in _objects(values)]


def _objects(values: pd.Series) -> list[Any]:
    return values.astype(object).where(values.notna(), None).tolist()

"""Turns rows as the contract describes them into the numbers a model sees, in training and in serving alike.

One implementation for both sides is what keeps them from drifting apart. Every encoded value is rounded
to float32 and kept as float64: scikit-learn's forests round their inputs so, and a score that is computed
from rounded values is the same in scikit-learn, in ONNX and in the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # the model server starts without pydantic
    from tallystick.components.core.contract import ColumnType, Direction, Scalar

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input of a model: how it is checked, encoded and explained.

    Attributes
    ----------
    impute
        What stands in for a missing value (the training median); a nullable feature also has an
        indicator column that is 1 where the value was missing.
    """

    name: str
    type: ColumnType
    minimum: float | None
    maximum: float | None
    nullable: bool
    missing_codes: tuple[Scalar, ...]
    categories: tuple[Scalar, ...]
    impute: float
    monotonic: Direction | None
    reason_code: str
    meaning: str = ""
    unit: str = ""

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Names of the encoded columns, in order."""
        names = tuple(f"{self.name}={value}" for value in self.categories) if self.type == "category" else (self.name,)
        return (*names, f"{self.name}=missing") if self.nullable else names

    @property
    def monotonic_signs(self) -> tuple[int, ...]:
        """scikit-learn's ``monotonic_cst`` for the encoded columns: 1, -1 or 0."""
        sign = {"increasing": 1, "decreasing": -1, None: 0}[self.monotonic]
        return (sign, *(0,) * (len(self.encoded_names) - 1))

    def encode(self, values: Sequence[Any]) -> Matrix:
        """Encode checked values (None or NaN is missing) as shape (rows, encoded columns)."""
        block = np.zeros((len(values), len(self.encoded_names)))
        if self.type == "category":
            position: dict[Any, int] = {value: index for index, value in enumerate(self.categories)}
            places = np.array([position.get(value, -1) for value in values], dtype=np.intp)
            missing = places < 0
            rows = np.flatnonzero(~missing)
            block[rows, places[rows]] = 1.0
        else:
            numbers = np.array(values, dtype=np.float64).astype(np.float32)
            codes = np.array(self.missing_codes, dtype=np.float64).astype(np.float32)
            missing = np.isnan(numbers) | np.isin(numbers, codes)
            block[:, 0] = np.where(missing, np.float32(self.impute), numbers)
        if self.nullable:
            block[:, -1] = missing
        return block


def encoded_names(features: Sequence[Feature]) -> tuple[str, ...]:
    """Names of all encoded columns, in the order of the matrix."""
    return tuple(name for feature in features for name in feature.encoded_names)


def encode(features: Sequence[Feature], columns: Mapping[str, Sequence[Any]]) -> Matrix:
    """Encode whole columns.

    Parameters
    ----------
    features
        In the order of the matrix.
    columns
        Values by feature name, all of one length, already checked against the contract.

    Returns
    -------
    Matrix
        float64, shape (rows, encoded columns), every value representable in float32.
    """
    return np.hstack([feature.encode(columns[feature.name]) for feature in features])

"""Rows as numbers: one encoding for training and serving, in 32-bit values."""

import numpy as np
import pytest

from tallystick.components.core.encoding import Feature, encode, encoded_names


def feature(**changes: object) -> Feature:
    base: dict[str, object] = {
        "name": "x",
        "type": "number",
        "minimum": None,
        "maximum": None,
        "nullable": False,
        "missing_codes": (),
        "categories": (),
        "impute": 7.0,
        "monotonic": None,
        "reason_code": "A",
    }
    return Feature(**{**base, **changes})  # type: ignore[arg-type]


def test_numbers_are_rounded_to_32_bits() -> None:
    found = feature().encode([0.1, 16777217, -3])
    assert found.dtype == np.float64
    assert found[:, 0].tolist() == [float(np.float32(0.1)), 16777216.0, -3.0]


def test_missing_values_and_codes_are_imputed_and_flagged() -> None:
    found = feature(nullable=True, missing_codes=(999999.4,)).encode([1.0, None, float("nan"), 999999.375])
    assert found.tolist() == [[1.0, 0.0], [7.0, 1.0], [7.0, 1.0], [7.0, 1.0]]


def test_truth_values_are_one_and_zero() -> None:
    assert feature(type="boolean").encode([True, False])[:, 0].tolist() == [1.0, 0.0]


def test_categories_are_one_column_each_and_nothing_for_what_is_missing() -> None:
    kinds = feature(type="category", categories=("a", "b"), nullable=True)
    assert kinds.encoded_names == ("x=a", "x=b", "x=missing")
    assert kinds.encode(["b", "a", None]).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_columns_stand_in_the_order_of_the_features() -> None:
    pair = (feature(name="p"), feature(name="q", nullable=True))
    assert encoded_names(pair) == ("p", "q", "q=missing")
    assert encode(pair, {"q": [None, 2.0], "p": [1.0, 3.0]}).tolist() == [[1.0, 7.0, 1.0], [3.0, 2.0, 0.0]]


@pytest.mark.parametrize(("direction", "sign"), [("increasing", 1), ("decreasing", -1), (None, 0)])
def test_monotonic_sign_is_of_the_value_and_not_of_its_absence(direction: str | None, sign: int) -> None:
    assert feature(monotonic=direction, nullable=True).monotonic_signs == (sign, 0)


def test_every_encoded_value_is_a_32_bit_value() -> None:
    values = np.random.default_rng(1).normal(0, 1e6, 500).tolist()
    found = feature().encode(values)
    assert np.array_equal(found, found.astype(np.float32).astype(np.float64))

"""Checks of single values, both sides of each limit, and the encoding's equality with training's."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.components.core.encoding import Feature, encode
from tallystick.components.model_server.inputs import FeatureCheck, RowEncoder
from tallystick.components.model_server.refusals import RefusedRequestError
from tests.support.packages import lending_features

FEATURES = {feature.name: feature for feature in lending_features()}
CODED = replace(FEATURES["purpose"], categories=(1, 2, 3), missing_codes=(9,), nullable=True)


def checked(name: str | Feature, value: Any) -> Any:
    feature = FEATURES[name] if isinstance(name, str) else name
    return FeatureCheck(feature)([value])[0]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("income", 0.0, 0.0),
        ("income", 0, 0.0),
        ("income", 1e6, 1e6),
        ("late_payments", 60, 60.0),
        ("late_payments", 3.0, 3.0),
        ("bankrupt", True, True),
        ("bankrupt", 1, True),
        ("bankrupt", 0.0, False),
        ("years_employed", None, None),
        ("years_employed", 999, None),
        ("years_employed", 999.0, None),
        ("years_employed", 70.0, 70.0),
        ("purpose", "car", "car"),
        ("purpose", None, None),
        (CODED, 2, 2),
        (CODED, 2.0, 2),
        (CODED, "3", 3),
        (CODED, 9, None),
    ],
)
def test_values_within_the_contract_pass(name: Any, value: Any, expected: Any) -> None:
    found = checked(name, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "says", "out_of_range"),
    [
        ("income", -0.0001, "out of range", True),
        ("income", 1000000.1, "out of range", True),
        ("income", math.nan, "not a finite number", True),
        ("income", math.inf, "not a finite number", True),
        ("income", 10**400, "not a finite number", True),
        ("income", None, "is null", False),
        ("income", "12", "not a number", False),
        ("income", True, "not a number", False),
        ("income", [1.0], "not a number", False),
        ("income", {}, "not a number", False),
        ("late_payments", 61, "out of range", True),
        ("late_payments", -1, "out of range", True),
        ("late_payments", 2.5, "not a whole number", False),
        ("bankrupt", 2, "not a boolean", False),
        ("bankrupt", "true", "not a boolean", False),
        ("bankrupt", [], "not a boolean", False),
        ("years_employed", 70.1, "out of range", True),
        ("years_employed", 998, "out of range", True),
        ("purpose", "boat", "not one of the categories", True),
        ("purpose", 1, "not one of the categories", True),
        ("purpose", ["car"], "not one of the categories", True),
        ("purpose", {"car": 1}, "not one of the categories", True),
        ("purpose", "", "not one of the categories", True),
        (CODED, 4, "not one of the categories", True),
        (CODED, 10**400, "not one of the categories", True),
        (CODED, math.nan, "not one of the categories", True),
    ],
)
def test_values_outside_the_contract_are_refused_by_name(name: Any, value: Any, says: str, out_of_range: bool) -> None:
    with pytest.raises(RefusedRequestError, match=says) as refused:
        checked(name, value)
    feature = name if isinstance(name, str) else name.name
    assert refused.value.status == 400
    assert refused.value.feature == feature
    assert f"input {feature!r}" in str(refused.value)
    assert refused.value.out_of_range is out_of_range


def test_the_row_is_named_and_the_value_is_not_repeated() -> None:
    with pytest.raises(RefusedRequestError) as refused:
        FeatureCheck(FEATURES["income"])([1.0, 2.0, 7654321.0])
    assert "row 2" in str(refused.value)
    assert "7654321" not in str(refused.value)


def rows() -> st.SearchStrategy[list[dict[str, Any]]]:
    row = {
        "income": st.floats(0, 1e6),
        "loan_ratio": st.floats(0, 10),
        "late_payments": st.integers(0, 60),
        "bankrupt": st.booleans(),
        "years_employed": st.none() | st.floats(0, 70) | st.just(999),
        "purpose": st.none() | st.sampled_from(["home", "car", "other"]),
    }
    return st.lists(st.fixed_dictionaries(row), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(rows())
def test_rows_are_encoded_as_training_encodes_them_bit_for_bit(given_rows: list[dict[str, Any]]) -> None:
    features = lending_features()
    columns = {feature.name: [row[feature.name] for row in given_rows] for feature in features}
    ours = RowEncoder(features)([FeatureCheck(feature)(columns[feature.name]) for feature in features])
    np.testing.assert_array_equal(ours, encode(features, columns))
    assert ours.dtype == np.float64

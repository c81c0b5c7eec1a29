"""Tables as the contract describes them: outcomes, groups, and values as a caller gives them."""

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.contract import SensitiveAttribute, parse_contract
from tallystick.components.core.encoding import encode
from tallystick.components.core.frames import UNKNOWN_GROUP, adverse_outcomes, feature_values, group_columns, groups
from tallystick.components.core.profiles import features_of
from tests.support import lending


def test_adverse_is_one_whatever_the_outcome_is_called() -> None:
    contract = parse_contract(lending.CONTRACT)
    table = pd.DataFrame({"outcome": ["repaid", "defaulted", "repaid"]})
    assert adverse_outcomes(table, contract).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([1.0, 2.0, np.nan]),
        pd.Series([1, 2, None], dtype=object),
    ],
)
def test_groups_by_value_however_the_file_stored_it(values: pd.Series) -> None:
    attribute = SensitiveAttribute(column="sex", groups={1: "men", 2: "women"}, reference="men")
    assert groups(pd.DataFrame({"sex": values}), attribute).tolist() == ["men", "women", UNKNOWN_GROUP]


def test_truth_values_and_ones_are_one_group() -> None:
    attribute = SensitiveAttribute(column="male", groups={True: "men", False: "women"}, reference="men")
    for values in ([1, 0], [True, False], [1.0, 0.0]):
        assert groups(pd.DataFrame({"male": values}), attribute).tolist() == ["men", "women"]


def test_bands_hold_their_lower_edge() -> None:
    attribute = SensitiveAttribute(column="age", bands=(30, 60), reference="30 to under 60")
    table = pd.DataFrame({"age": pd.array([29, 30, 59, 60, None], dtype="Int64")})
    assert groups(table, attribute).tolist() == [
        "under 30", "30 to under 60", "30 to under 60", "60 and over", UNKNOWN_GROUP,
    ]  # fmt: skip


def test_indicators_name_the_group_and_nulls_name_none() -> None:
    attribute = SensitiveAttribute(indicators={"w": "white", "b": "Black"}, reference="white")
    table = pd.DataFrame({"w": pd.array([1, 0, None, 0], dtype="Int64"), "b": pd.array([0, 1, None, 0], dtype="Int64")})
    assert groups(table, attribute).tolist() == ["white", "Black", UNKNOWN_GROUP, UNKNOWN_GROUP]


def test_all_attributes_of_the_contract_are_grouped() -> None:
    contract = parse_contract(lending.CONTRACT)
    found = group_columns(pd.DataFrame({"gender": ["f", None], "age": [20, 61]}), contract)
    assert {name: values.tolist() for name, values in found.items()} == {
        "gender": ["woman", UNKNOWN_GROUP],
        "age": ["under 30", "60 and over"],
    }


def test_values_are_given_as_a_caller_gives_them() -> None:
    """Parquet brings whole numbers and truth values with nulls as floats."""
    contract = parse_contract(lending.CONTRACT)
    table = pd.DataFrame(
        {
            "income_eur": [1500.5, np.nan],
            "purpose": ["car", None],
            "late_payments": [2.0, 0.0],
            "has_guarantor": [1.0, 0.0],
        }
    )
    values = feature_values(table, features_of(contract, table))
    assert values == {
        "income_eur": [1500.5, None],
        "purpose": ["car", None],
        "late_payments": [2, 0],
        "has_guarantor": [True, False],
    }
    assert type(values["late_payments"][0]) is int
    assert type(values["has_guarantor"][0]) is bool


def test_numbered_categories_come_back_as_the_contract_writes_them() -> None:
    text = lending.CONTRACT.replace("{car: a car, home: home improvement, other: anything else}", "{1: a car, 2: home}")
    contract = parse_contract(text)
    table = pd.DataFrame({"income_eur": [1.0], "purpose": [2.0], "late_payments": [0], "has_guarantor": [0]})
    features = features_of(contract, table)
    values = feature_values(table, features)
    assert type(values["purpose"][0]) is int
    assert encode(features, values)[0].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]

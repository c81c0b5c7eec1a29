"""Cells into the contract's types: what is of another type is named by column and row, never mended."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.data_validation.conformity import first_rows, rows_text, typed_table

CONTRACT = """
version: 1
name: small
target: {column: y, adverse: bad, favourable: good, meaning: not repaid}
other_columns: refuse
columns:
  - {name: id, role: key, type: integer}
  - name: amount
    role: feature
    type: number
    nullable: true
    missing_codes: [999999.375]
    reason: &r {code: A, text: The amount asked for}
  - {name: count, role: feature, type: integer, nullable: true, reason: *r}
  - {name: flag, role: feature, type: boolean, nullable: true, reason: *r}
  - name: kind
    role: feature
    type: category
    nullable: true
    missing_codes: [9]
    categories: {1: one, 2: two, 9: not known}
    reason: *r
  - {name: sex, role: sensitive, type: category, nullable: true}
  - {name: later, role: excluded, type: number, why: known afterwards}
sensitive:
  sex: {column: sex, groups: {f: women, m: men}, reference: men}
"""
ROW = {"id": "1", "amount": "1.5", "count": "3", "flag": "1", "kind": "1", "sex": "f", "later": "x", "y": "bad"}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return parse_contract(CONTRACT)


def cells(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, **change} for change in changes], dtype=object)


def message(contract: Contract, *changes: dict[str, object]) -> str:
    with pytest.raises(InputError) as caught:
        typed_table(cells(*changes), contract, "a.csv")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.5", 1.5), (" -2 ", -2.0), ("1e3", 1000.0), ("+.5", 0.5), ("inf", np.inf), ("1e400", np.inf)],
)
def test_texts_that_are_numbers(contract: Contract, text: str, number: float) -> None:
    assert typed_table(cells({"amount": text}), contract, "a.csv")["amount"].tolist() == [number]


@pytest.mark.parametrize("text", ["", " ", "NA", "N/A", "NaN", "null", "None", "999999.375", "999999.4"])
def test_words_and_codes_for_missing_become_nulls(contract: Contract, text: str) -> None:
    """999999.4 is 999999.375 in 32 bits, in which the code is compared as the model compares it."""
    assert typed_table(cells({"amount": text}), contract, "a.csv")["amount"].isna().tolist() == [True]


@pytest.mark.parametrize(
    "text",
    ["abc", "1,200", "12 %", "2024-01-31", "1_000", "0x10", "true", "٣", "1.5.2", "$5", "--1", "1 2"],
)
def test_other_texts_are_no_numbers(contract: Contract, text: str) -> None:
    said = message(contract, {}, {"amount": text})
    assert f"a.csv: column amount, row 2: found {text!r}; allowed: amount: a number" in said


@pytest.mark.parametrize(("text", "whole"), [("3", 3), ("3.0", 3), ("-1", -1), ("1e2", 100)])
def test_whole_numbers(contract: Contract, text: str, whole: int) -> None:
    assert typed_table(cells({"count": text}), contract, "a.csv")["count"].tolist() == [whole]


def test_broken_number_is_not_whole(contract: Contract) -> None:
    assert "column count, row 1: found '3.5'; allowed: count: a whole number" in message(contract, {"count": "3.5"})


def test_number_too_large_for_64_bits_stays_for_the_range_to_refuse(contract: Contract) -> None:
    assert typed_table(cells({"count": "1e30"}), contract, "a.csv")["count"].tolist() == [1e30]


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("0", 0), ("true", 1), ("FALSE", 0), ("1.0", 1), ("", None)])
def test_truth_values_are_one_and_zero(contract: Contract, text: str, value: int | None) -> None:
    found = typed_table(cells({"flag": text}), contract, "a.csv")["flag"].iloc[0]
    assert found is pd.NA if value is None else found == value


@pytest.mark.parametrize("text", ["yes", "no", "2", "-1", "t"])
def test_other_texts_are_no_truth_values(contract: Contract, text: str) -> None:
    assert f"found {text!r}; allowed: flag: 0, 1, true or false (boolean), or empty" in message(
        contract, {"flag": text}
    )


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("2.0", 2), ("9", None), ("", None), ("7", "7"), ("x", "x")])
def test_categories_are_the_contracts_values_or_stay_as_found(contract: Contract, text: str, value: object) -> None:
    assert typed_table(cells({"kind": text}), contract, "a.csv")["kind"].tolist() == [value]


def test_target_is_matched_and_never_guessed(contract: Contract) -> None:
    table = typed_table(cells({"y": "bad"}, {"y": " good "}, {"y": "BAD"}, {"y": ""}), contract, "a.csv")
    assert table["y"].tolist() == ["bad", "good", "BAD", None]


def test_long_keys_are_kept_digit_by_digit(contract: Contract) -> None:
    table = typed_table(cells({"id": "9007199254740993"}, {"id": "9007199254740992"}), contract, "a.csv")
    assert table["id"].nunique() == 2


def test_key_of_another_type_is_named(contract: Contract) -> None:
    assert "column id, row 1: found 'A7'; allowed: id: a whole number" in message(contract, {"id": "A7"})


def test_only_the_first_rows_are_named_and_all_are_counted(contract: Contract) -> None:
    said = message(contract, *[{"amount": "x"}] * 7)
    assert "column amount, rows 1, 2, 3, 4, 5 (of 7): found 'x'" in said


def test_several_columns_are_told_at_once(contract: Contract) -> None:
    said = message(contract, {"amount": "x", "count": "y"})
    assert "column amount, row 1" in said
    assert "column count, row 1" in said


def test_excluded_column_is_not_read_and_may_be_absent(contract: Contract) -> None:
    table = typed_table(cells({"later": "anything"}), contract, "a.csv")
    assert table["later"].tolist() == ["anything"]
    assert "later" not in typed_table(cells({}).drop(columns="later"), contract, "a.csv")


@pytest.mark.parametrize("name", ["id", "amount", "sex", "y"])
def test_missing_column_is_named(contract: Contract, name: str) -> None:
    with pytest.raises(InputError, match=f"a.csv: column '{name}' is missing; allowed: the columns of the contract"):
        typed_table(cells({}).drop(columns=name), contract, "a.csv")


def test_missing_column_suggests_the_one_that_is_near(contract: Contract) -> None:
    with pytest.raises(InputError) as caught:
        typed_table(cells({}).rename(columns={"amount": "Amuont"}), contract, "a.csv")
    assert str(caught.value).startswith("a.csv: column 'amount' is missing (did you mean 'Amuont'?); allowed")


def test_extra_column_is_refused_or_ignored_as_the_contract_says(contract: Contract) -> None:
    with pytest.raises(InputError, match=r"column 'ssn' is not in the contract.*or set `other_columns: ignore`"):
        typed_table(cells({}).assign(ssn=1), contract, "a.csv")
    lenient = parse_contract(CONTRACT.replace("other_columns: refuse", "other_columns: ignore"))
    assert "ssn" not in typed_table(cells({}).assign(ssn=1), lenient, "a.csv")


@pytest.mark.parametrize("values", [[datetime(2024, 1, 31)], [True], [b"1"]])
def test_typed_columns_of_another_type_are_refused(contract: Contract, values: list[object]) -> None:
    table = cells({}).assign(amount=pd.Series(values))
    with pytest.raises(InputError, match=r"column amount, row 1: found .*allowed: amount: a number"):
        typed_table(table, contract, "a.parquet")


def test_typed_columns_of_the_right_type_are_taken(contract: Contract) -> None:
    table = cells({}).assign(amount=pd.Series([2], dtype="int8"), flag=pd.Series([True]), count=pd.Series([4.0]))
    typed = typed_table(table, contract, "a.parquet")
    assert (typed["amount"].iloc[0], typed["flag"].iloc[0], typed["count"].iloc[0]) == (2.0, 1, 4)


def test_rows_are_counted_from_one() -> None:
    assert first_rows(np.array([False, True, False, True])) == (2, 4)
    assert rows_text((7,), 1) == "row 7"
    assert rows_text((1, 2, 3, 4, 5), 1234) == "rows 1, 2, 3, 4, 5 (of 1,234)"

"""The contract's rules on a typed table: each broken rule names column, rows, what was found and what is allowed."""

import pandas as pd
import pandera.pandas as pandera
import pytest

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.errors import TallystickError
from tallystick.components.core.verdicts import Check, Outcome
from tallystick.components.data_validation import schema
from tallystick.components.data_validation.conformity import typed_table
from tallystick.components.data_validation.schema import contract_checks

CONTRACT = """
version: 1
name: small
target: {column: y, adverse: 1, favourable: 0, meaning: not repaid}
unique: [id, part]
columns:
  - {name: id, role: key, type: category}
  - {name: part, role: key, type: integer}
  - name: amount
    role: feature
    type: number
    unit: euro
    minimum: 10
    maximum: 20
    reason: &r {code: A, text: The amount asked for}
  - {name: debts, role: feature, type: integer, minimum: 0, nullable: true, reason: *r}
  - {name: kind, role: feature, type: category, nullable: true, categories: {car: a car, home: a home}, reason: *r}
  - {name: white, role: sensitive, type: boolean}
  - {name: black, role: sensitive, type: boolean}
  - {name: sex, role: sensitive, type: integer, nullable: true}
  - {name: age, role: sensitive, type: number, minimum: 18}
sensitive:
  race: {indicators: {white: white, black: Black}, reference: white}
  sex: {column: sex, groups: {1: men, 2: women}, reference: men}
  age: {column: age, bands: [40], reference: under 40}
"""
ROW = {"part": 1, "amount": 15, "debts": 0, "kind": "car", "white": 1, "black": 0, "sex": 1, "age": 30, "y": 0}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return parse_contract(CONTRACT)


def checks(contract: Contract, *changes: dict[str, object]) -> list[Check]:
    rows = [{"id": f"L{place}", **ROW, **change} for place, change in enumerate(({}, *changes))]
    cells = pd.DataFrame([{key: str(value) for key, value in row.items()} for row in rows], dtype=object)
    return contract_checks(typed_table(cells, contract, "a.csv"), contract, "clause 1")


def failed(contract: Contract, *changes: dict[str, object]) -> list[str]:
    return [check.detail for check in checks(contract, *changes) if check.outcome is Outcome.FAIL]


def test_clean_rows_pass_every_kind_of_rule(contract: Contract) -> None:
    found = checks(contract)
    assert {check.name for check in found} == {
        "missing", "finite", "range", "categories", "target_values", "groups", "unique",
    }  # fmt: skip
    assert {check.outcome for check in found} == {Outcome.PASS}
    assert {check.clause for check in found} == {"clause 1"}


@pytest.mark.parametrize("amount", [10, 20, 10.0000001])
def test_limits_themselves_are_allowed(contract: Contract, amount: float) -> None:
    assert failed(contract, {"amount": amount}) == []


@pytest.mark.parametrize("amount", ["9.99", "20.01", "-15", "1e30"])
def test_values_out_of_range_are_named_with_row_and_unit(contract: Contract, amount: str) -> None:
    shown = f"{float(amount):.10g}"
    assert failed(contract, {"amount": amount}) == [f"column amount, row 2: found {shown}; allowed: 10 to 20 euro"]


def test_one_sided_range_says_so(contract: Contract) -> None:
    assert failed(contract, {"debts": -1}) == ["column debts, row 2: found -1; allowed: 0 or more"]


@pytest.mark.parametrize("amount", ["inf", "-inf", "1e400", "3.5e38"])
def test_numbers_beyond_32_bits_are_refused_once(contract: Contract, amount: str) -> None:
    found = failed(contract, {"amount": amount})
    assert len(found) == 1
    assert found[0].startswith("column amount, row 2: found ")
    assert "models compute in 32 bits" in found[0]


@pytest.mark.parametrize("column", ["amount", "white", "age", "part"])
def test_missing_value_where_none_may_be(contract: Contract, column: str) -> None:
    found = failed(contract, {column: ""})
    assert f"column {column}, row 2: found nothing; allowed: a value in every row (not nullable)" in found


@pytest.mark.parametrize("column", ["debts", "kind", "sex"])
def test_nullable_columns_may_be_empty(contract: Contract, column: str) -> None:
    assert failed(contract, {column: ""}) == []


def test_unknown_category_lists_those_allowed(contract: Contract) -> None:
    assert failed(contract, {"kind": "boat"}, {"kind": "boat"}) == [
        "column kind, rows 2, 3: found 'boat'; allowed: car (a car), home (a home)"
    ]


def test_target_holds_its_two_values_and_nothing_else(contract: Contract) -> None:
    assert failed(contract, {"y": 2}) == ["column y, row 2: found '2'; allowed: 1 (not repaid) or 0"]
    assert failed(contract, {"y": ""}) == ["column y, row 2: found nothing; allowed: a value in every row"]


@pytest.mark.parametrize(("white", "black"), [(0, 0), (1, 1)])
def test_exactly_one_indicator_is_set(contract: Contract, white: int, black: int) -> None:
    assert failed(contract, {"white": white, "black": black}) == [
        f"attribute race, row 2: found (white {white}, black {black}); allowed: exactly one of white, black is 1"
    ]
    assert failed(contract, {"white": 0, "black": 1}) == []


def test_value_that_is_in_no_group_is_refused_for_nobody_would_test_it(contract: Contract) -> None:
    assert failed(contract, {"sex": 3}) == ["attribute sex, row 2: found 3; allowed: 1 (men), 2 (women)"]


def test_unique_columns_name_a_row_together(contract: Contract) -> None:
    assert failed(contract, {"id": "L0", "part": 2}) == []
    found = failed(contract, {"id": "L0"})
    assert found == ["column id and part, rows 1, 2: found (id 'L0', part '1'); allowed: each once"]


def test_every_wrong_row_is_counted(contract: Contract) -> None:
    found = checks(contract, *[{"amount": 5}] * 9)
    wrong = next(check for check in found if check.outcome is Outcome.FAIL)
    assert (wrong.name, wrong.subject, wrong.figure, wrong.threshold, wrong.count) == ("range", "amount", 9.0, 0.0, 10)
    assert "rows 2, 3, 4, 5, 6 (of 9)" in wrong.detail


def test_check_that_breaks_is_an_error_and_no_finding(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    """pandera counts an exception inside a check among the data's faults."""

    def broken(_: object) -> object:
        return lambda values: values / 0 / "x"

    monkeypatch.setattr(schema, "_in_range", broken)
    with pytest.raises(TallystickError, match="a check broke instead of answering"):
        checks(contract, {"amount": 5})


def test_schema_is_pandera_and_lists_every_column_that_is_read(contract: Contract) -> None:
    made, _ = schema.schema_of(contract)
    assert isinstance(made, pandera.DataFrameSchema)
    assert set(made.columns) == {*ROW, "id"}

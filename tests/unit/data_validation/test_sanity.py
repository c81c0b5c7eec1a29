"""Enough rows, both outcomes, columns that say something, groups that can be judged."""

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.policy import DataRules, FairnessRules, UnitLine
from tallystick.components.core.verdicts import Check, Outcome
from tallystick.components.data_validation.sanity import column_checks, duplicate_check, group_checks, target_checks

CONTRACT = """
version: 1
name: small
target: {column: y, adverse: 1, favourable: 0, meaning: not repaid}
columns:
  - {name: amount, role: feature, type: number, nullable: true, reason: &r {code: A, text: The amount asked for}}
  - {name: rate, role: feature, type: number, reason: *r}
  - {name: sex, role: sensitive, type: integer, nullable: true}
sensitive:
  sex: {column: sex, groups: {1: men, 2: women}, reference: men}
"""
RULES = DataRules(minimum_rows=10, minimum_adverse=3, maximum_missing=0.2)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return parse_contract(CONTRACT)


def table(rows: int = 10, adverse: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "amount": np.arange(rows, dtype=float),
            "rate": np.arange(rows, dtype=float) % 3,
            "sex": pd.array([1, 2] * (rows // 2) + [1] * (rows % 2), dtype="Int64"),
            "y": pd.Series([1] * adverse + [0] * (rows - adverse), dtype=object),
        }
    )


def outcomes(checks: list[Check]) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in checks}


def fairness(**changes: object) -> FairnessRules:
    return FairnessRules(
        **{"required": ("sex",), "adverse_impact_ratio": UnitLine(minimum=0.8), "minimum_group": 5, **changes}
    )


def test_enough_rows_of_both_outcomes_pass(contract: Contract) -> None:
    assert set(outcomes(target_checks(table(), contract, RULES)).values()) == {Outcome.PASS}


@pytest.mark.parametrize(("rows", "adverse", "short"), [(9, 3, "rows"), (10, 2, "adverse_rows")])
def test_one_row_less_is_insufficient(contract: Contract, rows: int, adverse: int, short: str) -> None:
    found = outcomes(target_checks(table(rows, adverse), contract, RULES))
    assert [name for name, outcome in found.items() if outcome is Outcome.INSUFFICIENT] == [short]


@pytest.mark.parametrize("adverse", [0, 10])
def test_one_outcome_alone_fails(contract: Contract, adverse: int) -> None:
    found = target_checks(table(10, adverse), contract, RULES)[0]
    assert found.outcome is Outcome.FAIL
    assert found.detail == (
        f"column y: {adverse} rows hold 1 (not repaid) and {10 - adverse} hold 0; allowed: both outcomes occur"
    )


@pytest.mark.parametrize(("missing", "outcome"), [(2, Outcome.PASS), (3, Outcome.FAIL)])
def test_share_of_missing_values_against_the_policy(contract: Contract, missing: int, outcome: Outcome) -> None:
    data = table()
    data.loc[: missing - 1, "amount"] = np.nan
    found = column_checks(data, contract, RULES)
    assert [check.outcome for check in found] == [outcome]
    assert found[0].figure == pytest.approx(missing / 10)


def test_column_without_any_value_fails(contract: Contract) -> None:
    found = column_checks(table().assign(amount=np.nan), contract, RULES)
    assert [(check.outcome, check.subject, check.figure) for check in found] == [(Outcome.FAIL, "amount", 1.0)]
    assert "has no value in any row" in found[0].detail


def test_constant_feature_fails_and_two_values_pass(contract: Contract) -> None:
    data = table().assign(rate=4.0)
    found = column_checks(data, contract, RULES)
    assert [(check.name, check.outcome, check.subject) for check in found] == [("constant", Outcome.FAIL, "rate")]
    assert "holds 4.0 in every row" in found[0].detail
    data.loc[0, "rate"] = 5.0
    assert [check.outcome for check in column_checks(data, contract, RULES)] == [Outcome.PASS]


def test_repeated_rows_are_counted_and_decide_nothing(contract: Contract) -> None:
    data = pd.concat([table(), table().iloc[[2, 4]]], ignore_index=True)
    found = duplicate_check(data, contract)
    assert (found.outcome, found.figure) == (Outcome.RECORDED, 2.0)
    assert "rows 11, 12" in found.detail


@pytest.mark.parametrize(
    ("women", "outcome"), [(5, Outcome.PASS), (4, Outcome.INSUFFICIENT), (0, Outcome.INSUFFICIENT)]
)
def test_group_must_be_large_enough_to_be_judged(contract: Contract, women: int, outcome: Outcome) -> None:
    data = table(20).assign(sex=pd.array([2] * women + [1] * (20 - women), dtype="Int64"))
    found = {check.subject: check for check in group_checks(data, contract, fairness())}
    assert found["sex: men"].outcome is Outcome.PASS
    assert found["sex: women"].outcome is outcome
    assert found["sex: women"].detail == (
        f"group women of sex: {women} rows; allowed: at least 5 to be judged (policy: fairness.minimum_group)"
    )


@pytest.mark.parametrize("rules", [None, fairness(required=()), fairness(small_groups="record")])
def test_group_sizes_are_recorded_where_they_decide_nothing(contract: Contract, rules: FairnessRules | None) -> None:
    data = table(20).assign(sex=pd.array([2] * 3 + [1] * 17, dtype="Int64"))
    assert {check.outcome for check in group_checks(data, contract, rules)} == {Outcome.RECORDED}

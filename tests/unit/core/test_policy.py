"""The policy's own rules: thresholds that nothing can meet, or nothing can miss, are refused."""

import pytest

from tallystick.components.core.agreement import check_agreement
from tallystick.components.core.contract import parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.policy import parse_policy
from tests.support import lending

GOOD = lending.POLICY


def changed(before: str, after: str) -> str:
    assert GOOD.count(before) >= 1, before
    return GOOD.replace(before, after, 1)


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_policy(text, "my/policy.yaml")
    said = str(caught.value)
    assert said.startswith("my/policy.yaml: ")
    return said


def test_good_policy_is_read_and_fills_in_defaults() -> None:
    policy = parse_policy(GOOD)
    assert policy.data.leakage_auc == 0.95
    assert policy.fairness.small_groups == "refuse"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("minimum_rows", "minimum_row", "data.minimum_row: unknown key; did you mean 'minimum_rows'?"),
        ("minimum_rows: 300", "minimum_rows: 0", "data.minimum_rows: found 0; allowed: 1 or more"),
        ("minimum_rows: 300", "minimum_rows: 1.5", "data.minimum_rows: found 1.5; allowed: a whole number"),
        ("folds: 3", "folds: 1", "data.folds: found 1; allowed: 2 or more"),
        ("folds: 3", "leakage_auc: 0.5", "data.leakage_auc: found 0.5; allowed: more than 0.5"),
        ("folds: 3", "leakage_p_value: 0", "data.leakage_p_value: found 0; allowed: more than 0"),
        ("folds: 3", "maximum_missing: 1.1", "data.maximum_missing: found 1.1; allowed: 1 or less"),
        ("folds: 3", "holdout_fraction: 0.9", "data.holdout_fraction: found 0.9; allowed: 0.5 or less"),
        ("approval_rate: 0.8", "approval_rate: 80", "decision.approval_rate: found 80; allowed: less than 1"),
        ("approval_rate: 0.8", "approval_rate: 1.0", "decision.approval_rate: found 1.0; allowed: less than 1"),
        ("approval_rate: 0.8", "threshold: 0.5, approval_rate: 0.8", "decision: give either `threshold` or"),
        ("{approval_rate: 0.8}", "{}", "decision: give either `threshold` or `approval_rate`"),
        ("adverse_impact_ratio: {minimum: 0.8}", "adverse_impact_ratio: {minimum: 1.25}",
         "fairness.adverse_impact_ratio: the figure lies between 0 and 1, 1.25 can never be met"),
        ("adverse_impact_ratio: {minimum: 0.8}", "adverse_impact_ratio: {maximum: 0.8}",
         "fairness: adverse_impact_ratio: give `minimum` (1.0 is parity)"),
        ("adverse_impact_ratio: {minimum: 0.8}", "adverse_impact_ratio: {minimum: 80%}",
         "fairness.adverse_impact_ratio.minimum: found '80%'; allowed: a number"),
        ("minimum_group: 30", "equalised_odds_difference: {minimum: 0.1}", "equalised_odds_difference: give `maximum`"),
        ("minimum_group: 30", "minimum_group: 3", "fairness.minimum_group: found 3; allowed: 5 or more"),
        ("auc: {minimum: 0.6}", "auc: {minimum: 60}", "evaluation.auc: the figure lies between 0 and 1, 60"),
        ("auc: {minimum: 0.6}", "auc: {minimum: 1}", "evaluation: auc: a minimum of 1 can only be met by a model that"),
        ("auc: {minimum: 0.6}", "auc: {maximum: 0.6}", "evaluation: auc: give `minimum` (more is better)"),
        ("auc: {minimum: 0.6}", "auc: {}", "evaluation.auc: give either `minimum` or `maximum`"),
        ("auc: {minimum: 0.6}", "gini: {minimum: 7}", "evaluation.gini: the figure lies between 0 and 1, 7"),
        ("auc: {minimum: 0.6}", "brier: {minimum: 0.1}", "evaluation: brier: give `maximum` (less is better)"),
        ("auc: {minimum: 0.6}", "brier: {maximum: 0}", "evaluation: brier: a maximum of 0 can only be met"),
        ("benchmark: scorecard", "benchmark: card", "training: benchmark 'card' is none of the candidates: scorecard"),
        ("name: logistic, kind", "name: boosting, kind", "training: two candidates have the same name"),
        ("kind: hist_gradient_boosting", "kind: xgboost", "candidates[boosting].kind: found 'xgboost'; allowed: 'log"),
        ("kind: hist_gradient_boosting", "kin: x", "candidates[boosting].kin: unknown key; did you mean 'kind'?"),
        ("required: [gender]", "required: gender", "fairness.required: found 'gender'; allowed: a list"),
        ("weight_pct: 50", "weight_pct: 51", "rollout.steps[0].weight_pct: found 51; allowed: 50 or less"),
        ("deadline_s: 60", "deadline_s: 1", "rollout: deadline_s: the steps alone take 1 s, found 1; allowed: more"),
        ("seed: 7", "seed: -1", "seed: found -1; allowed: 0 or more"),
        ("decision:", "decisoin:", "decisoin: unknown key; did you mean 'decision'?"),
    ],
)  # fmt: skip
def test_impossible_or_misspelt_rules_are_refused_by_field(before: str, after: str, says: str) -> None:
    assert says in message(changed(before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("adverse_impact_ratio: {minimum: 0.8}", "adverse_impact_ratio: {minimum: 1.0}"),
        ("auc: {minimum: 0.6}", "auc: {minimum: 0.99}"),
        ("minimum_group: 30", "minimum_group: 5"),
        ("folds: 3", "folds: 2"),
        ("deadline_s: 60", "deadline_s: 1.01"),
        ("weight_pct: 50", "weight_pct: 1"),
    ],
)
def test_the_other_side_of_each_limit_is_allowed(before: str, after: str) -> None:
    parse_policy(changed(before, after))


def test_weights_must_rise() -> None:
    steps = "steps: [{weight_pct: 20}, {weight_pct: 10}]"
    text = changed("steps: [{weight_pct: 50, minimum_time_s: 1, minimum_requests: 50}]", steps)
    assert "rollout: steps: weights must rise, found [20, 10]" in message(text.replace("deadline_s: 60", ""))


def test_one_candidate_alone_is_no_comparison() -> None:
    lines = [line for line in GOOD.splitlines() if "name: logistic" not in line and "name: boosting" not in line]
    assert "give at least one candidate beside the benchmark" in message("\n".join(lines))


def test_policy_must_speak_of_the_contracts_columns() -> None:
    contract = parse_contract(lending.CONTRACT)
    check_agreement(contract, parse_policy(GOOD))
    with pytest.raises(InputError, match=r"fairness.required: 'race' is no sensitive attribute.*allowed: gender, age"):
        check_agreement(contract, parse_policy(changed("required: [gender]", "required: [race]")))
    with pytest.raises(InputError, match=r"candidates\[scorecard\].features: 'age' is no feature.*allowed: has_gua"):
        check_agreement(contract, parse_policy(changed("[income_eur, late_payments]", "[income_eur, age]")))

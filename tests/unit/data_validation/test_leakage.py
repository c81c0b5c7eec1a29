"""Columns that know the outcome, and columns that are merely good: the first are refused and the second are not."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from tallystick.components.core.policy import DataRules
from tallystick.components.core.verdicts import Outcome
from tallystick.components.data_validation.leakage import Leakage, Level, leakage_checks, leakage_of

RULES = DataRules(leakage_auc=0.95, leakage_p_value=1e-6)
ROWS = 2000


@pytest.fixture(scope="module")
def adverse() -> np.ndarray:
    return (np.random.default_rng(1).random(ROWS) < 0.12).astype(np.int64)


def measure(values: object, adverse: np.ndarray, name: str = "x") -> Leakage:
    return leakage_of(pd.DataFrame({name: values}), [name], adverse, seed=5)[0]


def refused(leak: Leakage) -> set[str]:
    return {check.name for check in leakage_checks([leak], RULES) if check.outcome is Outcome.FAIL}


def test_auc_of_one_number_is_the_textbook_one_whichever_way_it_points(adverse: np.ndarray) -> None:
    values = adverse + np.random.default_rng(2).normal(0, 1, ROWS)
    expected = roc_auc_score(adverse, values)
    assert measure(values, adverse).auc == pytest.approx(expected)
    assert measure(-values, adverse).auc == pytest.approx(expected)


def test_auc_line_refuses_at_and_above_and_passes_below() -> None:
    def of(auc: float) -> Leakage:
        return Leakage(column="x", auc=auc, by="order", level=None, p_value=1.0)

    assert refused(of(0.95)) == {"leakage_auc"}
    assert refused(of(0.9499)) == set()


@pytest.mark.parametrize("form", ["same", "opposite", "text", "scattered codes"])
def test_target_under_another_name_is_refused(adverse: np.ndarray, form: str) -> None:
    values = {
        "same": adverse,
        "opposite": 1 - adverse,
        "text": np.where(adverse == 1, "denied", "approved"),
        # Three codes of which the middle one is the outcome: no order shows it, the values do.
        "scattered codes": np.where(adverse == 1, 2, np.where(np.arange(ROWS) % 2, 1, 3)),
    }[form]
    leak = measure(values, adverse)
    assert "leakage_auc" in refused(leak)
    assert leak.auc == 1.0
    check = next(check for check in leakage_checks([leak], RULES) if check.name == "leakage_auc")
    assert "column x is the target under another name" in check.detail
    assert "allowed: below 0.95 (policy: data.leakage_auc)" in check.detail


def test_value_filled_in_only_for_the_denied_is_refused(adverse: np.ndarray) -> None:
    values = np.where(adverse == 1, 5.0, np.nan)
    assert refused(measure(values, adverse)) == {"leakage_auc", "leakage_one_sided"}


def test_value_never_filled_in_for_the_denied_is_refused(adverse: np.ndarray) -> None:
    """A third of the approved have no value either, so that no AUC would show it."""
    rows = np.random.default_rng(3).random(ROWS)
    leak = measure(np.where((adverse == 1) | (rows < 0.6), np.nan, rows), adverse)
    assert leak.auc < 0.95
    assert refused(leak) == {"leakage_one_sided"}
    assert leak.level is not None
    assert leak.level.adverse == 0


def test_level_of_one_outcome_is_refused_though_most_rows_are_elsewhere(adverse: np.ndarray) -> None:
    """Like the buyer of a loan: most loans are kept, and a denied application has no loan to sell."""
    sold = (adverse == 0) & (np.random.default_rng(4).random(ROWS) < 0.15)
    leak = measure(np.where(sold, 3, 0), adverse)
    assert leak.auc < 0.7
    assert refused(leak) == {"leakage_one_sided"}
    check = leakage_checks([leak], RULES)[0]
    assert f"column x: {int(sold.sum())} rows have 3, none of them adverse" in check.detail


def test_p_value_of_a_level_is_the_exact_binomial_tail() -> None:
    def p_value(rows: int, adverse: int) -> float:
        return Level(value="3", rows=rows, adverse=adverse, expected_rate=0.12).p_value

    assert p_value(193, 0) == pytest.approx(binom.pmf(0, 193, 0.12))
    assert p_value(9, 9) == pytest.approx(binom.pmf(9, 9, 0.12))
    assert p_value(9, 4) == 1.0


def test_p_values_are_held_against_all_levels_of_all_columns(adverse: np.ndarray) -> None:
    sold = (adverse == 0) & (np.random.default_rng(4).random(ROWS) < 0.15)
    alone = measure(np.where(sold, 3, 0), adverse).p_value
    many = pd.DataFrame({"x": np.where(sold, 3, 0), "other": np.arange(ROWS) % 100})
    among = leakage_of(many, ["x", "other"], adverse, seed=5)[0].p_value
    assert among == pytest.approx(alone * (2 + 100) / 2)


def test_p_value_line_refuses_below_it_and_passes_at_it() -> None:
    level = Level(value="3", rows=193, adverse=0, expected_rate=0.12)
    leak = Leakage(column="x", auc=0.6, by="values", level=level, p_value=1e-6)
    assert refused(leak) == set()
    assert refused(Leakage(column="x", auc=0.6, by="values", level=level, p_value=0.99e-6)) == {"leakage_one_sided"}


def test_strong_honest_features_are_not_refused(adverse: np.ndarray) -> None:
    generator = np.random.default_rng(6)
    continuous = adverse * 2.0 + generator.normal(0, 1, ROWS)
    graded = np.clip(np.round(adverse * 1.2 + generator.normal(0, 1, ROWS)), -2, 3)
    for values in (continuous, graded, generator.random(ROWS) < 0.5):
        assert refused(measure(values, adverse)) == set()
    assert measure(continuous, adverse).auc > 0.9
    assert measure(graded, adverse).auc > 0.75


def test_honest_end_of_a_long_scale_is_held_against_its_neighbours() -> None:
    """The larger the limit the fewer default, and of those with the largest nobody: honest, and far from the base."""
    generator = np.random.default_rng(9)
    limits = np.round(generator.uniform(1, 100, 40_000))
    outcome = (generator.random(40_000) < 0.5 * np.exp(-limits / 15)).astype(np.int64)
    without = [limit for limit in np.unique(limits) if not outcome[limits == limit].any()]
    rows = max(int((limits == limit).sum()) for limit in without)
    assert binom.pmf(0, rows, outcome.mean()) < 1e-9
    assert refused(measure(limits, outcome)) == set()


def test_code_in_a_long_scale_is_refused_when_its_neighbours_are_mixed() -> None:
    """An amount of exactly 50 stands for "not paid out"; amounts around it have both outcomes."""
    generator = np.random.default_rng(9)
    amounts = np.round(generator.uniform(1, 100, 20_000))
    outcome = (generator.random(20_000) < 0.2).astype(np.int64)
    outcome[amounts == 50] = 1
    assert refused(measure(amounts, outcome)) == {"leakage_one_sided"}


def test_many_rare_values_do_not_seem_to_know_the_outcome(adverse: np.ndarray) -> None:
    """Ranked by their own outcomes, 2,000 different names would know everything."""
    names = np.array([f"name {number}" for number in range(ROWS)])
    leak = measure(names, adverse)
    assert leak.auc == pytest.approx(0.5, abs=0.01)
    assert refused(leak) == set()


def test_pure_noise_alarms_as_rarely_as_the_policy_says() -> None:
    """1,000 columns of ten values each without any relation to the outcome: none may be refused."""
    generator = np.random.default_rng(7)
    outcome = (generator.random(ROWS) < 0.12).astype(np.int64)
    noise = pd.DataFrame({f"n{place}": generator.integers(0, 10, ROWS) for place in range(1000)})
    found = leakage_of(noise, list(noise), outcome, seed=5)
    assert set(itertools.chain.from_iterable(refused(leak) for leak in found)) == set()


def test_the_same_seed_gives_the_same_figures(adverse: np.ndarray) -> None:
    values = np.random.default_rng(8).integers(0, 30, ROWS)
    assert measure(values, adverse) == measure(values, adverse)

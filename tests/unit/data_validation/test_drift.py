"""Later data against a frozen profile: the index, its noise band, and what each verdict needs."""

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Profile
from tallystick.components.core.policy import DataRules
from tallystick.components.core.profiles import features_of, profile_of
from tallystick.components.core.verdicts import Check, Outcome
from tallystick.components.data_validation.drift import drift_checks, drift_of, unmatched_checks

CONTRACT = """
version: 1
name: small
target: {column: y, adverse: 1, favourable: 0, meaning: not repaid}
columns:
  - name: amount
    role: feature
    type: number
    minimum: -5
    maximum: 5
    nullable: true
    reason: &r {code: A, text: The amount asked for}
  - {name: kind, role: feature, type: category, categories: {a: one, b: two}, reason: *r}
"""
RULES = DataRules(drift_psi=0.25)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return parse_contract(CONTRACT)


def table(rows: int, seed: int, *, shift: float = 0.0, share: float = 0.5) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    amounts = np.clip(generator.normal(shift, 1, rows), -5, 5)
    return pd.DataFrame({"amount": amounts, "kind": np.where(generator.random(rows) < share, "a", "b")})


@pytest.fixture(scope="module")
def reference(contract: Contract) -> Profile:
    data = table(10_000, 1)
    return profile_of(data, features_of(contract, data), adverse_rate=0.1)


def judged(contract: Contract, reference: Profile, data: pd.DataFrame) -> list[Check]:
    return drift_checks(drift_of(data, features_of(contract, data), reference, "profile.json"), RULES)


def test_the_same_population_passes_and_the_largest_index_is_shown(contract: Contract, reference: Profile) -> None:
    found = judged(contract, reference, table(5000, 2))
    assert [check.outcome for check in found] == [Outcome.PASS]
    assert found[0].figure is not None
    assert found[0].figure < 0.01


def test_shifted_feature_fails_by_name_with_figure_line_and_noise(contract: Contract, reference: Profile) -> None:
    found = judged(contract, reference, table(5000, 2, shift=1.0))
    assert [(check.outcome, check.subject) for check in found] == [(Outcome.FAIL, "amount")]
    assert "95 % of samples without a shift stay below 0.0" in found[0].detail
    assert "allowed: at most 0.25 (policy: data.drift_psi)" in found[0].detail


def test_shift_of_categories_is_seen(contract: Contract, reference: Profile) -> None:
    found = judged(contract, reference, table(5000, 2, share=0.9))
    assert [(check.outcome, check.subject) for check in found] == [(Outcome.FAIL, "kind")]
    share = np.mean(table(5000, 2, share=0.9)["kind"] == "a")
    base = np.mean(table(10_000, 1)["kind"] == "a")
    expected = (share - base) * np.log(share / base) + (base - share) * np.log((1 - share) / (1 - base))
    assert found[0].figure == pytest.approx(expected, rel=0.01)


def test_missing_and_out_of_range_values_have_bins_of_their_own(contract: Contract, reference: Profile) -> None:
    gaps = table(5000, 2)
    gaps.loc[gaps.index % 4 == 0, "amount"] = np.nan
    wild = table(5000, 2)
    wild.loc[wild.index % 4 == 0, "amount"] = 50.0
    for data in (gaps, wild):
        assert [check.subject for check in judged(contract, reference, data)] == ["amount"]


def test_index_that_few_rows_reach_by_chance_is_insufficient(contract: Contract, reference: Profile) -> None:
    """With 40 rows the noise band is about chi2(9) / 40 = 0.42: an index of 0.3 says nothing."""
    found = [check for seed in range(30) for check in judged(contract, reference, table(40, seed))]
    outcomes = {check.outcome for check in found if check.figure is not None and 0.25 < check.figure < 0.4}
    assert outcomes == {Outcome.INSUFFICIENT}


def test_profile_of_other_features_is_bad_input(contract: Contract, reference: Profile) -> None:
    other = Profile(rows=10, features=(), score=reference.score, adverse_rate=0.1)
    with pytest.raises(InputError, match=r"profile.json: is the profile of other features.*bins of amount, kind"):
        judged(contract, other, table(100, 1))


def test_features_that_the_reference_lacks_are_recorded(contract: Contract, reference: Profile) -> None:
    narrower = Profile(rows=10, features=reference.features[:1], score=reference.score, adverse_rate=0.1)
    data = table(1000, 2, share=0.9)
    assert [check.subject for check in judged(contract, narrower, data)] == ["amount"]
    found = unmatched_checks(features_of(contract, data), narrower)
    assert [(check.subject, check.outcome) for check in found] == [("kind", Outcome.RECORDED)]

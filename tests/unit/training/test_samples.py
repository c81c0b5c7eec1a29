import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.training.samples import folds, split


def parts(lender):
    return split(pd.read_parquet(lender.dataset), lender.contract, lender.policy)


def test_every_row_is_in_one_sample(fair):
    samples = parts(fair)
    rows = np.concatenate([samples.development.row, samples.holdout.row])
    assert sorted(rows) == list(range(1200))
    assert len(samples.holdout.row) == 300


def test_both_samples_have_the_same_mix_of_outcome_and_group(fair):
    samples = parts(fair)
    for group in ("woman", "man"):
        for outcome in (0, 1):
            shares = [
                np.mean((part.groups["gender"] == group) & (part.adverse == outcome))
                for part in (samples.development, samples.holdout)
            ]
            assert shares[0] == pytest.approx(shares[1], abs=1 / 300)


def test_the_split_depends_on_the_seed_alone(fair):
    first, second = parts(fair), parts(fair)
    np.testing.assert_array_equal(first.holdout.row, second.holdout.row)
    reseeded = fair.policy.model_copy(update={"seed": fair.policy.seed + 1})
    other = split(pd.read_parquet(fair.dataset), fair.contract, reseeded)
    assert (first.holdout.row != other.holdout.row).any()


def test_the_medians_that_stand_in_for_missing_values_are_the_development_rows(fair):
    samples = parts(fair)
    income = next(feature for feature in samples.features if feature.name == "income_eur")
    known = samples.development.table["income_eur"].dropna().sort_values().to_numpy()
    assert income.impute == pytest.approx(known[(len(known) - 1) // 2], rel=1e-6)


def test_folds_differ_by_few_rows_and_keep_the_strata():
    strata = np.repeat([0, 1, 2], [500, 101, 13])
    numbers = folds(strata, 5, seed=1)
    assert np.ptp(np.bincount(numbers)) <= 1
    for stratum in range(3):
        assert np.ptp(np.bincount(numbers[strata == stratum], minlength=5)) <= 1


def test_another_seed_deals_the_rows_out_differently():
    strata = np.zeros(100, dtype=np.int64)
    assert (folds(strata, 5, seed=1) != folds(strata, 5, seed=2)).any()


def test_a_sample_of_one_outcome_is_refused(fair):
    table = pd.read_parquet(fair.dataset).assign(outcome="repaid")
    with pytest.raises(InputError, match="one outcome only"):
        split(table, fair.contract, fair.policy)


def test_columns_of_a_narrower_model_are_those_of_its_features(fair):
    samples = parts(fair)
    features, columns = samples.columns(("late_payments",))
    assert [feature.name for feature in features] == ["late_payments"]
    np.testing.assert_array_equal(
        samples.development.matrix[:, columns[0]], samples.development.table["late_payments"].to_numpy(float)
    )

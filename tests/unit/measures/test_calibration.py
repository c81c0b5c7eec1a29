import math

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.metrics import brier_score_loss

from tallystick.components.core.measures.calibration import brier, calibration_bins, hosmer_lemeshow
from tallystick.components.core.measures.intervals import wilson


def drawn(rows=500, *, seed=2):
    generator = np.random.default_rng(seed)
    score = generator.random(rows)
    return (generator.random(rows) < score).astype(np.int64), score


def test_brier_is_scikit_learns_and_nan_without_rows():
    adverse, score = drawn()
    assert brier(adverse, score) == pytest.approx(brier_score_loss(adverse, score))
    assert math.isnan(brier(adverse[:0], score[:0]))


def test_bins_hold_every_row_once_in_rising_order():
    adverse, score = drawn()
    bins = calibration_bins(adverse, score)
    assert [entry.rows for entry in bins] == [50] * 10
    assert sum(round(entry.observed * entry.rows) for entry in bins) == adverse.sum()
    assert [entry.mean_score for entry in bins] == sorted(entry.mean_score for entry in bins)
    first = np.argsort(score)[:50]
    assert bins[0].mean_score == pytest.approx(score[first].mean())
    assert (bins[0].low, bins[0].high) == wilson(int(adverse[first].sum()), 50)


def test_rows_of_equal_score_are_never_parted():
    score = np.array([0.2] * 60 + [0.8] * 40)
    adverse = np.array([0, 1] * 50)
    assert [entry.rows for entry in calibration_bins(adverse, score)] == [60, 40]


def test_hosmer_lemeshow_by_hand():
    # Two bins: 0.25 * 4 expects 1 and sees 2; 0.5 * 4 expects 2 and sees 2.
    score = np.array([0.25] * 4 + [0.5] * 4)
    adverse = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    test = hosmer_lemeshow(adverse, score, bins=2)
    assert test.statistic == pytest.approx(1 / (1 * 0.75))
    assert test.degrees_of_freedom == 2
    assert test.p_value == pytest.approx(chi2.sf(4 / 3, 2))


def test_a_certain_score_that_came_true_adds_nothing_and_one_that_did_not_is_infinite():
    score = np.array([0.0] * 5 + [0.5] * 4)
    kept = np.array([0] * 5 + [1, 1, 0, 0])
    assert hosmer_lemeshow(kept, score, bins=2).statistic == 0.0
    broken = np.array([1, 0, 0, 0, 0, 1, 1, 0, 0])
    assert hosmer_lemeshow(broken, score, bins=2).p_value == 0.0


def test_a_true_score_is_rejected_about_as_often_as_the_test_says():
    rejected = sum(hosmer_lemeshow(*drawn(seed=seed)).p_value < 0.05 for seed in range(400))
    assert 8 <= rejected <= 36  # 20 expected; the binomial's 99.5 % range


def test_no_rows_give_no_bins_and_no_test():
    empty = np.empty(0)
    assert calibration_bins(empty.astype(np.int64), empty) == ()
    assert math.isnan(hosmer_lemeshow(empty.astype(np.int64), empty).p_value)

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from tallystick.components.core.measures.discrimination import (
    auc,
    auc_difference,
    gini,
    kolmogorov_smirnov,
    midranks,
    roc_points,
    thinned,
)


def drawn(rows=400, *, seed=1):
    generator = np.random.default_rng(seed)
    adverse = (generator.random(rows) < 0.3).astype(np.int64)
    # Rounded, so that there are ties within and between the classes.
    return adverse, np.round(generator.random(rows) + 0.3 * adverse, 1), np.round(generator.random(rows), 2)


def slow_delong(adverse, *scores):
    """DeLong (1988) as written: every pair of an adverse and a favourable row."""
    components = []
    for score in scores:
        wins = np.array(
            [[(a > f) + 0.5 * (a == f) for f in score[adverse == 0]] for a in score[adverse == 1]], dtype=float
        )
        components.append((wins.mean(axis=1), wins.mean(axis=0), wins.mean()))
    s10 = np.atleast_2d(np.cov([c[0] for c in components]))
    s01 = np.atleast_2d(np.cov([c[1] for c in components]))
    covariance = s10 / (adverse == 1).sum() + s01 / (adverse == 0).sum()
    return [c[2] for c in components], covariance


def test_auc_and_its_variance_are_delongs():
    adverse, score, _ = drawn()
    (figure,), covariance = slow_delong(adverse, score)
    area = auc(adverse, score)
    assert area.figure == pytest.approx(figure, abs=1e-12)
    assert area.figure == pytest.approx(roc_auc_score(adverse, score), abs=1e-12)
    assert area.variance == pytest.approx(covariance[0, 0], rel=1e-10)
    reach = 1.959963984540054 * math.sqrt(covariance[0, 0])
    assert area.interval == pytest.approx((figure - reach, figure + reach))


def test_the_difference_of_two_aucs_takes_their_covariance_into_account():
    adverse, first, second = drawn()
    second = second + 0.5 * first
    figures, covariance = slow_delong(adverse, first, second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    difference, (low, high) = auc_difference(adverse, first, second)
    assert difference == pytest.approx(figures[0] - figures[1])
    assert high - low == pytest.approx(2 * 1.959963984540054 * math.sqrt(variance))


def test_a_score_does_not_differ_from_itself():
    adverse, score, _ = drawn()
    assert auc_difference(adverse, score, score) == (0.0, (0.0, 0.0))


def test_perfect_separation_has_an_interval_that_a_small_sample_deserves():
    area = auc(np.array([1, 1, 1, 0, 0, 0, 0]), np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.2, 0.1]))
    assert area.figure == 1.0
    assert area.interval[0] == pytest.approx(3 / (3 + 1.959963984540054**2))  # Wilson's lower limit of 3 of 3
    assert area.interval[1] == 1.0


@pytest.mark.parametrize("adverse", [[0, 0, 0], [1, 1, 1]])
def test_without_one_of_the_classes_everything_is_nan(adverse):
    labels, scores = np.array(adverse), np.array([0.1, 0.2, 0.3])
    assert math.isnan(auc(labels, scores).figure)
    assert math.isnan(auc_difference(labels, scores, scores)[0])
    assert math.isnan(kolmogorov_smirnov(labels, scores))
    assert len(roc_points(labels, scores)[0]) == 0


def test_gini_is_one_for_perfect_and_nought_for_chance():
    assert (gini(1.0), gini(0.5)) == (1.0, 0.0)


def test_kolmogorov_smirnov_is_the_largest_gap_between_distribution_functions():
    adverse, score, _ = drawn()
    gaps = [abs(np.mean(score[adverse == 0] <= cut) - np.mean(score[adverse == 1] <= cut)) for cut in np.unique(score)]
    assert kolmogorov_smirnov(adverse, score) == pytest.approx(max(gaps))


def test_the_roc_curve_is_scikit_learns_with_a_finite_first_threshold():
    adverse, score, _ = drawn()
    false_positive, true_positive, thresholds = roc_points(adverse, score)
    expected = roc_curve(adverse, score, drop_intermediate=False)
    np.testing.assert_allclose(false_positive, expected[0])
    np.testing.assert_allclose(true_positive, expected[1])
    np.testing.assert_allclose(thresholds[1:], expected[2][1:])
    assert np.isfinite(thresholds).all()
    assert thresholds[0] > score.max()


def test_midranks_put_ties_at_their_mean_rank():
    assert midranks(np.array([10.0, 20.0, 20.0, 5.0])).tolist() == [2.0, 3.5, 3.5, 1.0]


@pytest.mark.parametrize(("count", "at_most"), list(itertools.product([1, 2, 7, 1000], [5, 200])))
def test_thinning_keeps_both_ends(count, at_most):
    kept = thinned(count, at_most)
    assert len(kept) <= max(at_most, 1)
    assert (kept[0], kept[-1]) == (0, count - 1)

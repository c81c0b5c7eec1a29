import math

import numpy as np
import pytest

from tallystick.components.core.measures.intervals import koopman, newcombe, wilson


def test_wilson_gives_the_published_interval():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I: 81 of 263.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("successes", "rows"), [(0, 20), (20, 20), (1, 29), (29, 29)])
def test_wilson_stays_inside_and_is_never_of_width_zero(successes, rows):
    low, high = wilson(successes, rows)
    assert 0.0 <= low < high <= 1.0
    assert low <= successes / rows <= high


def test_newcombe_gives_the_published_interval():
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, example (a): 56/70 against 48/80.
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_newcombe_is_antisymmetric():
    low, high = newcombe(7, 20, 15, 30)
    assert newcombe(15, 30, 7, 20) == pytest.approx((-high, -low))


def test_koopman_gives_the_published_interval():
    # Koopman (1984), Biometrics 40, section 4: 36/40 against 16/80.
    assert koopman(36, 40, 16, 80) == pytest.approx((2.94, 7.15), abs=5e-3)


def test_koopmans_limits_are_where_the_score_test_is_at_its_critical_value():
    x, n, y, m = 98, 147, 1150, 1261
    for ratio in koopman(x, n, y, m):
        # The shares under the hypothesis by brute force over a grid, not by the closed form.
        reference = np.linspace(1e-6, min(1.0, 1.0 / ratio) - 1e-6, 400_001)
        share = ratio * reference
        likelihood = x * np.log(share) + (n - x) * np.log1p(-share)
        likelihood += y * np.log(reference) + (m - y) * np.log1p(-reference)
        best = reference[likelihood.argmax()]
        variance = ratio * best * (1 - ratio * best) / n + ratio**2 * best * (1 - best) / m
        assert (x / n - ratio * y / m) ** 2 / variance == pytest.approx(1.959964**2, rel=1e-3)


def test_koopmans_interval_of_a_ratio_turned_round_is_turned_round():
    low, high = koopman(30, 50, 200, 240)
    assert koopman(200, 240, 30, 50) == pytest.approx((1 / high, 1 / low))


def test_koopman_exists_where_a_share_is_nought_or_one():
    low, high = koopman(0, 10, 50, 100)
    assert (low, 0.3 < high < 0.8) == (0.0, True)
    low, high = koopman(10, 10, 100, 100)
    assert low < 1.0 < high
    low, high = koopman(3, 10, 0, 100)
    assert low > 1.0
    assert high == math.inf


@pytest.mark.parametrize("counts", [(0, 0, 5, 10), (5, 10, 0, 0), (0, 10, 0, 10)])
def test_koopman_is_nan_where_there_is_no_ratio(counts):
    assert all(math.isnan(limit) for limit in koopman(*counts))


def test_koopman_covers_small_groups_about_as_often_as_it_says():
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(2000):
        x, y = int(generator.binomial(30, 0.72)), int(generator.binomial(300, 0.9))
        low, high = koopman(x, 30, y, 300)
        covered += low <= 0.8 <= high
    assert 0.93 <= covered / 2000 <= 0.97

"""The population stability index against the textbook sum, its limits, and its noise band against simulation."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from tallystick.components.core.measures.stability import population_stability


def test_index_is_the_textbook_sum() -> None:
    """Two bins, 100,000 rows each, so that the half rows do not show: (0.2 - 0.1) ln(2) + (0.8 - 0.9) ln(8/9)."""
    expected = 0.1 * math.log(2) - 0.1 * math.log(8 / 9)
    found = population_stability([10_000, 90_000], [20_000, 80_000])
    assert found.index == pytest.approx(expected, rel=1e-3)


def test_equal_shares_give_zero_at_any_size() -> None:
    assert population_stability([50, 50], [50, 50]).index == 0.0
    large = population_stability([100_000, 300_000], [1_000, 3_000]).index
    assert large is not None
    assert large < 1e-5


def test_index_is_symmetric_for_samples_of_one_size() -> None:
    first, second = [30, 50, 20], [10, 60, 30]
    assert population_stability(first, second).index == pytest.approx(population_stability(second, first).index)


def test_bin_that_is_new_is_large_and_finite() -> None:
    found = population_stability([1000, 0], [500, 500]).index
    assert found is not None
    assert 1.0 < found < 10.0


def test_bins_that_are_empty_in_both_are_left_out() -> None:
    assert population_stability([5, 0, 5, 0], [4, 0, 6, 0]) == population_stability([5, 5], [4, 6])


@pytest.mark.parametrize(("reference", "actual"), [([0, 0], [1, 2]), ([1, 2], [0, 0]), ([], [])])
def test_an_empty_sample_has_no_index(reference: list[int], actual: list[int]) -> None:
    found = population_stability(reference, actual)
    assert found.index is None
    assert found.noise is None


def test_noise_band_is_the_chi_square_one() -> None:
    """The example of the model validators: N = 10,000, M = 200, ten bins give about 0.09."""
    found = population_stability([1000] * 10, [20] * 10)
    assert found.noise == pytest.approx(chi2.ppf(0.95, 9) * (1 / 10_000 + 1 / 200))
    assert found.noise == pytest.approx(0.086, abs=0.001)


def test_one_bin_has_no_noise_and_no_index() -> None:
    found = population_stability([10], [20])
    assert (found.index, found.noise) == (0.0, 0.0)


def test_noise_band_holds_in_simulation() -> None:
    generator = np.random.default_rng(1)
    shares = [0.1] * 10
    outside = 0
    for _ in range(2000):
        found = population_stability(generator.multinomial(5000, shares), generator.multinomial(500, shares))
        assert found.index is not None
        assert found.noise is not None
        outside += found.index > found.noise
    assert 0.03 < outside / 2000 < 0.07


@pytest.mark.parametrize(("reference", "actual"), [([1, 2], [1]), ([[1], [2]], [[1], [2]])])
def test_other_bins_cannot_be_compared(reference: list[int], actual: list[int]) -> None:
    with pytest.raises(ValueError, match="not of the same bins"):
        population_stability(reference, actual)


def test_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="a count is negative"):
        population_stability([1, -1], [1, 1])

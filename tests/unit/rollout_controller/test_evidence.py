"""E-processes: exact values by brute force, and the bound that they promise, by simulation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from tallystick.components.rollout_controller.evidence import (
    BETTER,
    MUCH_BETTER,
    NOTHING,
    WORSE,
    Pair,
    advance_mixture,
    log_factorial,
    log_odds_evidence,
    log_rate_evidence,
    mixture_value,
    population_stability_index,
    product_value,
    start_mass,
    tolerated_odds_ratio,
)


def pair(nc: int, kc: int, nb: int, kb: int) -> Pair:
    return Pair(n_canary=nc, k_canary=kc, n_baseline=nb, k_baseline=kb)


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 170, 10_000, 1_000_000])
def test_log_factorial_agrees_with_the_gamma_function(n):
    assert log_factorial(n) == pytest.approx(math.lgamma(n + 1), rel=1e-13, abs=1e-13)


def hypergeometric(nc: int, nb: int, total: int, psi: float) -> dict[int, float]:
    """Fisher's noncentral hypergeometric distribution with exact integers."""
    ways = {
        j: math.comb(nc, j) * math.comb(nb, total - j) * psi**j for j in range(max(0, total - nb), min(nc, total) + 1)
    }
    whole = sum(ways.values())
    return {j: value / whole for j, value in ways.items()}


@pytest.mark.parametrize(("nc", "nb", "total"), [(5, 45, 3), (7, 2, 6), (20, 20, 11), (1, 1, 1)])
def test_the_odds_evidence_is_the_likelihood_ratio_of_fishers_distribution(nc, nb, total):
    null, alternatives = 1.5, np.array([2.0, 10.0, 1000.0])
    under_null = hypergeometric(nc, nb, total, null)
    for k, probability in under_null.items():
        found = np.exp(log_odds_evidence(pair(nc, k, nb, total - k), null=null, alternatives=alternatives))
        wanted = [hypergeometric(nc, nb, total, psi)[k] / probability for psi in alternatives]
        assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("true", [0.2, 1.0, 1.5])
def test_under_every_odds_ratio_of_the_null_evidence_of_harm_is_at_most_one_on_average(true):
    alternatives = 1.5 * np.array(WORSE)
    distribution = hypergeometric(12, 30, 9, true)
    mean = sum(
        probability * np.exp(log_odds_evidence(pair(12, k, 30, 9 - k), null=1.5, alternatives=alternatives))
        for k, probability in distribution.items()
    )
    assert (mean <= 1.0 + 1e-9).all()
    if true == 1.5:
        assert mean == pytest.approx(np.ones(len(WORSE)))


@pytest.mark.parametrize("true", [10.0, 30.0])
def test_under_every_odds_ratio_of_the_null_evidence_of_health_is_at_most_one_on_average(true):
    distribution = hypergeometric(12, 30, 9, true)
    alternatives = 10.0 * np.array(BETTER)
    mean = sum(
        probability * np.exp(log_odds_evidence(pair(12, k, 30, 9 - k), null=10.0, alternatives=alternatives))
        for k, probability in distribution.items()
    )
    assert (mean <= 1.0 + 1e-9).all()


@pytest.mark.parametrize("counts", [(5, 0, 5, 0), (5, 5, 5, 5), (0, 0, 5, 2), (5, 3, 0, 0)])
def test_without_any_event_or_with_nothing_else_the_comparison_learns_nothing(counts):
    assert not pair(*counts).informative
    assert (log_odds_evidence(pair(*counts), null=1.0, alternatives=np.array([2.0, 9.0])) == 0).all()


def test_the_complement_turns_the_odds_ratio_round():
    there = log_odds_evidence(pair(10, 7, 20, 4), null=2.0, alternatives=np.array([8.0]))
    back = log_odds_evidence(pair(10, 7, 20, 4).complement, null=0.5, alternatives=np.array([0.125]))
    assert there == pytest.approx(back)


@pytest.mark.parametrize(("factors", "rate"), [(WORSE, 0.05), (WORSE, 0.01), (MUCH_BETTER, 0.05), (MUCH_BETTER, 0.4)])
def test_the_rate_evidence_averages_to_at_most_one_under_its_null(factors, rate):
    n = 30
    mean = sum(
        math.comb(n, k) * rate**k * (1 - rate) ** (n - k)
        * np.exp(log_rate_evidence(n, k, limit=0.05, factors=factors))
        for k in range(n + 1)
    )  # fmt: skip
    assert (mean <= 1.0 + 1e-9).all()
    if rate == 0.05:
        assert mean == pytest.approx(np.ones(len(factors)))


def test_the_starting_masses_sum_to_one():
    assert sum(start_mass(s) for s in range(1, 100_000)) == pytest.approx(1.0, abs=1e-4)


def test_the_mixture_over_starting_times_is_what_its_definition_says():
    log_e = [np.array([0.3, -0.2]), np.array([-1.0, 2.0]), np.array([0.5, 0.5])]
    log_r = np.full(2, NOTHING)
    for interval, value in enumerate(log_e, start=1):
        log_r = advance_mixture(log_r, value, interval)
    e = np.exp(np.array(log_e))
    wanted = np.mean([sum(start_mass(s) * np.prod(e[s - 1 :, a]) for s in (1, 2, 3)) for a in (0, 1)]) + 1 / 4
    assert mixture_value(log_r, 3) == pytest.approx(wanted)


def test_no_evidence_keeps_the_mixture_at_one():
    log_r = np.full(3, NOTHING)
    assert mixture_value(log_r, 0) == 1.0
    for interval in range(1, 50):
        log_r = advance_mixture(log_r, np.zeros(3), interval)
        assert mixture_value(log_r, interval) == pytest.approx(1.0)


def test_a_sudden_failure_after_a_long_healthy_time_is_found_at_once():
    log_r = np.full(len(WORSE), NOTHING)
    healthy = log_rate_evidence(100, 0, limit=0.05, factors=WORSE)
    for interval in range(1, 501):
        log_r = advance_mixture(log_r, healthy, interval)
    log_r = advance_mixture(log_r, log_rate_evidence(10, 10, limit=0.05, factors=WORSE), 501)
    assert mixture_value(log_r, 501) > 600
    # a plain product would have hidden it for thousands of requests
    assert product_value(500 * healthy + log_rate_evidence(10, 10, limit=0.05, factors=WORSE)) < 1e-30


def test_a_healthy_stream_is_rarely_accused_however_often_one_looks():
    """2,000 streams, looked at 60 times each, odds ratio at the edge of the null: at most alpha ever cross."""
    random, alpha, crossed = np.random.default_rng(1), 0.05, 0
    table = {
        (kc, kb): log_odds_evidence(pair(20, kc, 60, kb), null=1.5, alternatives=1.5 * np.array(WORSE))
        for kc, kb in product(range(13), range(22))
    }
    odds = 1.5 * 0.05 / 0.95
    for _ in range(2000):
        log_r = np.full(len(WORSE), NOTHING)
        for interval in range(1, 61):
            counts = min(12, random.binomial(20, odds / (1 + odds))), min(21, random.binomial(60, 0.05))
            log_r = advance_mixture(log_r, table[counts], interval)
            if mixture_value(log_r, interval) >= 1 / alpha:
                crossed += 1
                break
    assert crossed / 2000 <= alpha


def test_psi_is_zero_for_the_same_and_infinite_for_an_empty_bin():
    assert population_stability_index([1, 2, 3], [2, 4, 6]) == pytest.approx(0.0)
    assert population_stability_index([1, 1], [1, 0]) == math.inf
    # (0.7-0.5) ln(0.7/0.5) + (0.3-0.5) ln(0.3/0.5)
    assert population_stability_index([5, 5], [7, 3]) == pytest.approx(0.2 * math.log(1.4) - 0.2 * math.log(0.6))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("psi", [0.1, 0.25])
def test_the_tolerated_odds_ratio_is_where_the_two_bin_psi_reaches_the_maximum(share, psi):
    ratio = tolerated_odds_ratio(share, psi)
    odds = ratio * share / (1 - share)
    moved = odds / (1 + odds)
    assert ratio > 1
    assert population_stability_index([share, 1 - share], [moved, 1 - moved]) == pytest.approx(psi)


def test_merging_bins_never_raises_the_psi():
    random = np.random.default_rng(4)
    for _ in range(200):
        p, q = random.dirichlet(np.ones(10)), random.dirichlet(np.ones(10))
        whole = population_stability_index(p, q)
        for cut in range(1, 10):
            merged = population_stability_index([p[:cut].sum(), p[cut:].sum()], [q[:cut].sum(), q[cut:].sum()])
            assert merged <= whole + 1e-12

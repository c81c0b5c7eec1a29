"""E-processes: evidence that may be looked at after every interval, as often as one likes, without losing its meaning.

An e-process starts at 1 and, while its null hypothesis holds, is expected to stay at or below 1 at every stopping
time; so P(it ever reaches 1/alpha) <= alpha (Ville). A fixed threshold that is looked at every minute has no such
bound. Everything here is arithmetic on counts; what a value means for a release is said in judgement.py.

References
----------
M. Lindon, D. Sanden, V. Shirikian, Rapid regression detection in software deployments (arXiv 2205.14762).
R. Turner, A. Ly, P. Grünwald, Generic E-variables for exact sequential k-sample tests (arXiv 2106.02693).
J. Shin, A. Ramdas, A. Rinaldo, E-detectors (arXiv 2203.03532), for the mixture over starting times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WORSE = (1.5, 2.0, 4.0, 10.0, 30.0, 100.0, 1000.0)
"""Alternatives of a test for harm, as multiples of the odds ratio that is still tolerated."""

BETTER = (1 / 1.5, 1 / 3.0, 1 / 10.0)
"""Alternatives of a comparison for health, as multiples of the odds ratio that would be too bad."""

MUCH_BETTER = (1 / 3.0, 1 / 10.0, 1 / 100.0)
"""Alternatives of a test for health on one arm's own rate, as multiples of the limit's odds."""

NOTHING = -1e9
"""Logarithm that stands for zero: JSON has no infinity."""

_LARGEST = 1e15
_STIRLING_FROM = 32


def log_factorial(values: npt.ArrayLike) -> Floats:
    """Natural logarithm of n! for whole n >= 0, any shape; relative error below 1e-13."""
    n = np.asarray(values, dtype=np.float64)
    small = np.minimum(n, _STIRLING_FROM - 1).astype(np.intp)
    x = np.maximum(n, 1.0) + 1.0
    series = 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5) - 1 / (1680 * x**7)
    large = (x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi) + series
    return np.where(n < _STIRLING_FROM, _SMALL[small], large)


_SMALL = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, _STIRLING_FROM)))])


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What happened in both arms in the same interval: `k` of `n` requests showed the event that is tested."""

    n_canary: int
    k_canary: int
    n_baseline: int
    k_baseline: int

    @property
    def complement(self) -> Pair:
        """The same interval for the opposite event."""
        return Pair(
            n_canary=self.n_canary,
            k_canary=self.n_canary - self.k_canary,
            n_baseline=self.n_baseline,
            k_baseline=self.n_baseline - self.k_baseline,
        )

    @property
    def informative(self) -> bool:
        """False where the conditional test learns nothing: an empty arm, or the event always or never."""
        total = self.k_canary + self.k_baseline
        return self.n_canary > 0 and self.n_baseline > 0 and 0 < total < self.n_canary + self.n_baseline


def log_odds_evidence(pair: Pair, *, null: float, alternatives: Floats) -> Floats:
    """Log e-values of one interval for the odds ratio of canary to baseline, given how many events there were.

    The number of events in the canary, given the number in both, follows Fisher's noncentral hypergeometric
    distribution, whatever the rates are: so they may change from interval to interval, and the weights too.

    Parameters
    ----------
    pair
        The interval's counts.
    null
        Odds ratio under the null. Alternatives above it test "at most `null`", below it "at least `null`".
    alternatives
        Odds ratios, shape (m,).

    Returns
    -------
    Floats
        Shape (m,); zeros (e = 1) where the interval is not informative.
    """
    if not pair.informative:
        return np.zeros(len(alternatives))
    total = pair.k_canary + pair.k_baseline
    j = np.arange(max(0, total - pair.n_baseline), min(pair.n_canary, total) + 1)
    ways = (
        log_factorial(pair.n_canary) - log_factorial(j) - log_factorial(pair.n_canary - j)
        + log_factorial(pair.n_baseline) - log_factorial(total - j) - log_factorial(pair.n_baseline - total + j)
    )  # fmt: skip
    log_psi = np.log(np.concatenate([[null], alternatives]))
    terms = ways + np.outer(log_psi, j)
    peak = terms.max(axis=1)
    log_z = peak + np.log(np.exp(terms - peak[:, None]).sum(axis=1))
    evidence: Floats = pair.k_canary * (log_psi[1:] - log_psi[0]) + log_z[0] - log_z[1:]
    return evidence


def log_rate_evidence(n: int, k: int, *, limit: float, factors: tuple[float, ...]) -> Floats:
    """Log e-values for one arm's own rate against a limit, `k` events in `n` requests.

    Parameters
    ----------
    limit
        Rate at the edge of the null, strictly between 0 and 1.
    factors
        Alternatives as multiples of the limit's odds: above 1 they test "rate <= limit", below 1 "rate >= limit".
        Both are valid for the whole composite null, as the ratio is monotone in the rate.

    Returns
    -------
    Floats
        Shape (len(factors),).
    """
    odds = limit / (1.0 - limit) * np.asarray(factors, dtype=np.float64)
    rates = odds / (1.0 + odds)
    result: Floats = k * np.log(rates / limit) + (n - k) * np.log((1.0 - rates) / (1.0 - limit))
    return result


def start_mass(interval: int) -> float:
    """Weight of the alternative that the harm begins with this interval (1, 2, ...); all weights sum to 1."""
    return 1.0 / (interval * (interval + 1.0))


def advance_mixture(log_r: Floats, log_e: Floats, interval: int) -> Floats:
    """Carry a mixture over starting times by one interval.

    A plain product over the whole trial forgets nothing, so a long healthy hour hides a sudden failure for as
    long again. Here each alternative is "it has been so bad *since interval s*", mixed over s.

    Parameters
    ----------
    log_r
        Log of the mixture's started part, one entry an alternative (:data:`NOTHING` at first).
    log_e
        Log e-values of this interval, same shape.
    interval
        Its number, from 1.
    """
    started: Floats = np.logaddexp(log_r, math.log(start_mass(interval)))
    return np.maximum(started + log_e, NOTHING)


def mixture_value(log_r: Floats, interval: int) -> float:
    """Value of the e-process after `interval` intervals: mean over alternatives, with the mass not yet started."""
    waiting = 1.0 / (interval + 1.0)
    return bounded(float(np.mean(np.exp(np.minimum(log_r, 600.0)))) + waiting)


def product_value(log_e: Floats) -> float:
    """Value of an e-process that is a plain product, mean over its alternatives."""
    return bounded(float(np.mean(np.exp(np.minimum(log_e, 600.0)))))


def bounded(value: float) -> float:
    """A number that JSON can hold: beyond 1e15 the difference says nothing."""
    return min(value, _LARGEST)


def population_stability_index(expected: npt.ArrayLike, found: npt.ArrayLike) -> float:
    """PSI of two distributions over the same bins; 0 is identity, inf where a bin is empty in one only.

    References
    ----------
    N. Siddiqi, Credit Risk Scorecards (2006), ch. 9. It is Jeffreys' divergence, so merging bins never raises it.
    """
    p, q = np.asarray(expected, dtype=np.float64), np.asarray(found, dtype=np.float64)
    p, q = p / p.sum(), q / q.sum()
    both = (p > 0) | (q > 0)
    with np.errstate(divide="ignore"):
        return float(np.sum((q[both] - p[both]) * (np.log(q[both]) - np.log(p[both]))))


def tolerated_odds_ratio(share: float, maximum_psi: float) -> float:
    """The odds ratio at which a two-bin distribution, one bin holding `share`, reaches a PSI of `maximum_psi`.

    Since merging bins never raises the PSI, two distributions within `maximum_psi` are within this odds ratio at
    every cut: it is the edge of a null hypothesis that holds every tolerated shift.

    Parameters
    ----------
    share
        Share of the baseline on the near side of the cut, strictly between 0 and 1.
    maximum_psi
        Tolerated PSI, above 0.

    Returns
    -------
    float
        Above 1: the ratio in the rising direction (for the falling one give ``1 - share``).
    """
    logit = math.log(share / (1.0 - share))
    low, high = 0.0, 1.0

    def index(shift: float) -> float:
        return (1.0 / (1.0 + math.exp(-(logit + shift))) - share) * shift

    while index(high) < maximum_psi:
        high *= 2.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if index(middle) < maximum_psi else (low, middle)
    return math.exp(high)

"""Confidence intervals for shares, their differences and their ratios that hold for small groups.

Wald's intervals have width zero at 0 and 1 and are falsely narrow near them, exactly where a group of forty
applicants lives; none is used here. Pure Python on counts: a gate needs a few dozen of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Interval = tuple[float, float]

Z_95 = 1.959963984540054
"""The normal distribution's 97.5th percentile."""

_BISECTIONS = 64
_NOTHING: Interval = (math.nan, math.nan)


def wilson(successes: int, rows: int) -> Interval:
    """Wilson's 95 % interval for a share.

    Within [0, 1], never of width zero; NaN for an empty group.

    References
    ----------
    Wilson (1927), JASA 22, 209-212; Newcombe (1998), Statistics in Medicine 17, 857-872, method 3.
    """
    if rows == 0:
        return _NOTHING
    share, square = successes / rows, Z_95**2
    centre = (share + square / (2 * rows)) / (1 + square / rows)
    reach = Z_95 / (1 + square / rows) * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    return (max(0.0, centre - reach) if successes else 0.0, min(1.0, centre + reach) if successes < rows else 1.0)


def newcombe(successes: int, rows: int, reference_successes: int, reference_rows: int) -> Interval:
    """Newcombe's 95 % interval for a share minus the reference's share.

    Within [-1, 1]; 0.0 is parity; NaN when either group is empty.

    References
    ----------
    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.
    """
    if rows == 0 or reference_rows == 0:
        return _NOTHING
    share, reference = successes / rows, reference_successes / reference_rows
    low, high = wilson(successes, rows)
    reference_low, reference_high = wilson(reference_successes, reference_rows)
    difference = share - reference
    return (
        difference - math.hypot(share - low, reference_high - reference),
        difference + math.hypot(high - share, reference - reference_low),
    )


def koopman(successes: int, rows: int, reference_successes: int, reference_rows: int) -> Interval:
    """Koopman's 95 % score interval for a share divided by the reference's share.

    Keeps its coverage for small groups and for shares at 0 and 1, where the log-ratio interval does not
    exist or is too narrow. 1.0 is parity; the upper limit is infinite when the reference has no success,
    and both are NaN when a group is empty or neither has a success.

    References
    ----------
    Koopman (1984), Biometrics 40, 513-517; Miettinen and Nurminen (1985), Statistics in Medicine 4, 213-226
    (without their N/(N-1)); Fagerland, Lydersen and Laake (2015), SMMR 24, 224-254, who recommend it.
    """
    if rows == 0 or reference_rows == 0 or successes + reference_successes == 0:
        return _NOTHING

    def excess(ratio: float) -> float:
        return _score_statistic(successes, rows, reference_successes, reference_rows, ratio) - Z_95**2

    if reference_successes == 0:
        return (_root(excess, 0.0, math.inf), math.inf)
    estimate = (successes / rows) / (reference_successes / reference_rows)
    low = 0.0 if successes == 0 else _root(excess, 0.0, estimate)
    return (low, _root(excess, math.inf, estimate))


def _score_statistic(x: int, n: int, y: int, m: int, ratio: float) -> float:
    """Chi-square of the hypothesis that the shares' ratio is `ratio`, with the shares estimated under it."""
    a = (n + m) * ratio
    b = n * ratio + x + m + y * ratio
    reference = (b - math.sqrt(max(b * b - 4 * a * (x + y), 0.0))) / (2 * a)
    share = ratio * reference
    variance = max(share * (1 - share) / n + ratio**2 * reference * (1 - reference) / m, 0.0)
    distance = (x / n - ratio * y / m) ** 2
    if variance == 0.0:
        return 0.0 if distance == 0.0 else math.inf
    return distance / variance


def _root(excess: Callable[[float], float], outside: float, inside: float) -> float:
    """Where `excess` changes sign between a ratio far out (positive) and one inside the interval (negative)."""
    # On the log scale; a limit of a share between groups of 10^9 rows lies well within these.
    low = math.log(inside) if 0.0 < inside < math.inf else (30.0 if inside == math.inf else -30.0)
    high = 30.0 if outside == math.inf else (-30.0 if outside == 0.0 else math.log(outside))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if excess(math.exp(middle)) > 0.0:
            high = middle
        else:
            low = middle
    return math.exp((low + high) / 2)

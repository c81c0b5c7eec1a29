"""Whether a score of 0.2 means that one in five turns out adverse.

Measures only; whether a calibration is good enough is the policy's to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tallystick.components.core.measures.intervals import wilson

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Rows of like score: their mean score, the observed adverse rate with its 95 % interval."""

    mean_score: float
    observed: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class HosmerLemeshow:
    """Chi-square of observed against expected adverse rows over bins of like score.

    On rows that the model was not fitted to, the statistic has as many degrees of freedom as there are bins.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float


def brier(adverse: Integers, scores: Floats) -> float:
    """Mean squared distance of the score from the outcome: 0.0 is perfect, NaN for no rows.

    References
    ----------
    Brier (1950), Monthly Weather Review 78, 1-3.
    """
    return float(np.mean((scores - adverse) ** 2)) if len(scores) else math.nan


def calibration_bins(adverse: Integers, scores: Floats, *, bins: int = 10) -> tuple[CalibrationBin, ...]:
    """Bins of nearly equal numbers of rows by rank of score; rows of equal score are never parted."""
    return tuple(_bin(adverse[rows], scores[rows]) for rows in _by_rank(scores, bins))


def _by_rank(scores: Floats, bins: int) -> list[Integers]:
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    cuts = [round(len(scores) * k / bins) for k in range(1, bins)]
    # A cut inside a run of equal scores moves to the run's nearer end.
    moved = set()
    for cut in cuts:
        if cut < len(scores):
            start, end = (int(np.searchsorted(ranked, ranked[cut], side=side)) for side in ("left", "right"))
            moved.add(start if cut - start <= end - cut else end)
    cuts = sorted(moved)
    return [part for part in np.split(order, cuts) if len(part)]


def _bin(adverse: Integers, scores: Floats) -> CalibrationBin:
    count = int(adverse.sum())
    low, high = wilson(count, len(adverse))
    return CalibrationBin(
        mean_score=float(scores.mean()), observed=count / len(adverse), low=low, high=high, rows=len(adverse)
    )


def hosmer_lemeshow(adverse: Integers, scores: Floats, *, bins: int = 10) -> HosmerLemeshow:
    """Hosmer and Lemeshow's test on rows that the model has not seen.

    A bin whose expected count is 0 or all of its rows adds nothing when it was met, and makes the statistic
    infinite (p-value 0) when it was not.

    References
    ----------
    Hosmer, Lemeshow and Sturdivant (2013), Applied Logistic Regression, 3rd ed., section 5.2.2.
    """
    from scipy.special import gammaincc

    statistic, used = 0.0, 0
    for rows in _by_rank(scores, bins):
        observed, expected, count = float(adverse[rows].sum()), float(scores[rows].sum()), len(rows)
        spread = expected * (1.0 - expected / count)
        used += 1
        if spread > 0.0:
            statistic += (observed - expected) ** 2 / spread
        elif not math.isclose(observed, expected, abs_tol=1e-9):
            statistic = math.inf
    if not used:
        return HosmerLemeshow(statistic=math.nan, degrees_of_freedom=0, p_value=math.nan)
    return HosmerLemeshow(
        statistic=statistic, degrees_of_freedom=used, p_value=float(gammaincc(used / 2.0, statistic / 2.0))
    )

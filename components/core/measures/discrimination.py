"""How well a score ranks adverse outcomes above favourable ones.

Exact, tie-aware and without scikit-learn, whose import costs a gate more than all its arithmetic. Nothing
here judges: lines are the policy's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tallystick.components.core.measures.intervals import Z_95, Interval, wilson

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Auc:
    """Area under the ROC curve with its 95 % interval; all three are NaN when a class is empty."""

    figure: float
    interval: Interval
    variance: float


def midranks(values: Floats) -> Floats:
    """Ranks from 1 with ties at their mean rank, shape as `values`, O(n log n)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def _placements(adverse: Integers, scores: Floats) -> tuple[float, Floats, Floats]:
    """AUC and its structural components: per adverse row, per favourable row (Sun and Xu 2014, eq. 2-9)."""
    positive, negative = scores[adverse == 1], scores[adverse == 0]
    m, n = len(positive), len(negative)
    together = midranks(np.concatenate([positive, negative]))
    per_positive = (together[:m] - midranks(positive)) / n
    per_negative = 1.0 - (together[m:] - midranks(negative)) / m
    return float(per_positive.mean()), per_positive, per_negative


def _variance_of_mean(values: Floats) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.nan


def auc(adverse: Integers, scores: Floats) -> Auc:
    """Area under the ROC curve by DeLong's method in its fast form.

    1.0 ranks every adverse row above every favourable one, 0.5 is chance, ties count half. Where the sample
    is separated perfectly DeLong's variance is zero; the interval then comes from Wilson's for the smaller
    class, because a small sample without an error proves little.

    Parameters
    ----------
    adverse
        1 for adverse, 0 for favourable, shape (rows,).
    scores
        Higher is more likely adverse, shape (rows,).

    Returns
    -------
    Auc
        NaN throughout when either class is empty; interval NaN when a class has a single row.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, 837-845.
    Sun and Xu (2014), IEEE Signal Processing Letters 21, 1389-1393.
    """
    count = int(adverse.sum())
    if count in (0, len(adverse)):
        return Auc(figure=math.nan, interval=(math.nan, math.nan), variance=math.nan)
    figure, per_positive, per_negative = _placements(adverse, scores)
    variance = _variance_of_mean(per_positive) + _variance_of_mean(per_negative)
    if variance == 0.0:
        smaller = min(count, len(adverse) - count)
        interval = wilson(round(figure * smaller), smaller)
    else:
        reach = Z_95 * math.sqrt(variance)
        interval = (max(0.0, figure - reach), min(1.0, figure + reach))
    return Auc(figure=figure, interval=interval, variance=variance)


def auc_difference(adverse: Integers, first: Floats, second: Floats) -> tuple[float, Interval]:
    """AUC of `first` minus AUC of `second` on the same rows, with DeLong's 95 % interval for paired scores.

    0.0 is no difference; NaN when a class is empty.
    """
    count = int(adverse.sum())
    if count in (0, len(adverse)):
        return math.nan, (math.nan, math.nan)
    figure_first, positive_first, negative_first = _placements(adverse, first)
    figure_second, positive_second, negative_second = _placements(adverse, second)
    difference = figure_first - figure_second
    variance = _variance_of_mean(positive_first - positive_second) + _variance_of_mean(negative_first - negative_second)
    reach = Z_95 * math.sqrt(variance) if variance >= 0.0 else math.nan
    return difference, (max(-1.0, difference - reach), min(1.0, difference + reach))


def gini(area: float) -> float:
    """Gini coefficient or accuracy ratio, 2 AUC - 1: 1.0 is perfect, 0.0 is chance."""
    return 2.0 * area - 1.0


def kolmogorov_smirnov(adverse: Integers, scores: Floats) -> float:
    """Largest gap between the two classes' score distributions, max |F_favourable - F_adverse|.

    1.0 is complete separation, 0.0 the same distribution; NaN when a class is empty.
    """
    false_positive, true_positive, _ = roc_points(adverse, scores)
    return float(np.abs(true_positive - false_positive).max()) if len(true_positive) else math.nan


def roc_points(adverse: Integers, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """ROC curve: false positive rate, true positive rate and threshold at every distinct score, rising rates.

    The first point is (0, 0) at the threshold just above the greatest score, so all thresholds are finite.
    Empty arrays when a class is empty.
    """
    positives = int(adverse.sum())
    negatives = len(adverse) - positives
    if not positives or not negatives:
        return np.empty(0), np.empty(0), np.empty(0)
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], adverse[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true_positive = np.cumsum(hits)[ends]
    false_positive = ends + 1 - true_positive
    start = np.nextafter(ranked[0], np.inf)
    return (
        np.concatenate([[0.0], false_positive / negatives]),
        np.concatenate([[0.0], true_positive / positives]),
        np.concatenate([[start], ranked[ends]]),
    )


def thinned(count: int, at_most: int) -> Integers:
    """Positions of at most `at_most` of `count` points, first and last kept, evenly spread."""
    if count <= at_most:
        return np.arange(count, dtype=np.int64)
    return np.unique(np.round(np.linspace(0, count - 1, at_most)).astype(np.int64))

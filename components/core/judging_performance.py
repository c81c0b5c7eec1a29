"""The performance verdict: discrimination, calibration and decisions against the policy's lines and the benchmark.

With fewer adverse rows than the policy asks for, a line is neither kept nor broken: insufficient evidence.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tallystick.components.core.candidates import HOLDOUT, Predictions, Sample
from tallystick.components.core.errors import InputError
from tallystick.components.core.judging_words import SAMPLE_WORDS, Subject, in_interval, line_words, shown
from tallystick.components.core.measures.calibration import (
    CalibrationBin,
    HosmerLemeshow,
    brier,
    calibration_bins,
    hosmer_lemeshow,
)
from tallystick.components.core.measures.discrimination import (
    auc,
    auc_difference,
    gini,
    kolmogorov_smirnov,
    roc_points,
    thinned,
)
from tallystick.components.core.measures.intervals import Z_95, Interval, wilson
from tallystick.components.core.policy import EvaluationRules, Line, Policy
from tallystick.components.core.verdicts import Check, Comparison, Outcome, Verdict, compare, finite

GATE = "performance"
_ROC_POINTS = 200
_WORDS = {
    "auc": "area under the ROC curve",
    "gini": "Gini coefficient",
    "ks": "Kolmogorov-Smirnov distance",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "precision": "precision (declined who turned out adverse)",
    "recall": "recall (adverse who were declined)",
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One figure with its 95 % interval (None where there is none) and the rows it rests on."""

    figure: float | None
    interval: Interval | None
    count: int


@dataclass(frozen=True, kw_only=True)
class PerformanceDetails:
    """What the evaluation's report is drawn from; `roc` has at most 200 points (fpr, tpr, threshold)."""

    sample: Sample
    figures: dict[str, Measured]
    roc: tuple[tuple[float, float, float], ...]
    calibration: tuple[CalibrationBin, ...]
    confusion: tuple[tuple[int, int], tuple[int, int]]
    threshold: float
    benchmark_name: str
    benchmark_auc: float | None
    difference: float | None
    difference_interval: Interval | None
    hosmer_lemeshow: HosmerLemeshow
    adverse: int

    def to_json(self) -> dict[str, Any]:
        """Plain values for the statement."""
        return {
            "sample": self.sample,
            "figures": {name: asdict(measured) for name, measured in self.figures.items()},
            "roc": [[false_positive, true_positive] for false_positive, true_positive, _ in self.roc],
            "calibration": [asdict(entry) for entry in self.calibration],
            "confusion": [list(row) for row in self.confusion],
            "threshold": self.threshold,
            "adverse": self.adverse,
            "benchmark": {
                "name": self.benchmark_name,
                "auc": self.benchmark_auc,
                "difference": self.difference,
                "interval": self.difference_interval,
            },
            "hosmer_lemeshow": {
                "statistic": finite(self.hosmer_lemeshow.statistic),
                "degrees_of_freedom": self.hosmer_lemeshow.degrees_of_freedom,
                "p_value": finite(self.hosmer_lemeshow.p_value),
            },
        }


def judge_performance(
    predictions: Predictions,
    benchmark: Predictions,
    *,
    policy: Policy,
    threshold: float,
    subject: Subject,
    benchmark_name: str,
    sample: Sample = HOLDOUT,
) -> tuple[Verdict, PerformanceDetails]:
    """Judge how well a model ranks, decides and is calibrated on one sample.

    Parameters
    ----------
    predictions, benchmark
        Of the model and of the benchmark, on the same rows.
    threshold
        A row whose score is at or above it is declined.

    Raises
    ------
    InputError
        The two tables of predictions are not about the same rows.
    """
    own, other = predictions.of(sample), benchmark.of(sample)
    if not np.array_equal(own.row, other.row):
        raise InputError("predictions", "candidate and benchmark scored different rows", "one split for both")
    details = _measure(own, other, threshold=threshold, benchmark_name=benchmark_name, sample=sample)
    rules = policy.evaluation
    checks = [_line_check(name, measured, rules, details) for name, measured in details.figures.items()]
    checks.append(_benchmark_check(details, rules, len(own.row)))
    checks.append(_calibration_check(details, len(own.row)))
    return Verdict(gate=GATE, subject_name=subject.name, subject_sha256=subject.sha256, checks=tuple(checks)), details


def _measure(
    own: Predictions, other: Predictions, *, threshold: float, benchmark_name: str, sample: Sample
) -> PerformanceDetails:
    rows, adverse = len(own.row), int(own.adverse.sum())
    area = auc(own.adverse, own.score)
    declined = own.score >= threshold
    hits = int((declined & (own.adverse == 1)).sum())
    false_alarms = int(declined.sum()) - hits
    misses, right = adverse - hits, rows - adverse - false_alarms
    false_positive, true_positive, thresholds = roc_points(own.adverse, own.score)
    kept = thinned(len(thresholds), _ROC_POINTS)
    difference, difference_interval = auc_difference(own.adverse, own.score, other.score)
    low, high = area.interval
    figures = {
        "auc": _measured(area.figure, area.interval, rows),
        "gini": _measured(gini(area.figure), (gini(low), gini(high)), rows),
        "ks": _measured(kolmogorov_smirnov(own.adverse, own.score), None, rows),
        "brier": _measured(brier(own.adverse, own.score), _mean_interval((own.score - own.adverse) ** 2), rows),
        "accuracy": _share(hits + right, rows),
        "precision": _share(hits, hits + false_alarms),
        "recall": _share(hits, hits + misses),
    }
    return PerformanceDetails(
        sample=sample,
        figures=figures,
        roc=tuple((float(false_positive[i]), float(true_positive[i]), float(thresholds[i])) for i in kept),
        calibration=calibration_bins(own.adverse, own.score),
        confusion=((right, false_alarms), (misses, hits)),
        threshold=threshold,
        benchmark_name=benchmark_name,
        benchmark_auc=finite(auc(other.adverse, other.score).figure),
        difference=finite(difference),
        difference_interval=_known(difference_interval),
        hosmer_lemeshow=hosmer_lemeshow(own.adverse, own.score),
        adverse=adverse,
    )


def _measured(figure: float, interval: Interval | None, count: int) -> Measured:
    return Measured(figure=finite(figure), interval=_known(interval) if interval else None, count=count)


def _share(successes: int, rows: int) -> Measured:
    return _measured(successes / rows if rows else math.nan, wilson(successes, rows), rows)


def _mean_interval(values: np.ndarray) -> Interval:
    """Normal interval of a mean of many bounded values."""
    if len(values) < 2:
        return (math.nan, math.nan)
    reach = Z_95 * float(values.std(ddof=1)) / math.sqrt(len(values))
    return (max(0.0, float(values.mean()) - reach), float(values.mean()) + reach)


def _known(interval: Interval) -> Interval | None:
    return None if finite(interval[0]) is None or finite(interval[1]) is None else interval


def _line_check(name: str, measured: Measured, rules: EvaluationRules, details: PerformanceDetails) -> Check:
    line: Line | None = getattr(rules, name)
    comparison: Comparison | None = None
    threshold: float | None = None
    outcome, ending = Outcome.RECORDED, ""
    if line is not None:
        comparison = ">=" if line.minimum is not None else "<="
        threshold = line.minimum if line.minimum is not None else float(line.maximum or 0.0)
        outcome = compare(
            measured.figure, comparison, threshold, count=details.adverse, minimum_count=rules.minimum_adverse
        )
        ending = _ending(outcome, comparison, threshold, details, rules)
    known = "is undefined" if measured.figure is None else f"is {shown(measured.figure, threshold)}"
    return Check(
        name=name,
        outcome=outcome,
        detail=f"{_WORDS[name]} {SAMPLE_WORDS[details.sample]} {known}{in_interval(measured.interval)}{ending}",
        sample=details.sample,
        figure=measured.figure,
        interval=measured.interval,
        threshold=threshold,
        comparison=comparison,
        count=measured.count,
        clause=line.clause if line else "",
    )


def _ending(
    outcome: Outcome,
    comparison: Comparison,
    threshold: float,
    details: PerformanceDetails,
    rules: EvaluationRules,
) -> str:
    line = line_words(comparison, threshold)
    if outcome is Outcome.INSUFFICIENT:
        return f"; {details.adverse} adverse rows, of {rules.minimum_adverse} needed to judge the line of {line}"
    return f"; {'keeps' if outcome is Outcome.PASS else 'misses'} the line of {line}"


def _benchmark_check(details: PerformanceDetails, rules: EvaluationRules, rows: int) -> Check:
    threshold = -rules.maximum_auc_below_benchmark
    outcome = compare(details.difference, ">=", threshold, count=details.adverse, minimum_count=rules.minimum_adverse)
    if details.difference is None:
        words = "the difference from the benchmark is undefined"
    else:
        side = "above" if details.difference >= 0 else "below"
        distance = shown(abs(details.difference), abs(threshold))
        words = (
            f"AUC {SAMPLE_WORDS[details.sample]} is {distance} {side} the benchmark {details.benchmark_name}"
            f" ({details.benchmark_auc:.3f}){in_interval(details.difference_interval)}"
        )
    if outcome is Outcome.INSUFFICIENT:
        words += f"; {details.adverse} adverse rows, of {rules.minimum_adverse} needed"
    else:
        kept = "within" if outcome is Outcome.PASS else "beyond"
        words += f"; {kept} the {rules.maximum_auc_below_benchmark:g} that it may be below"
    return Check(
        name="auc_against_benchmark",
        outcome=outcome,
        detail=words,
        sample=details.sample,
        subject=details.benchmark_name,
        figure=details.difference,
        interval=details.difference_interval,
        threshold=threshold,
        comparison=">=",
        count=rows,
    )


def _calibration_check(details: PerformanceDetails, rows: int) -> Check:
    test = details.hosmer_lemeshow
    p_value = finite(test.p_value)
    known = "cannot be computed" if p_value is None else f"has p-value {p_value:.3g}"
    return Check(
        name="hosmer_lemeshow",
        outcome=Outcome.RECORDED,
        detail=f"Hosmer and Lemeshow's calibration test {SAMPLE_WORDS[details.sample]} {known}; small is poor",
        sample=details.sample,
        figure=p_value,
        count=rows,
    )

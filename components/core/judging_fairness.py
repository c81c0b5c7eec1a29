"""The fairness verdict: every group of every required attribute against its reference, on both samples.

Out of fold the figure itself must keep the line. The hold-out sample is smaller, so there a line is broken
only when the whole 95 % interval lies beyond it. A group too small to judge is insufficient evidence, which
opens no gate, unless the policy says to record small groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tallystick.components.core.candidates import HOLDOUT, OUT_OF_FOLD, Predictions, ProxyTest
from tallystick.components.core.contract import Contract
from tallystick.components.core.judging_words import SAMPLE_WORDS, Subject, in_interval, line_words, shown
from tallystick.components.core.measures.discrimination import Auc, auc
from tallystick.components.core.measures.fairness import GroupFigures, group_figures
from tallystick.components.core.measures.intervals import Interval
from tallystick.components.core.policy import FairnessRules, Line, Policy
from tallystick.components.core.verdicts import Check, Comparison, Outcome, Verdict, compare, finite

SampleName = Literal["out_of_fold", "holdout", "both"]
GATE = "fairness"
_BETWEEN = ", "


@dataclass(frozen=True, kw_only=True)
class AttributeFigures:
    """The groups of one attribute, or of several crossed, by sample."""

    name: str
    reference: str
    required: bool
    samples: Mapping[SampleName, tuple[GroupFigures, ...]]

    def to_json(self) -> dict[str, Any]:
        """Plain values; `groups` has one entry a group and sample."""
        entries = [{"sample": sample, **vars(figures)} for sample, groups in self.samples.items() for figures in groups]
        return {"reference": self.reference, "required": self.required, "groups": entries}


@dataclass(frozen=True, kw_only=True)
class WorstGroup:
    """The judged group with the lowest adverse impact ratio."""

    attribute: str
    group: str
    ratio: float
    interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class FairnessDetails:
    """What the gate's report is drawn from."""

    subject: Subject
    auc: Auc
    threshold: float
    line: float
    minimum_group: int
    attributes: tuple[AttributeFigures, ...]
    intersections: tuple[AttributeFigures, ...]
    proxy: tuple[ProxyTest, ...]
    approval_rate: float

    @property
    def worst(self) -> WorstGroup | None:
        """The lowest out-of-fold adverse impact ratio among required groups of judgeable size; None if none."""
        ratios = [
            WorstGroup(attribute=a.name, group=g.group, ratio=g.adverse_impact_ratio, interval=g.ratio_interval)
            for a in self.attributes
            if a.required
            for g in a.samples.get(OUT_OF_FOLD, ())
            if g.adverse_impact_ratio is not None and g.rows >= self.minimum_group
        ]
        return min(ratios, key=lambda group: group.ratio, default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the statement."""
        return {
            "model": {"name": self.subject.name, "kind": self.subject.kind},
            "auc": {"figure": finite(self.auc.figure), "interval": _finite_interval(self.auc.interval)},
            "threshold": self.threshold,
            "line": self.line,
            "minimum_group": self.minimum_group,
            "approval_rate": self.approval_rate,
            "attributes": {figures.name: figures.to_json() for figures in self.attributes},
            "intersections": {figures.name: figures.to_json() for figures in self.intersections},
            "proxy": {
                test.attribute: {
                    "auc": test.auc,
                    "interval": None if test.low is None or test.high is None else [test.low, test.high],
                    "rows": test.rows,
                }
                for test in self.proxy
            },
        }


def judge_fairness(
    predictions: Predictions,
    *,
    contract: Contract,
    policy: Policy,
    threshold: float,
    subject: Subject,
    proxy: tuple[ProxyTest, ...] = (),
) -> tuple[Verdict, FairnessDetails]:
    """Judge how a model's decisions fall on the contract's groups.

    Parameters
    ----------
    predictions
        Out-of-fold rows, and hold-out rows where they may be seen: the search has none.
    threshold
        A row whose score is at or above it is declined.
    proxy
        Proxy tests of the model's features; recorded.

    Returns
    -------
    Verdict, FairnessDetails
        The verdict's outcome is *insufficient evidence* when the policy requires no attribute.
    """
    rules = policy.fairness
    attributes = tuple(
        _attribute((name,), predictions, contract, threshold, required=name in rules.required)
        for name in contract.sensitive
    )
    crossed = tuple(
        _attribute(pair, predictions, contract, threshold, required=False)
        for pair in itertools.combinations(rules.required, 2)
    )
    checks = [check for figures in attributes for check in _checks(figures, rules)]
    checks += [check for figures in crossed for check in _crossed_checks(figures, rules)]
    checks += [_proxy_check(test, rules) for test in proxy]
    development = predictions.of(OUT_OF_FOLD)
    details = FairnessDetails(
        subject=subject,
        auc=auc(development.adverse, development.score),
        threshold=threshold,
        line=float(rules.adverse_impact_ratio.minimum or 0.0),
        minimum_group=rules.minimum_group,
        attributes=attributes,
        intersections=crossed,
        proxy=proxy,
        approval_rate=float(np.mean(development.score < threshold)),
    )
    verdict = Verdict(gate=GATE, subject_name=subject.name, subject_sha256=subject.sha256, checks=tuple(checks))
    return verdict, details


def _attribute(
    names: tuple[str, ...], predictions: Predictions, contract: Contract, threshold: float, *, required: bool
) -> AttributeFigures:
    groups = _crossed([predictions.groups[name] for name in names])
    known = tuple(
        _BETWEEN.join(parts) for parts in itertools.product(*(contract.sensitive[name].group_names for name in names))
    )
    reference = _BETWEEN.join(contract.sensitive[name].reference for name in names)
    approved, favourable = predictions.score < threshold, predictions.adverse == 0
    kept: dict[SampleName, npt.NDArray[np.bool_]] = {
        OUT_OF_FOLD: predictions.sample == OUT_OF_FOLD,
        HOLDOUT: predictions.sample == HOLDOUT,
    }
    if kept[HOLDOUT].any():
        kept["both"] = kept[OUT_OF_FOLD] | kept[HOLDOUT]
    else:
        del kept[HOLDOUT]
    samples = {
        sample: group_figures(groups[rows], approved[rows], favourable[rows], names=known, reference=reference)
        for sample, rows in kept.items()
    }
    return AttributeFigures(name=" x ".join(names), reference=reference, required=required, samples=samples)


def _crossed(columns: list[npt.NDArray[np.object_]]) -> npt.NDArray[np.object_]:
    if len(columns) == 1:
        return columns[0]
    return np.array([_BETWEEN.join(map(str, parts)) for parts in zip(*columns, strict=True)], dtype=object)


def _checks(figures: AttributeFigures, rules: FairnessRules) -> list[Check]:
    checks = []
    for sample, groups in figures.samples.items():
        base = next(group for group in groups if group.group == figures.reference)
        for group in groups:
            if group.group == figures.reference:
                continue
            if figures.required or sample == OUT_OF_FOLD:
                checks.append(_ratio_check(figures, sample, group, base, rules))
            if figures.required and sample != "both":
                checks += _difference_checks(figures, sample, group, base, rules)
    return checks


def _crossed_checks(figures: AttributeFigures, rules: FairnessRules) -> list[Check]:
    """Intersections are recorded where both sides have rows enough to mean something."""
    groups = figures.samples.get(OUT_OF_FOLD, ())
    base = next(group for group in groups if group.group == figures.reference)
    large = [g for g in groups if g is not base and min(g.rows, base.rows) >= rules.minimum_group]
    return [_ratio_check(figures, OUT_OF_FOLD, group, base, rules) for group in large]


def _ratio_check(
    figures: AttributeFigures, sample: SampleName, group: GroupFigures, base: GroupFigures, rules: FairnessRules
) -> Check:
    line = rules.adverse_impact_ratio
    ratio, interval = group.adverse_impact_ratio, group.ratio_interval
    outcome = _outcome(ratio, interval, line, sample, figures.required, min(group.rows, base.rows), rules)
    if ratio is None:
        words = f"no adverse impact ratio for {group.group} ({_rows(group)}) against {base.group} ({_rows(base)})"
    else:
        words = (
            f"{group.group}: {_rate(group)} approved, {base.group}: {_rate(base)}; adverse impact ratio "
            f"{shown(ratio, line.minimum)}{in_interval(interval)}"
        )
    return _check("adverse_impact_ratio", figures, sample, group, outcome, (ratio, interval), line, words, rules)


def _difference_checks(
    figures: AttributeFigures, sample: SampleName, group: GroupFigures, base: GroupFigures, rules: FairnessRules
) -> list[Check]:
    measures: list[tuple[str, float | None, Interval | None, Line | None, str]] = [
        (
            "demographic_parity_difference",
            group.demographic_parity_difference,
            group.demographic_parity_interval,
            rules.demographic_parity_difference,
            "approval rates differ by",
        ),
        (
            "equalised_odds_difference",
            group.equalised_odds_difference,
            group.equalised_odds_interval,
            rules.equalised_odds_difference,
            "approval rates at the same outcome differ by up to",
        ),
    ]
    checks = []
    for name, figure, interval, line, phrase in measures:
        if line is None and sample != OUT_OF_FOLD:
            continue
        judged = figures.required and line is not None
        outcome = _outcome(figure, interval, line, sample, judged, min(group.rows, base.rows), rules)
        known = "an unknown amount" if figure is None else shown(figure, line.maximum if line else None)
        words = f"{group.group} and {base.group}: {phrase} {known}{in_interval(interval)}"
        checks.append(_check(name, figures, sample, group, outcome, (figure, interval), line, words, rules))
    return checks


def _outcome(
    figure: float | None,
    interval: Interval | None,
    line: Line | None,
    sample: SampleName,
    judged: bool,
    rows: int,
    rules: FairnessRules,
) -> Outcome:
    if not judged or line is None or sample == "both":
        return Outcome.RECORDED
    comparison, threshold = _line(line)
    if sample == HOLDOUT:
        if figure is None or interval is None:
            return Outcome.RECORDED  # no row to contradict what the development sample shows
        nearest = interval[1] if comparison == ">=" else interval[0]
        return compare(nearest, comparison, threshold)
    outcome = compare(figure, comparison, threshold, count=rows, minimum_count=rules.minimum_group)
    if outcome is Outcome.INSUFFICIENT and rules.small_groups == "record":
        return Outcome.RECORDED
    return outcome


def _check(
    name: str,
    figures: AttributeFigures,
    sample: SampleName,
    group: GroupFigures,
    outcome: Outcome,
    measured: tuple[float | None, Interval | None],
    line: Line | None,
    words: str,
    rules: FairnessRules,
) -> Check:
    comparison, threshold = _line(line) if line else (None, None)
    detail = f"{figures.name}, {SAMPLE_WORDS[sample]}: {words}"
    if comparison is not None and threshold is not None:
        detail += _judgement(outcome, sample, comparison, threshold, rules)
    return Check(
        name=name,
        outcome=outcome,
        detail=detail,
        sample=sample,
        subject=f"{figures.name}: {group.group}",
        figure=measured[0],
        interval=measured[1],
        threshold=threshold,
        comparison=comparison,
        count=group.rows,
        clause=line.clause if line else "",
    )


def _judgement(
    outcome: Outcome, sample: SampleName, comparison: Comparison, threshold: float, rules: FairnessRules
) -> str:
    line = line_words(comparison, threshold)
    if outcome is Outcome.INSUFFICIENT:
        return f"; too few rows or no rate to judge (each group needs {rules.minimum_group}), the line is {line}"
    if outcome is Outcome.RECORDED:
        return f"; recorded beside the line of {line}"
    if sample == HOLDOUT:
        beyond = "does not exclude" if outcome is Outcome.PASS else "excludes"
        return f"; the interval {beyond} the line of {line}"
    return f"; {'keeps' if outcome is Outcome.PASS else 'misses'} the line of {line}"


def _proxy_check(test: ProxyTest, rules: FairnessRules) -> Check:
    if test.auc is None or test.low is None or test.high is None:
        detail, interval = f"{test.attribute}: too few rows for a proxy test", None
    else:
        strong = "a strong proxy" if test.auc >= rules.proxy_auc else "no strong proxy"
        interval = (test.low, test.high)
        detail = (
            f"{test.attribute}: the model's features predict membership outside the reference group with AUC "
            f"{shown(test.auc, rules.proxy_auc)}{in_interval(interval)}; {strong} by the policy's {rules.proxy_auc:g}"
        )
    return Check(
        name="proxy_auc",
        outcome=Outcome.RECORDED,
        detail=detail,
        sample=OUT_OF_FOLD,
        subject=test.attribute,
        figure=test.auc,
        interval=interval,
        threshold=rules.proxy_auc,
        comparison="<=",
        count=test.rows,
    )


def _line(line: Line) -> tuple[Comparison, float]:
    if line.minimum is not None:
        return ">=", line.minimum
    return "<=", float(line.maximum or 0.0)


def _rows(group: GroupFigures) -> str:
    return f"{group.rows:,} row{'' if group.rows == 1 else 's'}"


def _rate(group: GroupFigures) -> str:
    return f"{100 * (group.approval_rate or 0.0):.1f} % of {group.rows:,}"


def _finite_interval(interval: Interval) -> list[float] | None:
    return None if finite(interval[0]) is None or finite(interval[1]) is None else list(interval)

"""The statements of a run as the card reads them, with the figures as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.components.core.pages import UNKNOWN
from tallystick.components.core.statements import details_of, subject_of, verdict_of
from tallystick.components.core.verdicts import Verdict

GATES = ("data_validation", "evaluation", "fairness_gate", "explainability")
SAMPLES = {"out_of_fold": "development data, cross-validated", "holdout": "hold-out data", "both": "all data"}


class Told:
    """Details and verdicts by step; empty where a step made no statement."""

    def __init__(self, statements: Mapping[str, Mapping[str, Any]]) -> None:
        self._statements = statements
        self.model_name, self.model_sha256 = subject_of(statements["fairness_gate"])

    def has(self, step: str) -> bool:
        """Whether the step made a statement."""
        return step in self._statements

    def details(self, step: str) -> Mapping[str, Any]:
        """What the step recorded."""
        return details_of(self._statements[step]) if self.has(step) else {}

    def verdict(self, step: str) -> Verdict | None:
        """The verdict of a gate."""
        return verdict_of(self._statements.get(step))

    def verdicts(self) -> list[Verdict]:
        """The verdicts of all gates that spoke of this model or its data, in the order of the pipeline."""
        return [verdict for gate in GATES if (verdict := self.verdict(gate)) is not None]

    def headline_facts(self) -> tuple[tuple[str, str], ...]:
        """The few figures that stand on top of the card."""
        facts = []
        auc = self.details("evaluation").get("figures", {}).get("auc")
        if auc:
            facts.append((number(auc["figure"]), f"AUC on hold-out data, 95 % interval {span(auc['interval'])}"))
        worst = self.lowest_ratio()
        if worst:
            ratio, group = worst
            facts.append((number(ratio, 2), f"lowest adverse impact ratio among the groups that decide ({group})"))
        passed = sum(verdict.passed for verdict in self.verdicts())
        facts.append((f"{passed} of {len(GATES)}", "gates passed"))
        facts.append((self.model_sha256[:12], "first digits of the model's SHA-256"))
        return tuple(facts)

    def lowest_ratio(self, step: str = "fairness_gate", sample: str = "out_of_fold") -> tuple[float, str] | None:
        """The lowest adverse impact ratio among the groups that decide and are large enough to judge, and its group."""
        enough = self.details(step).get("minimum_group", 0)
        found = [
            (entry["adverse_impact_ratio"], f"{entry['group']}, {name}")
            for name, attribute in self.details(step).get("attributes", {}).items()
            if attribute["required"]
            for entry in attribute["groups"]
            if entry["sample"] == sample and entry["adverse_impact_ratio"] is not None and entry["rows"] >= enough
        ]
        return min(found, default=None)


def number(value: float | None, digits: int = 3) -> str:
    """A figure with fixed decimals; a dash where it is not known."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def significant(value: float | None) -> str:
    """A figure with about three significant digits, as for values of very different sizes: 0, 0.021, 143, 5,200."""
    if value is None:
        return UNKNOWN
    if value == 0 or abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def span(interval: Sequence[float] | None, digits: int = 3) -> str:
    """An interval as ``0.830 to 0.921``."""
    return UNKNOWN if not interval else f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def share(value: float | None) -> str:
    """A ratio of 0 to 1 as per cent."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def share_span(interval: Sequence[float] | None) -> str:
    """An interval of ratios as per cent."""
    return UNKNOWN if not interval else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"

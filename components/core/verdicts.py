"""What a gate says: pass, fail or insufficient evidence, with every figure it rests on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

Comparison = Literal[">=", "<="]


class Outcome(StrEnum):
    """Three-valued: too little data is neither a pass nor a fail."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    INSUFFICIENT = "insufficient evidence"
    RECORDED = "recorded"  # shown and kept, decides nothing


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measured figure against one threshold of the policy.

    Attributes
    ----------
    name
        The measure's standard term, e.g. ``adverse_impact_ratio``.
    sample
        On what: ``out_of_fold``, ``holdout`` or a data set's name.
    subject
        The group or column it speaks of; empty for the whole sample.
    figure, interval
        The estimate and its 95 % interval; ``None`` where it is undefined (an empty group).
    threshold, comparison
        The policy's line; ``None`` where the figure is only recorded.
    count
        How many rows the figure rests on.
    detail
        One sentence for a reader who did not write the code.
    clause
        The clause of the policy pack that the check serves.
    """

    name: str
    outcome: Outcome
    detail: str
    sample: str = ""
    subject: str = ""
    figure: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    comparison: Comparison | None = None
    count: int | None = None
    clause: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one gate says about one subject (a model's or a data set's digest)."""

    gate: str
    subject_name: str
    subject_sha256: str
    checks: tuple[Check, ...]
    context: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """FAIL if any check fails; else INSUFFICIENT if any is; else PASS. No check at all is no evidence."""
        outcomes = {check.outcome for check in self.checks}
        if Outcome.FAIL in outcomes:
            return Outcome.FAIL
        if Outcome.INSUFFICIENT in outcomes or Outcome.PASS not in outcomes:
            return Outcome.INSUFFICIENT
        return Outcome.PASS

    @property
    def passed(self) -> bool:
        """Only PASS opens a gate."""
        return self.outcome is Outcome.PASS

    @property
    def objections(self) -> tuple[Check, ...]:
        """The checks that keep the gate shut."""
        return tuple(c for c in self.checks if c.outcome in (Outcome.FAIL, Outcome.INSUFFICIENT))

    def sentence(self) -> str:
        """One line for a terminal or a log."""
        if self.passed:
            decided = sum(c.outcome is Outcome.PASS for c in self.checks)
            return f"{self.gate}: pass ({decided} checks)"
        reasons = "; ".join(check.detail for check in self.objections[:3]) or "no check could be made"
        more = len(self.objections) - 3
        return f"{self.gate}: {self.outcome.value}: {reasons}" + (f" (and {more} more)" if more > 0 else "")

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity never appear."""
        return {**asdict(self), "outcome": self.outcome.value, "summary": self.sentence()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Verdict:
        """Read what :meth:`to_json` wrote; the outcome is computed again, never believed."""
        checks = tuple(
            Check(
                **{
                    **check,
                    "outcome": Outcome(check["outcome"]),
                    "interval": tuple(check["interval"]) if check["interval"] else None,
                }
            )
            for check in value["checks"]
        )
        return cls(
            gate=value["gate"],
            subject_name=value["subject_name"],
            subject_sha256=value["subject_sha256"],
            checks=checks,
            context=dict(value["context"]),
        )


def finite(value: float | None) -> float | None:
    """`value`, or None where it is missing, NaN or infinite."""
    return None if value is None or not math.isfinite(value) else float(value)


def compare(
    figure: float | None,
    comparison: Comparison,
    threshold: float,
    *,
    count: int | None = None,
    minimum_count: int = 0,
) -> Outcome:
    """Judge one figure: too few rows or an undefined figure is INSUFFICIENT, the threshold itself passes."""
    known = finite(figure)
    if known is None or (count is not None and count < minimum_count):
        return Outcome.INSUFFICIENT
    holds = known >= threshold if comparison == ">=" else known <= threshold
    return Outcome.PASS if holds else Outcome.FAIL

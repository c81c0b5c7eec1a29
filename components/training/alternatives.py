"""What an alternative is, and how it is judged: by the gates' own functions, on development rows alone.

Every alternative that was tried is kept, with why it was not taken. The hold-out sample has no part in this:
it confirms or contradicts the choice afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tallystick.components.core.candidates import OUT_OF_FOLD, Predictions
from tallystick.components.core.contract import Contract
from tallystick.components.core.ensembles import Floats
from tallystick.components.core.judges import FairnessDetails, Subject, judge_fairness, judge_performance
from tallystick.components.core.measures.discrimination import auc
from tallystick.components.core.policy import Line, Policy
from tallystick.components.core.verdicts import Outcome, Verdict
from tallystick.components.training.packaging import frozen_threshold, predictions_of
from tallystick.components.training.recipes import Recipe
from tallystick.components.training.samples import Rows

PERFORMANCE_CHECK = "auc_against_benchmark"


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One model that was tried; `recipe` is None for one that cannot be a released model at all.

    Attributes
    ----------
    keeps_lines
        Whether it keeps the policy's fairness lines, without the search's margin.
    why_not
        Why it is not eligible, in words; empty when it is.
    confirmed_auc, confirmed_ratio
        The same figures on folds that were shuffled anew; None where that was not asked.
    """

    name: str
    method: str
    description: str
    recipe: Recipe | None
    scores: Floats | None
    auc: float | None
    adverse_impact_ratio: float | None
    worst_group: str
    approval_rate: float | None
    keeps_lines: bool
    why_not: str
    confirmed_auc: float | None = None
    confirmed_ratio: float | None = None
    chosen: bool = False

    @property
    def eligible(self) -> bool:
        """Whether it may be chosen."""
        return not self.why_not

    def to_json(self) -> dict[str, Any]:
        """One entry of the statement ``alternatives``."""
        return {
            "name": self.name,
            "method": self.method,
            "description": self.description,
            "auc": self.auc,
            "adverse_impact_ratio": self.adverse_impact_ratio,
            "worst_group": self.worst_group,
            "approval_rate": self.approval_rate,
            "eligible": self.eligible,
            "why_not": self.why_not,
            "confirmed_auc": self.confirmed_auc,
            "confirmed_adverse_impact_ratio": self.confirmed_ratio,
            "chosen": self.chosen,
        }


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A recipe with its out-of-fold scores, before judgement."""

    recipe: Recipe
    method: str
    description: str
    scores: Floats


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What alternatives are measured by."""

    contract: Contract
    policy: Policy
    rows: Rows
    benchmark: Predictions
    benchmark_name: str
    plain_auc: float

    def judge(self, tried: Tried, *, margin: bool = True) -> Alternative:
        """Judge one alternative; with `margin` it must keep the search's margin to every fairness line too."""
        threshold = frozen_threshold(tried.scores, self.policy)
        predictions = predictions_of(self.rows, tried.scores, OUT_OF_FOLD)
        subject = Subject(name=tried.recipe.name, kind=tried.recipe.kind)
        verdict, details = self._fairness(predictions, threshold, subject, self.policy)
        strict = verdict
        if margin and self.policy.search.margin and verdict.passed:
            strict, _ = self._fairness(predictions, threshold, subject, with_margin(self.policy))
        performance, _ = judge_performance(
            predictions,
            self.benchmark,
            policy=self.policy,
            threshold=threshold,
            subject=subject,
            benchmark_name=self.benchmark_name,
            sample=OUT_OF_FOLD,
        )
        area = auc(self.rows.adverse, tried.scores).figure
        worst = details.worst
        return Alternative(
            name=tried.recipe.name,
            method=tried.method,
            description=tried.description,
            recipe=tried.recipe,
            scores=tried.scores,
            auc=area,
            adverse_impact_ratio=worst.ratio if worst else None,
            worst_group=f"{worst.attribute}: {worst.group}" if worst else "",
            approval_rate=float(np.mean(tried.scores < threshold)),
            keeps_lines=verdict.passed,
            why_not=self._why_not(area, verdict, strict, performance),
        )

    def _fairness(
        self, predictions: Predictions, threshold: float, subject: Subject, policy: Policy
    ) -> tuple[Verdict, FairnessDetails]:
        return judge_fairness(
            predictions, contract=deciding(self.contract, policy), policy=policy, threshold=threshold, subject=subject
        )

    def _why_not(self, area: float, verdict: Verdict, strict: Verdict, performance: Verdict) -> str:
        rules = self.policy.search
        if not verdict.passed:
            return verdict.objections[0].detail if verdict.objections else "no fairness check could be made"
        if not strict.passed:
            return f"keeps every line, but not by the margin of {rules.margin:g}: {strict.objections[0].detail}"
        loss = self.plain_auc - area
        if loss > rules.maximum_auc_loss:
            return f"costs {loss:.3f} of AUC against the plain model; {rules.maximum_auc_loss:g} is allowed"
        behind = next(check for check in performance.checks if check.name == PERFORMANCE_CHECK)
        return "" if behind.outcome is Outcome.PASS else behind.detail


def deciding(contract: Contract, policy: Policy) -> Contract:
    """The contract with the sensitive attributes that decide; the others are recorded by the gate."""
    kept = {name: contract.sensitive[name] for name in policy.fairness.required}
    return contract.model_copy(update={"sensitive": kept})


def with_margin(policy: Policy) -> Policy:
    """The policy with every fairness line moved by the search's margin; no line leaves 0 to 1."""
    rules, margin = policy.fairness, policy.search.margin

    def moved(line: Line | None) -> Line | None:
        if line is None:
            return None
        if line.minimum is not None:
            return line.model_copy(update={"minimum": min(line.minimum + margin, 1.0)})
        return line.model_copy(update={"maximum": max((line.maximum or 0.0) - margin, 0.0)})

    lines = {
        name: moved(getattr(rules, name))
        for name in ("adverse_impact_ratio", "demographic_parity_difference", "equalised_odds_difference")
    }
    return policy.model_copy(update={"fairness": rules.model_copy(update=lines)})

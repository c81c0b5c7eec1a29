"""Says whether a model ranks, decides and is calibrated as the policy asks, on applicants it has never met.

The judgement itself is core's, shared with the search for alternatives; this reads the candidates, keeps the
verdict as evidence and draws the page. No scikit-learn: its import takes longer than all that is done here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tallystick.components.core.candidates import CandidateModel, read_candidate
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import write_text
from tallystick.components.core.judges import PerformanceDetails, Subject, judge_performance
from tallystick.components.core.pages import render
from tallystick.components.core.policy import Policy, parse_policy
from tallystick.components.core.storage import open_store
from tallystick.components.core.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The gate's answer."""

    verdict: Verdict
    details: PerformanceDetails

    def metrics(self) -> dict[str, float]:
        """Finite figures for Kubeflow's table; an undefined one is left out."""
        values = {name: measured.figure for name, measured in self.details.figures.items()}
        values["auc_above_benchmark"] = self.details.difference
        return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}


def evaluate(candidate: CandidateModel, benchmark: CandidateModel, policy: Policy) -> Evaluated:
    """Judge a candidate on the hold-out sample, beside the benchmark."""
    verdict, details = judge_performance(
        candidate.predictions,
        benchmark.predictions,
        policy=policy,
        threshold=candidate.model.interface.threshold,
        subject=Subject(name=candidate.training.name, kind=candidate.model.kind, sha256=candidate.model.digest),
        benchmark_name=benchmark.training.name,
    )
    return Evaluated(verdict=verdict, details=details)


def page(evaluated: Evaluated) -> str:
    """The report as one HTML page."""
    from tallystick.components.core.plots import calibration_plot, roc_plot

    values = evaluated.details.to_json()
    defined = bool(evaluated.details.roc)
    return render(
        "evaluation.html.j2",
        Path(__file__).parent,
        verdict=evaluated.verdict,
        details=evaluated.details,
        roc=roc_plot(values) if defined else "",
        calibration=calibration_plot(values) if defined else "",
    )


def run_evaluation(
    candidate: Path, benchmark: Path, *, policy_yaml: str, evidence: str, run_id: str, report: Path
) -> Evaluated:
    """Judge a candidate's folder, keep the verdict as evidence, and write the report.

    Raises
    ------
    InputError
        A folder is no candidate, or the two did not score the same rows.
    StorageError
        The evidence or the report cannot be written.
    """
    evaluated = evaluate(read_candidate(candidate), read_candidate(benchmark), parse_policy(policy_yaml))
    store = EvidenceStore(open_store(evidence), run_id)
    store.record_verdict("evaluation", evaluated.verdict, evaluated.details.to_json())
    write_text(report, page(evaluated))
    return evaluated

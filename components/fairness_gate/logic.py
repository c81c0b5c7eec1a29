"""Says whether a model's decisions fall evenly enough on the groups that the policy names, and shows it.

The judgement itself is core's, shared with the search for alternatives; this reads the candidate, keeps the
verdict as evidence and draws the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tallystick.components.core.agreement import check_agreement
from tallystick.components.core.candidates import CandidateModel, read_candidate
from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import write_text
from tallystick.components.core.judges import FairnessDetails, Subject, judge_fairness
from tallystick.components.core.pages import render
from tallystick.components.core.policy import Policy, parse_policy
from tallystick.components.core.storage import open_store
from tallystick.components.core.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The gate's answer."""

    verdict: Verdict
    details: FairnessDetails

    def metrics(self) -> dict[str, float]:
        """Finite figures for Kubeflow's table: AUC, and each required group's adverse impact ratio."""
        values = {"auc_out_of_fold": self.details.auc.figure, "approval_rate": self.details.approval_rate}
        for attribute in self.details.attributes:
            if attribute.required:
                values |= {
                    f"adverse_impact_ratio {sample}, {attribute.name}: {group.group}": group.adverse_impact_ratio
                    for sample, groups in attribute.samples.items()
                    for group in groups
                    if group.adverse_impact_ratio is not None
                }
        return values


def judge(candidate: CandidateModel, contract: Contract, policy: Policy) -> Judged:
    """Judge one candidate on its out-of-fold and hold-out predictions."""
    check_agreement(contract, policy)
    subject = Subject(name=candidate.training.name, kind=candidate.model.kind, sha256=candidate.model.digest)
    verdict, details = judge_fairness(
        candidate.predictions,
        contract=contract,
        policy=policy,
        threshold=candidate.model.interface.threshold,
        subject=subject,
        proxy=candidate.training.proxy,
    )
    return Judged(verdict=verdict, details=details)


def page(judged: Judged) -> str:
    """The report as one HTML page."""
    from tallystick.components.core.plots import group_rates_plot

    details = judged.details.to_json()
    plots = [
        (title, group_rates_plot([(judged.details.subject.name, details)], sample=sample, key=f"groups-{sample}"))
        for sample, title in (("out_of_fold", "Development data, cross-validated"), ("holdout", "Hold-out data"))
        if any(sample in figures.samples for figures in judged.details.attributes)
    ]
    return render(
        "fairness.html.j2",
        Path(__file__).parent,
        verdict=judged.verdict,
        details=judged.details,
        plots=plots,
    )


def run_gate(
    candidate: Path, *, contract_yaml: str, policy_yaml: str, evidence: str, run_id: str, statement: str, report: Path
) -> Judged:
    """Judge a candidate's folder, keep the verdict as `statement`, and write the report.

    Raises
    ------
    InputError
        The folder is no candidate, or contract and policy do not fit together.
    StorageError
        The evidence or the report cannot be written.
    """
    contract, policy = parse_contract(contract_yaml), parse_policy(policy_yaml)
    judged = judge(read_candidate(candidate), contract, policy)
    EvidenceStore(open_store(evidence), run_id).record_verdict(statement, judged.verdict, judged.details.to_json())
    write_text(report, page(judged))
    return judged

"""Kubeflow's view of the fairness gate. What it does stands in logic.py."""

from kfp import dsl
from kfp.dsl import HTML, Input, Metrics, Model, Output

from tallystick.components.core import images


@dsl.component(base_image=images.reference("fairness_gate"), install_kfp_package=False)
def fairness_gate(
    candidate: Input[Model],
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    statement: str,
    report: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Judges a model's decisions by group: pass, fail or insufficient evidence. Only a pass is True.

    Args:
        candidate: The model with its out-of-fold and hold-out predictions.
        contract_yaml: The data contract, as YAML text.
        policy_yaml: The policy, as YAML text.
        evidence: Where statements are kept.
        run_id: Name of this run in the evidence.
        statement: Name of the statement: fairness_gate_plain for the plain candidate, fairness_gate for the chosen.
        report: Every group with its figures, intervals and lines.
        metrics: AUC and the adverse impact ratio of each required group.

    Returns:
        Whether the gate is open.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.fairness_gate.logic import run_gate

    with step(statement) as journal:
        judged = run_gate(
            Path(candidate.path),
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            statement=statement,
            report=Path(report.path),
        )
        journal.verdict(judged.verdict)
        for name, value in judged.metrics().items():
            metrics.log_metric(name, value)
        return judged.verdict.passed

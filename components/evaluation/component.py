"""Kubeflow's view of the evaluation. What it does stands in logic.py."""

from kfp import dsl
from kfp.dsl import HTML, ClassificationMetrics, Input, Metrics, Model, Output

from tallystick.components.core import images


@dsl.component(base_image=images.reference("evaluation"), install_kfp_package=False)
def evaluation(
    candidate: Input[Model],
    benchmark: Input[Model],
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    metrics: Output[Metrics],
    curves: Output[ClassificationMetrics],
    report: Output[HTML],
) -> bool:
    """Judges a model on the hold-out sample: pass, fail or insufficient evidence. Only a pass is True.

    Args:
        candidate: The model with its predictions.
        benchmark: The scorecard that it must match.
        contract_yaml: The data contract, as YAML text.
        policy_yaml: The policy, as YAML text.
        evidence: Where statements are kept.
        run_id: Name of this run in the evidence.
        metrics: Discrimination, calibration and decisions.
        curves: ROC curve and confusion matrix.
        report: Every figure with its interval and line.

    Returns:
        Whether the gate is open.
    """
    from pathlib import Path

    from tallystick.components.core.contract import parse_contract
    from tallystick.components.core.journal import step
    from tallystick.components.evaluation.logic import run_evaluation

    with step("evaluation") as journal:
        contract = parse_contract(contract_yaml)
        evaluated = run_evaluation(
            Path(candidate.path),
            Path(benchmark.path),
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            report=Path(report.path),
        )
        journal.verdict(evaluated.verdict)
        for name, value in evaluated.metrics().items():
            metrics.log_metric(name, value)
        details = evaluated.details
        if details.roc:
            curves.log_roc_curve(
                fpr=[point[0] for point in details.roc],
                tpr=[point[1] for point in details.roc],
                threshold=[point[2] for point in details.roc],
            )
        favourable, adverse = str(contract.target.favourable), str(contract.target.adverse)
        curves.log_confusion_matrix([favourable, adverse], [list(row) for row in details.confusion])
        return evaluated.verdict.passed

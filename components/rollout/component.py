"""Kubeflow's view of the trial on traffic. What it does stands in logic.py."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from tallystick.components.core import images


@dsl.component(base_image=images.reference("rollout"), install_kfp_package=False)
def rollout(
    candidate: Input[Model],
    champion: Input[Model],
    dataset: Input[Dataset],
    model_version: str,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    mlflow_tracking_uri: str,
    timeline: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Tries a registered model on a rising share of traffic; promotes it, or takes it back by itself.

    Args:
        candidate: The model to release, with its predictions.
        champion: The model in service.
        dataset: The validated data; its held-out rows are replayed as traffic.
        model_version: The registry's version of the candidate.
        contract_yaml: The data contract, as YAML text.
        policy_yaml: The policy, as YAML text.
        evidence: Where statements are kept.
        run_id: Name of this run in the evidence.
        mlflow_tracking_uri: The registry whose alias `champion` moves on promotion.
        timeline: The trial second by second.
        metrics: Requests, failures and times.

    Returns:
        Whether the model was promoted.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.rollout.logic import figures, run_rollout

    with step("rollout") as journal:
        trial = run_rollout(
            Path(candidate.path),
            Path(champion.path),
            Path(dataset.path),
            model_version=model_version,
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            mlflow_tracking_uri=mlflow_tracking_uri,
            timeline=Path(timeline.path),
            journal=journal,
        )
        for name, value in figures(trial).items():
            metrics.log_metric(name, value)
        return trial.promoted

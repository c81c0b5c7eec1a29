"""The step registration as Kubeflow runs it; what it does is in logic.py."""

from kfp import dsl
from kfp.dsl import Input, Markdown, Model, Output

from tallystick.components.core import images


@dsl.component(base_image=images.reference("registration"), install_kfp_package=False)
def registration(
    candidate: Input[Model],
    benchmark: Input[Model],
    card: Input[Markdown],
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    mlflow_tracking_uri: str,
    champion: Output[Model],
) -> str:
    """Registers a model whose evidence is whole, and hands on the champion that it is tried against.

    Args:
        candidate: Folder of the chosen model.
        benchmark: Folder of the benchmark scorecard, the incumbent of a first release.
        card: The model card, kept with the model.
        contract_yaml: The data contract; its name is the registered model's.
        policy_yaml: The policy.
        evidence: Where the statements of every step are kept.
        run_id: Name of this run in the evidence.
        mlflow_tracking_uri: The MLflow server, or sqlite:///file.
        champion: Folder with `model/`, the package that serves now.

    Returns:
        The version's number in the registry.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.registration.steps import run_registration

    with step("registration") as journal:
        result = run_registration(
            candidate=Path(candidate.path),
            benchmark=Path(benchmark.path),
            card=Path(card.path),
            champion=Path(champion.path),
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            tracking_uri=mlflow_tracking_uri,
            journal=journal,
        )
        champion.metadata["sha256"] = result.champion_sha256
    return result.version

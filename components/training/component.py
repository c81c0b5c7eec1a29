"""Kubeflow's view of training: two components that share one image. What they do stands in logic.py and search.py."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Model, Output

from tallystick.components.core import images


@dsl.component(base_image=images.reference("training"), install_kfp_package=False)
def train_candidates(
    dataset: Input[Dataset],
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    mlflow_tracking_uri: str,
    git_commit: str,
    plain: Output[Model],
    benchmark: Output[Model],
) -> None:
    """Cross-validates the policy's candidates; hands on the most accurate one and the benchmark.

    Args:
        dataset: The validated data.
        contract_yaml: The data contract, as YAML text.
        policy_yaml: The policy, as YAML text.
        evidence: Where statements are kept.
        run_id: Name of this run in the evidence.
        mlflow_tracking_uri: The MLflow server, or sqlite:///file.
        git_commit: Commit of the contract and policy, logged with the runs.
        plain: The candidate that ranks best, chosen without a look at fairness.
        benchmark: The simple scorecard that every released model must match.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.training.steps import run_training

    with step("training") as journal:
        record = run_training(
            Path(dataset.path),
            data_sha256=str(dataset.metadata.get("sha256", "")),
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            tracking_uri=mlflow_tracking_uri,
            git_commit=git_commit,
            plain=Path(plain.path),
            benchmark=Path(benchmark.path),
            journal=journal,
        )
        plain.metadata["sha256"] = record.plain.model_sha256
        benchmark.metadata["sha256"] = record.benchmark.model_sha256


@dsl.component(base_image=images.reference("training"), install_kfp_package=False)
def search_alternatives(
    dataset: Input[Dataset],
    plain: Input[Model],
    benchmark: Input[Model],
    plain_is_fair: bool,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    mlflow_tracking_uri: str,
    chosen: Output[Model],
    report: Output[HTML],
) -> None:
    """Looks for a less discriminatory alternative where the plain model was refused; hands on the chosen model.

    Args:
        dataset: The validated data.
        plain: The plain candidate.
        benchmark: The scorecard that every released model must match.
        plain_is_fair: What the fairness gate said of the plain candidate; if it is fair, it is handed on.
        contract_yaml: The data contract, as YAML text.
        policy_yaml: The policy, as YAML text.
        evidence: Where statements are kept.
        run_id: Name of this run in the evidence.
        mlflow_tracking_uri: The MLflow server, or sqlite:///file.
        chosen: The most accurate eligible model; where none is eligible, one for the gate to refuse.
        report: Every alternative that was tried, with its accuracy and fairness.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.training.steps import run_search

    with step("alternatives") as journal:
        searched = run_search(
            Path(dataset.path),
            data_sha256=str(dataset.metadata.get("sha256", "")),
            plain=Path(plain.path),
            benchmark=Path(benchmark.path),
            plain_is_fair=plain_is_fair,
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            tracking_uri=mlflow_tracking_uri,
            chosen=Path(chosen.path),
            report=Path(report.path),
            journal=journal,
        )
        chosen.metadata["sha256"] = searched.chosen.model_sha256

"""Joins training and search to what is outside them: evidence, MLflow, the journal.

The components' bodies call this; the decisions stand in logic.py and search.py.
"""

from __future__ import annotations

from pathlib import Path

from tallystick.components.core.contract import parse_contract
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.journal import Journal
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.storage import open_store
from tallystick.components.training.logic import Trained, digests_of, metrics_of, train
from tallystick.components.training.packaging import Digests, logged_parameters
from tallystick.components.training.tracking import LoggedRun, log_runs


def run_training(
    dataset: Path,
    *,
    data_sha256: str,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    tracking_uri: str,
    git_commit: str,
    plain: Path,
    benchmark: Path,
    journal: Journal,
) -> Trained:
    """Train, log to MLflow, and leave the statement ``training``.

    Raises
    ------
    InputError
        The policy names what the contract or scikit-learn does not have.
    StorageError
        MLflow or the evidence store cannot be written.
    """
    contract, policy = parse_contract(contract_yaml), parse_policy(policy_yaml)
    trained = train(
        dataset,
        contract,
        policy,
        digests=digests_of(dataset, data_sha256, contract_yaml, policy_yaml),
        plain=plain,
        benchmark=benchmark,
        progress=journal.progress,
    )
    journal.progress(0.97, "logging to MLflow")
    mlflow_run = log_runs(
        tracking_uri, contract.name, *_runs(trained, run_id=run_id, git_commit=git_commit, plain=plain)
    )
    EvidenceStore(open_store(evidence), run_id).record(
        "training",
        "training",
        subject_name=trained.plain.name,
        subject_sha256=trained.plain.model_sha256,
        predicate={**trained.statement(), "git_commit": git_commit, "mlflow_run": mlflow_run},
    )
    return trained


def digest_tags(digests: Digests) -> dict[str, str]:
    """Digests as MLflow tags."""
    return {
        "tallystick.data_sha256": digests.data or digests.dataset,
        "tallystick.dataset_sha256": digests.dataset,
        "tallystick.contract_sha256": digests.contract,
        "tallystick.policy_sha256": digests.policy,
    }


def _runs(trained: Trained, *, run_id: str, git_commit: str, plain: Path) -> tuple[LoggedRun, list[LoggedRun]]:
    tags = {**digest_tags(trained.digests), "tallystick.run": run_id, "tallystick.git_commit": git_commit}
    parent = LoggedRun(
        name=f"{run_id}: training",
        parameters={
            "plain": trained.plain.name,
            "benchmark": trained.benchmark.name,
            "seed": trained.plain.seed,
            "folds": trained.folds,
        },
        metrics={"rows": float(trained.rows), "holdout_rows": float(trained.holdout_rows)},
        tags={**tags, "tallystick.model_sha256": trained.plain.model_sha256},
        folders={"model": plain / "model"},
    )
    children = [
        LoggedRun(
            name=entry.recipe.name,
            parameters={"kind": entry.recipe.kind, "features": len(entry.features), **logged_parameters(entry.recipe)},
            metrics=metrics_of(entry),
            tags={**tags, "tallystick.role": _role(entry.is_plain, entry.is_benchmark)},
        )
        for entry in trained.leaderboard
    ]
    return parent, children


def _role(is_plain: bool, is_benchmark: bool) -> str:
    return "plain" if is_plain else "benchmark" if is_benchmark else "candidate"

"""Joins training and search to what is outside them: evidence, MLflow, the journal.

The components' bodies call this; the decisions stand in logic.py and search.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tallystick.components.core.contract import parse_contract
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import write_text
from tallystick.components.core.journal import Journal
from tallystick.components.core.pages import render
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.storage import open_store
from tallystick.components.training.logic import Trained, digests_of, metrics_of, train
from tallystick.components.training.packaging import Digests, logged_parameters
from tallystick.components.training.searching import Searched, search
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
    best = next(entry for entry in trained.leaderboard if entry.recipe.name == trained.plain.name)
    count = len(trained.leaderboard)
    text = f"{count} candidates; the most accurate is {trained.plain.name}, AUC {best.auc.figure:.3f}"
    journal.event("outcome", text=text, good=True)
    return trained


def run_search(
    dataset: Path,
    *,
    data_sha256: str,
    plain: Path,
    benchmark: Path,
    plain_is_fair: bool,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    tracking_uri: str,
    chosen: Path,
    report: Path,
    journal: Journal,
) -> Searched:
    """Search where the plain model is not fair, log every alternative, and leave the statement ``alternatives``.

    Raises
    ------
    InputError
        The candidates do not belong to these data or this policy.
    StorageError
        MLflow or the evidence store cannot be written.
    """
    contract, policy = parse_contract(contract_yaml), parse_policy(policy_yaml)
    digests = digests_of(dataset, data_sha256, contract_yaml, policy_yaml)
    searched = search(
        dataset,
        contract,
        policy,
        plain=plain,
        benchmark=benchmark,
        plain_is_fair=plain_is_fair,
        digests=digests,
        chosen=chosen,
        progress=journal.progress,
    )
    predicate = searched.predicate
    if searched.found is not None:
        journal.progress(0.97, "logging to MLflow")
        runs = _search_runs(searched, digests, run_id=run_id, chosen=chosen)
        predicate = {**predicate, "mlflow_run": log_runs(tracking_uri, contract.name, *runs)}
    EvidenceStore(open_store(evidence), run_id).record(
        "alternatives",
        "search",
        subject_name=searched.chosen.name,
        subject_sha256=searched.chosen.model_sha256,
        predicate=predicate,
    )
    write_text(report, search_page(predicate))
    journal.event("outcome", text=_told(predicate), good=True)
    return searched


def _told(predicate: Mapping[str, Any]) -> str:
    """The search in one line."""
    if not predicate["searched"]:
        return "the plain model is fair: nothing to search for"
    tried = predicate["alternatives"]
    eligible = sum(alternative["eligible"] for alternative in tried)
    return f"{len(tried)} tried, {eligible} keep every line; taken: {predicate['chosen']}"


def search_page(predicate: Mapping[str, Any]) -> str:
    """The search's report as one HTML page, from its statement alone."""
    plot = ""
    if predicate["searched"]:
        from tallystick.components.core.plots import alternatives_plot

        plot = alternatives_plot(predicate)
    chosen = next((entry for entry in predicate["alternatives"] if entry["chosen"]), None)
    return render("search.html.j2", Path(__file__).parent, details=predicate, chosen=chosen, plot=plot)


def _search_runs(
    searched: Searched, digests: Digests, *, run_id: str, chosen: Path
) -> tuple[LoggedRun, list[LoggedRun]]:
    assert searched.found is not None  # noqa: S101 - the caller looked
    tags = {**digest_tags(digests), "tallystick.run": run_id}
    parent = LoggedRun(
        name=f"{run_id}: search",
        parameters={"plain": searched.predicate["plain"]["name"], "chosen": searched.chosen.name},
        metrics={"alternatives": float(len(searched.found.alternatives))},
        tags={**tags, "tallystick.model_sha256": searched.chosen.model_sha256},
        folders={"model": chosen / "model"},
    )
    children = [
        LoggedRun(
            name=entry.name,
            parameters={
                "method": entry.method,
                **({"kind": entry.recipe.kind, **logged_parameters(entry.recipe)} if entry.recipe else {}),
                "features": ",".join(entry.recipe.features) if entry.recipe else "",
            },
            metrics={
                "auc_out_of_fold": entry.auc,
                "adverse_impact_ratio": entry.adverse_impact_ratio,
                "approval_rate": entry.approval_rate,
                "auc_confirmed": entry.confirmed_auc,
                "adverse_impact_ratio_confirmed": entry.confirmed_ratio,
            },
            tags={
                **tags,
                "tallystick.eligible": str(entry.eligible).lower(),
                "tallystick.chosen": str(entry.chosen).lower(),
                "tallystick.why_not": entry.why_not,
            },
        )
        for entry in searched.found.alternatives
    ]
    return parent, children


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

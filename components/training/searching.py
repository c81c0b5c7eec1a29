"""Carries a search from the candidates' folders to the chosen one's, without evidence, MLflow or journal.

When the plain model is fair nothing is searched and it is handed on as it is. When nothing eligible is found,
a model that breaks a line is handed on for the gate to refuse with its figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.components.core.agreement import check_agreement
from tallystick.components.core.candidates import OUT_OF_FOLD, CandidateModel, TrainingRecord, read_candidate
from tallystick.components.core.contract import Contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.judges import FairnessDetails, Subject, judge_fairness
from tallystick.components.core.policy import Policy
from tallystick.components.training.alternatives import Yardstick, deciding
from tallystick.components.training.crossvalidation import Workshop, one_thread
from tallystick.components.training.logic import THREADS, candidate_recipes, read_dataset
from tallystick.components.training.packaging import Digests, Finished, copy_candidate, write_candidate
from tallystick.components.training.recipes import Recipe
from tallystick.components.training.samples import split
from tallystick.components.training.search import Found, Search

Progress = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class Searched:
    """The end of a search; `found` is None when there was nothing to search for."""

    chosen: TrainingRecord
    predicate: dict[str, Any]
    found: Found | None


def search(
    dataset: Path,
    contract: Contract,
    policy: Policy,
    *,
    plain: Path,
    benchmark: Path,
    plain_is_fair: bool,
    digests: Digests,
    chosen: Path,
    progress: Progress = lambda done, text: None,
    threads: int = THREADS,
) -> Searched:
    """Search for a less discriminatory alternative and write the chosen candidate's folder.

    Parameters
    ----------
    dataset
        The validated data that the plain candidate was trained on.
    plain, benchmark
        Candidates' folders.
    plain_is_fair
        What the gate said of the plain candidate.
    chosen
        Folder to write.

    Raises
    ------
    InputError
        The candidates were not trained on these data, or are not the policy's.
    """
    check_agreement(contract, policy)
    refused, scorecard = read_candidate(plain), read_candidate(benchmark)
    if refused.training.dataset_sha256 != digests.dataset:
        raise InputError(str(dataset), "is not the data that the plain candidate was trained on", "the same dataset")
    details = _plain_details(refused, contract, policy)
    summary = _summary(refused, details)
    if plain_is_fair:
        copy_candidate(plain, chosen)
        return Searched(chosen=refused.training, predicate=_nothing_searched(summary, policy), found=None)
    with one_thread():
        found, workshop = _find(dataset, refused, scorecard, details, contract, policy, progress, threads)
        progress(0.92, f"exporting {found.chosen.name if found.chosen else refused.training.name}")
        record = _write(found, refused, chosen, workshop, contract, policy, digests)
    predicate = found.statement(
        plain=summary,
        line=float(policy.fairness.adverse_impact_ratio.minimum or 0.0),
        maximum_auc_loss=policy.search.maximum_auc_loss,
    )
    return Searched(chosen=record, predicate={**predicate, "clause": policy.search.clause}, found=found)


def _find(
    dataset: Path,
    refused: CandidateModel,
    scorecard: CandidateModel,
    details: FairnessDetails,
    contract: Contract,
    policy: Policy,
    progress: Progress,
    threads: int,
) -> tuple[Found, Workshop]:
    """Search, and say on which folds the chosen model's scores were made."""
    samples = split(read_dataset(dataset), contract, policy)
    workshop, again = (
        Workshop.of(samples, fold_count=policy.data.folds, seed=policy.seed, threads=threads, shuffle=shuffle)
        for shuffle in (0, 1)
    )
    yardstick = Yardstick(
        contract=contract,
        policy=policy,
        rows=samples.development,
        benchmark=scorecard.predictions,
        benchmark_name=scorecard.training.name,
        plain_auc=details.auc.figure,
    )
    found = Search(
        workshop,
        again,
        yardstick,
        plain=_recipe_of(refused, policy),
        plain_scores=refused.predictions.of(OUT_OF_FOLD).score,
        worst=(details.worst.attribute, details.worst.group) if details.worst else None,
        progress=progress,
    ).run()
    return found, again if _confirmed(found) else workshop


def _confirmed(found: Found) -> bool:
    return found.chosen is not None and found.chosen.eligible


def _write(
    found: Found,
    refused: CandidateModel,
    folder: Path,
    workshop: Workshop,
    contract: Contract,
    policy: Policy,
    digests: Digests,
) -> TrainingRecord:
    if found.confirmed is None:
        copy_candidate(refused.folder, folder)
        return refused.training
    tried = found.confirmed
    finished = Finished(recipe=tried.recipe, scores=tried.scores, method=tried.method, description=tried.description)
    return write_candidate(folder, finished, workshop, contract=contract, policy=policy, digests=digests)


def _plain_details(refused: CandidateModel, contract: Contract, policy: Policy) -> FairnessDetails:
    _, details = judge_fairness(
        refused.predictions.of(OUT_OF_FOLD),
        contract=deciding(contract, policy),
        policy=policy,
        threshold=refused.model.interface.threshold,
        subject=Subject(name=refused.training.name, kind=refused.model.kind, sha256=refused.model.digest),
    )
    return details


def _summary(refused: CandidateModel, details: FairnessDetails) -> dict[str, Any]:
    worst = details.worst
    return {
        "name": refused.training.name,
        "auc": details.auc.figure,
        "adverse_impact_ratio": worst.ratio if worst else None,
        "worst_group": f"{worst.attribute}: {worst.group}" if worst else "",
        "model_sha256": refused.model.digest,
    }


def _nothing_searched(summary: dict[str, Any], policy: Policy) -> dict[str, Any]:
    return {
        "searched": False,
        "plain": summary,
        "line": float(policy.fairness.adverse_impact_ratio.minimum or 0.0),
        "maximum_auc_loss": policy.search.maximum_auc_loss,
        "alternatives": [],
        "chosen": summary["name"],
        "chosen_is_eligible": True,
        "note": "The plain model passed the fairness gate, so no alternative was looked for.",
        "clause": policy.search.clause,
    }


def _recipe_of(refused: CandidateModel, policy: Policy) -> Recipe:
    for recipe in candidate_recipes(policy):
        if recipe.name == refused.training.name:
            return recipe
    raise InputError(
        "policy.yaml: training.candidates",
        f"the plain candidate {refused.training.name!r} is not among them",
        "the policy that it was trained by",
    )

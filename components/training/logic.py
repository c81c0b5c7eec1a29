"""Trains the policy's candidates and hands two of them on: the plain one and the benchmark.

The plain candidate is the one that ranks best out of fold; no fairness enters its choice, so that the gate
can say what the search for a fairer one was worth. The hold-out sample decides nothing here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tallystick.components.core.agreement import check_agreement
from tallystick.components.core.candidates import TrainingRecord
from tallystick.components.core.contract import Contract
from tallystick.components.core.ensembles import Floats
from tallystick.components.core.errors import InputError
from tallystick.components.core.files import sha256_of_bytes, sha256_of_file
from tallystick.components.core.measures.discrimination import Auc, auc
from tallystick.components.core.policy import Policy
from tallystick.components.training.crossvalidation import Workshop, one_thread
from tallystick.components.training.packaging import Digests, Finished, logged_parameters, write_candidate
from tallystick.components.training.recipes import Recipe, check_parameters
from tallystick.components.training.samples import Samples, split

Progress = Callable[[float, str], None]
THREADS = 2


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One candidate on the leaderboard."""

    recipe: Recipe
    features: tuple[str, ...]
    scores: Floats
    auc: Auc
    seconds: float
    is_benchmark: bool
    is_plain: bool


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training made."""

    plain: TrainingRecord
    benchmark: TrainingRecord
    leaderboard: tuple[Ranked, ...]
    digests: Digests
    rows: int
    folds: int
    holdout_rows: int

    def statement(self) -> dict[str, Any]:
        """The predicate of the statement ``training``."""
        hashes = {record.name: record.model_sha256 for record in (self.plain, self.benchmark)}
        return {
            "plain": self.plain.name,
            "benchmark": self.benchmark.name,
            "rows": self.rows,
            "folds": self.folds,
            "holdout_rows": self.holdout_rows,
            "threshold": self.plain.threshold,
            "leaderboard": [
                {
                    "name": entry.recipe.name,
                    "kind": entry.recipe.kind,
                    "parameters": logged_parameters(entry.recipe),
                    "features": list(entry.features),
                    "auc": entry.auc.figure,
                    "auc_interval": list(entry.auc.interval),
                    "seconds": round(entry.seconds, 3),
                    "is_benchmark": entry.is_benchmark,
                    "is_plain": entry.is_plain,
                    "model_sha256": hashes.get(entry.recipe.name),
                }
                for entry in self.leaderboard
            ],
            "digests": {
                "data": self.digests.data,
                "dataset": self.digests.dataset,
                "contract": self.digests.contract,
                "policy": self.digests.policy,
            },
        }


def digests_of(dataset: Path, data_sha256: str, contract_yaml: str, policy_yaml: str) -> Digests:
    """Digests of everything that a model is made from; `data_sha256` is the source file's, empty if not told."""
    return Digests(
        data=data_sha256,
        dataset=sha256_of_file(dataset),
        contract=sha256_of_bytes(contract_yaml.encode()),
        policy=sha256_of_bytes(policy_yaml.encode()),
    )


def read_dataset(path: Path) -> pd.DataFrame:
    """Read the validated data.

    Raises
    ------
    InputError
        Not a Parquet file, or cut off.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        problem = " ".join(str(error).split())
        raise InputError(str(path), f"cannot be read as Parquet ({problem})", "what data_validation wrote") from error


def candidate_recipes(policy: Policy) -> tuple[Recipe, ...]:
    """The policy's candidates as recipes, their parameters checked.

    Raises
    ------
    InputError
        A parameter that scikit-learn does not have, or that the platform sets.
    """
    recipes = tuple(
        Recipe(name=c.name, kind=c.kind, parameters=c.parameters, features=c.features)
        for c in policy.training.candidates
    )
    for recipe in recipes:
        check_parameters(recipe, f"policy.yaml: training.candidates[{recipe.name}]")
    return recipes


def train(
    dataset: Path,
    contract: Contract,
    policy: Policy,
    *,
    digests: Digests,
    plain: Path,
    benchmark: Path,
    progress: Progress = lambda done, text: None,
    threads: int = THREADS,
) -> Trained:
    """Cross-validate every candidate and write the plain one and the benchmark.

    Parameters
    ----------
    dataset
        The validated data, Parquet.
    plain, benchmark
        Folders to write; see :mod:`tallystick.components.core.candidates`.
    threads
        How many fits run at a time; the result does not depend on it.

    Raises
    ------
    InputError
        The policy names what the contract or scikit-learn does not have, or a model cannot be fitted.
    StepError
        The exported model does not score as scikit-learn does.
    """
    check_agreement(contract, policy)
    recipes = candidate_recipes(policy)
    with one_thread():
        samples = split(read_dataset(dataset), contract, policy)
        workshop = Workshop.of(samples, fold_count=policy.data.folds, seed=policy.seed, threads=threads)
        leaderboard = _rank(recipes, workshop, policy, progress)
        records: list[TrainingRecord] = []
        for entry, folder in ((_plain(leaderboard), plain), (_benchmark(leaderboard), benchmark)):
            progress(0.85 + 0.05 * len(records), f"exporting {entry.recipe.name}")
            finished = Finished(
                recipe=entry.recipe, scores=entry.scores, method="candidate", description="a candidate of the policy"
            )
            records.append(
                write_candidate(folder, finished, workshop, contract=contract, policy=policy, digests=digests)
            )
    return Trained(
        plain=records[0],
        benchmark=records[1],
        leaderboard=leaderboard,
        digests=digests,
        rows=len(samples.development.row),
        folds=policy.data.folds,
        holdout_rows=len(samples.holdout.row),
    )


def _rank(recipes: tuple[Recipe, ...], workshop: Workshop, policy: Policy, progress: Progress) -> tuple[Ranked, ...]:
    measured: list[tuple[Recipe, Floats, Auc, float]] = []
    for place, recipe in enumerate(recipes):
        progress(0.8 * place / len(recipes), f"cross-validating {recipe.name}")
        began = time.perf_counter()
        (scores,) = workshop.out_of_fold([recipe])
        seconds = time.perf_counter() - began
        measured.append((recipe, scores, auc(workshop.samples.development.adverse, scores), seconds))
    measured.sort(key=lambda entry: (-entry[2].figure, entry[0].name))
    best = next(recipe.name for recipe, *_ in measured if recipe.name != policy.training.benchmark)
    return tuple(
        Ranked(
            recipe=recipe,
            features=feature_names(workshop.samples, recipe),
            scores=scores,
            auc=area,
            seconds=seconds,
            is_benchmark=recipe.name == policy.training.benchmark,
            is_plain=recipe.name == best,
        )
        for recipe, scores, area, seconds in measured
    )


def feature_names(samples: Samples, recipe: Recipe) -> tuple[str, ...]:
    """Names of the features that a recipe's model sees."""
    return tuple(feature.name for feature in samples.columns(recipe.features)[0])


def _plain(leaderboard: tuple[Ranked, ...]) -> Ranked:
    return next(entry for entry in leaderboard if entry.is_plain)


def _benchmark(leaderboard: tuple[Ranked, ...]) -> Ranked:
    return next(entry for entry in leaderboard if entry.is_benchmark)


def metrics_of(entry: Ranked) -> Mapping[str, float]:
    """What the tracking server keeps of one candidate."""
    return {
        "auc_out_of_fold": entry.auc.figure,
        "auc_low": entry.auc.interval[0],
        "auc_high": entry.auc.interval[1],
        "seconds": entry.seconds,
    }

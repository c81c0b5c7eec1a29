"""Scores development rows by models that have not seen them, on as many processors as there are, the same each time.

Work is dealt to threads a fold at a time; within a fold everything runs on one thread, so that the scores'
last bits do not depend on how many there are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tallystick.components.core.ensembles import Floats
from tallystick.components.training.recipes import Fitted, Recipe, fit
from tallystick.components.training.samples import Rows, Samples, folds

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where models are made: the samples, the folds, the seed, and how many fits run at a time."""

    samples: Samples
    fold: Integers
    seed: int
    threads: int

    @classmethod
    def of(cls, samples: Samples, *, fold_count: int, seed: int, threads: int, shuffle: int = 0) -> Workshop:
        """Folds are stratified as the samples are; another `shuffle` deals the same rows out differently."""
        return cls(
            samples=samples, fold=folds(samples.strata, fold_count, seed + 1 + shuffle), seed=seed, threads=threads
        )

    def out_of_fold(self, recipes: Sequence[Recipe]) -> list[Floats]:
        """Out-of-fold scores of the development rows for each recipe, each of shape (rows,)."""
        numbers = [int(number) for number in np.unique(self.fold)]
        tasks = [(recipe, number) for recipe in recipes for number in numbers]
        development = self.samples.development
        with _pool(self.threads) as pool:
            parts = list(pool.map(lambda task: self._score_fold(*task), tasks))
        results = [np.empty(len(development.row)) for _ in recipes]
        for place, (_, number) in enumerate(tasks):
            results[place // len(numbers)][self.fold == number] = parts[place]
        return results

    def whole(self, recipe: Recipe) -> Fitted:
        """The recipe fitted on all development rows."""
        with _pool(1) as pool:
            return pool.submit(self._fit, recipe, np.ones(len(self.fold), dtype=bool)).result()

    def _score_fold(self, recipe: Recipe, number: int) -> Floats:
        held = self.fold == number
        _, columns = self.samples.columns(recipe.features)
        return self._fit(recipe, ~held).predict(self.samples.development.matrix[np.ix_(held, columns)])

    def _fit(self, recipe: Recipe, used: npt.NDArray[np.bool_]) -> Fitted:
        features, columns = self.samples.columns(recipe.features)
        development = self.samples.development
        return fit(
            recipe,
            development.matrix[np.ix_(used, columns)],
            development.adverse[used],
            signs=tuple(sign for feature in features for sign in feature.monotonic_signs),
            member=_members(recipe, development, used),
            seed=self.seed,
        )


def _members(recipe: Recipe, rows: Rows, used: npt.NDArray[np.bool_]) -> Integers | None:
    if recipe.reweighing is None:
        return None
    labels = rows.groups[recipe.reweighing.attribute][used]
    return np.asarray(labels == recipe.reweighing.group, dtype=np.int64)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold the numerical libraries to one thread each, for this process and this thread."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


@contextlib.contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each hold their numerical libraries to one thread of their own."""
    from threadpoolctl import threadpool_limits

    def alone() -> None:
        # OpenMP keeps its limit per thread, BLAS for the whole process: both are needed.
        threadpool_limits(limits=1)

    with one_thread(), ThreadPoolExecutor(threads, initializer=alone) as pool:
        yield pool

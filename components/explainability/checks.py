"""What an explanation must satisfy before a model may decline anybody; each returns a check, and decides alone.

Nothing here reads a file or computes Shapley values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tallystick.components.core.contract import Contract
from tallystick.components.core.encoding import Feature
from tallystick.components.core.ensembles import Floats, Integers, probability
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.core.onnx_runtime import onnxruntime
from tallystick.components.core.reasons import ReasonGroups
from tallystick.components.core.verdicts import Check, Outcome, compare

_GRID_POINTS = 12
_ROUNDING = 1e-9  # of float64 sums of a few hundred terms; far below any score that is told


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Applicants with their scores and contributions.

    Attributes
    ----------
    rows
        Positions in the data, rising, shape (rows,).
    contributions
        Shape (rows, encoded columns), in margin space, relative to `base`.
    declined
        Where the score is at or above the model's threshold, shape (rows,).
    """

    package: ModelPackage
    rows: Integers
    matrix: Floats
    scores: Floats
    contributions: Floats
    base: float
    declined: npt.NDArray[np.bool_]


class ServedGraph:
    """The ONNX graph that the model server runs, for scores as customers get them."""

    def __init__(self, package: ModelPackage) -> None:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        path = str(package.folder / "model.onnx")
        self._session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def score(self, matrix: Floats) -> Floats:
        """Probability of the adverse outcome of encoded rows, shape (rows,)."""
        (scores,) = self._session.run(None, {self._input: matrix})
        return np.asarray(scores, dtype=np.float64).ravel()


def additivity(explained: Explained, graph: ServedGraph, *, tolerance: float, clause: str) -> Iterator[Check]:
    """Base and contributions add up to the score that the model gives: of its arrays, and of the graph it serves."""
    arithmetic = explained.package.arithmetic
    told = probability(explained.base + explained.contributions.sum(axis=1), arithmetic.link)
    for of, scores in (("arrays", explained.scores), ("served graph", graph.score(explained.matrix))):
        error = float(np.abs(told - scores).max())
        yield Check(
            name="additivity",
            subject=of,
            figure=error,
            threshold=tolerance,
            comparison="<=",
            count=len(scores),
            outcome=compare(error, "<=", tolerance),
            detail=f"reasons add up to the score of the model's {of} within {error:.1e} for {len(scores)} applicants",
            clause=clause,
        )


def agreement_with_shap(
    explained: Explained, compared: Integers, reference: tuple[float, Floats], *, tolerance: float
) -> Check:
    """Our contributions are those of the shap package, cell by cell, and relative to the same base."""
    base, values = reference
    difference = max(float(np.abs(explained.contributions[compared] - values).max()), abs(explained.base - base))
    return Check(
        name="agreement_with_shap",
        figure=difference,
        threshold=tolerance,
        comparison="<=",
        count=len(compared),
        outcome=compare(difference, "<=", tolerance),
        detail=f"largest difference to the shap package's values: {difference:.1e} over {len(compared)} applicants",
    )


def texts_of_the_contract(package: ModelPackage, contract: Contract, *, clause: str) -> Check:
    """Every feature's reason has the code and the words that the contract gives it."""
    known = {column.name: column.reason for column in contract.features}
    strange = [
        feature.name
        for feature in package.interface.features
        if (reason := known.get(feature.name)) is None
        or reason.code != feature.reason_code
        or package.interface.reasons.get(feature.reason_code) != reason.text
    ]
    return Check(
        name="reason_texts",
        figure=float(len(strange)),
        threshold=0.0,
        comparison="<=",
        count=len(package.interface.features),
        outcome=Outcome.FAIL if strange else Outcome.PASS,
        detail=(
            f"the reasons of {', '.join(strange)} are not in the contract's words"
            if strange
            else f"the reasons of all {len(package.interface.features)} features are in the contract's words"
        ),
        clause=clause,
    )


def only_permitted_columns(package: ModelPackage, contract: Contract) -> Check:
    """No input, and so no reason, is a sensitive or excluded column or the outcome itself."""
    permitted = {column.name for column in contract.features}
    barred = [feature.name for feature in package.interface.features if feature.name not in permitted]
    return Check(
        name="sensitive_columns",
        figure=float(len(barred)),
        threshold=0.0,
        comparison="<=",
        count=len(package.interface.features),
        outcome=Outcome.FAIL if barred else Outcome.PASS,
        detail=(
            f"the model uses {', '.join(barred)}, which the contract does not permit as a feature"
            if barred
            else "no sensitive or excluded column is among the inputs or the reasons"
        ),
    )


def reasons_for_everyone(explained: Explained, *, clause: str) -> Check:
    """Every declined applicant has a reason that raised the score; with nobody declined there is no evidence."""
    groups = ReasonGroups(explained.package.interface)
    told = [groups.principal(row) for row in explained.contributions[explained.declined]]
    without = sum(reasons[0].contribution <= 0 for reasons in told)
    outcome = Outcome.INSUFFICIENT if not told else Outcome.FAIL if without else Outcome.PASS
    detail = (
        "the model declines nobody in the data: its reasons could not be tried"
        if not told
        else f"{len(told) - without} of {len(told)} declined applicants have a principal reason that raised their score"
    )
    return Check(
        name="reasons_given",
        figure=(len(told) - without) / len(told) if told else None,
        threshold=1.0,
        comparison=">=",
        count=len(told),
        outcome=outcome,
        detail=detail,
        clause=clause,
    )


def monotonic_directions(
    package: ModelPackage,
    graph: ServedGraph,
    contract: Contract,
    matrix: Floats,
    columns: Mapping[str, Sequence[Any]],
) -> Iterator[Check]:
    """Moving one feature alone in the contract's direction never moves the score against it.

    Parameters
    ----------
    graph
        The graph that is served; additivity has held it against the arrays.
    matrix
        Encoded applicants to move, shape (rows, encoded columns).
    columns
        Values of all applicants: each feature is moved over a grid of the values that occur.
    """
    start = 0
    for feature in package.interface.features:
        position, start = start, start + len(feature.encoded_names)
        declared = next((c.monotonic for c in contract.features if c.name == feature.name), None)
        if declared is None:
            continue
        grid = _grid(feature, columns[feature.name])
        against = _largest_step_against(graph, matrix, position, grid, declared == "increasing")
        holds = against <= _ROUNDING
        yield Check(
            name="monotonic",
            subject=feature.name,
            figure=against,
            threshold=_ROUNDING,
            comparison="<=",
            count=len(matrix),
            outcome=Outcome.PASS if holds else Outcome.FAIL,
            detail=(
                f"{feature.name}: the score never {'falls' if declared == 'increasing' else 'rises'} as it grows, "
                f"over {len(grid)} values for {len(matrix)} applicants"
                if holds
                else f"{feature.name}: the contract says {declared}, yet the score moves against it by {against:.3g}"
            ),
        )


def by_feature(contributions: Floats, package: ModelPackage) -> Floats:
    """Contributions added up over each feature's encoded columns, shape (rows, features)."""
    widths = [len(feature.encoded_names) for feature in package.interface.features]
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.intp)
    return np.asarray(np.add.reduceat(contributions, starts, axis=1))


def _grid(feature: Feature, values: Sequence[Any]) -> Floats:
    """At most 12 values that occur, from the smallest to the largest, as the model sees them."""
    known = [value for value in values if value is not None and value not in feature.missing_codes]
    distinct = np.unique(feature.encode(known)[:, 0]) if known else np.zeros(0)
    if len(distinct) <= _GRID_POINTS:
        return distinct
    return distinct[np.linspace(0, len(distinct) - 1, _GRID_POINTS).round().astype(np.intp)]


def _largest_step_against(graph: ServedGraph, matrix: Floats, position: int, grid: Floats, increasing: bool) -> float:
    """Largest move of a score against the direction between neighbouring values of the grid; 0.0 for none."""
    if len(grid) < 2:
        return 0.0
    moved = np.repeat(matrix, len(grid), axis=0)
    moved[:, position] = np.tile(grid, len(matrix))
    steps = np.diff(graph.score(moved).reshape(len(matrix), len(grid)), axis=1)
    return max(0.0, float((-steps if increasing else steps).max()))

"""One model in memory: checked rows to scores, decisions and reasons that add up, or an error.

ONNX Runtime gives the score; the arrays of the same model give the reasons. The two must agree on every
answer that is explained. Nothing here knows of HTTP.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tallystick.components.core.contributions import Explainer
from tallystick.components.core.encoding import Matrix
from tallystick.components.core.ensembles import Floats, probability
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.core.onnx_runtime import onnxruntime
from tallystick.components.core.reasons import PrincipalReason, ReasonGroups
from tallystick.components.model_server.inputs import FeatureCheck, RowEncoder, Values
from tallystick.components.model_server.protocol import Reasons
from tallystick.components.model_server.refusals import RefusedRequestError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Decision = Literal["adverse", "favourable"]
EXAMPLE_TOLERANCE = 1e-9
_CHUNK_ROWS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is told about each row; `reasons` is empty for a row that was not explained."""

    scores: list[float]
    decisions: list[Decision]
    reasons: list[tuple[PrincipalReason, ...]]


class Scorer:
    """Scores and explains with one model.

    Raises
    ------
    InputError
        The model cannot be loaded, or does not give its stored examples the stored scores.
    """

    def __init__(self, package: ModelPackage, session: InferenceSession) -> None:
        self._package, self._session = package, session
        self._encoder = RowEncoder(package.interface.features)
        self._explainer = Explainer(package.arithmetic, package.interface)
        self._groups = ReasonGroups(package.interface)
        self._threshold = package.interface.threshold
        self._link = package.arithmetic.link
        self._tolerance = package.interface.additivity_tolerance
        self._examples = self._encoder(self._example_columns())
        self._check_examples()

    def ready(self) -> bool:
        """Whether the first stored example still gets its stored score."""
        found = self.score(self._examples[:1])
        return bool(abs(found[0] - self._package.examples.scores[0]) <= EXAMPLE_TOLERANCE)

    def score(self, matrix: Matrix) -> Floats:
        """Probability of the adverse outcome for encoded rows, shape (rows,)."""
        (found,) = self._session.run(None, {"features": matrix})
        return np.asarray(found, dtype=np.float64).reshape(-1)

    def answer(self, columns: list[Values], reasons: Reasons, *, deadline: float = float("inf")) -> Answer:
        """Score checked columns, decide, and explain what the caller is owed.

        Parameters
        ----------
        deadline
            On `time.monotonic`'s clock; explaining many rows stops there.

        Raises
        ------
        RefusedRequestError
            500 when contributions do not add up to the score they explain: a false reason is never told;
            413 when explaining takes longer than allowed.
        """
        matrix = self._encoder(columns)
        scores = self.score(matrix)
        adverse = scores >= self._threshold
        explained = {"adverse": adverse, "always": np.ones(len(scores), bool), "never": np.zeros(len(scores), bool)}
        told: list[tuple[PrincipalReason, ...]] = [()] * len(scores)
        rows = np.flatnonzero(explained[reasons])
        for first in range(0, len(rows), _CHUNK_ROWS):
            if time.monotonic() > deadline:
                raise RefusedRequestError(
                    413, "timeout", "explaining took longer than allowed: send fewer rows at once"
                )
            chosen = rows[first : first + _CHUNK_ROWS]
            for row, values in zip(chosen, self._contributions(matrix[chosen], scores[chosen]), strict=True):
                told[row] = self._groups.principal(values)
        return Answer(
            scores=scores.tolist(),
            decisions=["adverse" if is_adverse else "favourable" for is_adverse in adverse.tolist()],
            reasons=told,
        )

    def _contributions(self, matrix: Matrix, scores: Floats) -> Floats:
        found, margins = self._explainer.explain(matrix)
        sums = self._explainer.base + found.sum(axis=1)
        wrong = np.maximum(np.abs(sums - margins), np.abs(probability(sums, self._link) - scores))
        if not bool((wrong <= self._tolerance).all()):
            raise RefusedRequestError(500, "additivity", "the reasons do not add up to the score: no answer is given")
        return found

    def _example_columns(self) -> list[Values]:
        rows = self._package.examples.rows
        if not rows:
            raise InputError("examples.json", "holds no rows", "at least one row with its score")
        try:
            checks = [FeatureCheck(feature) for feature in self._package.interface.features]
            return [check([row.get(check.name) for row in rows]) for check in checks]
        except RefusedRequestError as refusal:
            raise InputError("examples.json", str(refusal)) from refusal

    def _check_examples(self) -> None:
        found = self.score(self._examples)
        stored = np.array(self._package.examples.scores)
        if found.shape != stored.shape or not bool((np.abs(found - stored) <= EXAMPLE_TOLERANCE).all()):
            raise InputError("examples.json", "the model does not give the stored rows their stored scores")
        try:
            self._contributions(self._examples, found)
        except RefusedRequestError as refusal:
            raise InputError(
                "arithmetic.npz", "the arrays are another model than the graph: reasons would not add up"
            ) from refusal


def load_session(package: ModelPackage, *, threads: int = 1) -> InferenceSession:
    """An ONNX Runtime session on the package's graph.

    Raises
    ------
    InputError
        The graph cannot be run, or takes other columns than the interface encodes.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    path = package.folder / "model.onnx"
    try:
        session: InferenceSession = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no base class of its own for what it raises
        raise InputError(
            str(path), f"cannot be run ({type(error).__name__})", "a model written by tallystick"
        ) from error
    columns = sum(len(feature.encoded_names) for feature in package.interface.features)
    (tensor,) = session.get_inputs()
    if tensor.name != "features" or tensor.shape[1] != columns or tensor.type != "tensor(double)":
        raise InputError(str(path), f"takes {tensor.name} {tensor.shape}", f"features of {columns} columns, float64")
    return session

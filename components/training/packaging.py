"""Turns a recipe into the folder that the gates read: fit once, compare with scikit-learn, write whole.

Nothing is written that ONNX Runtime does not score as scikit-learn does.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tallystick.components.core.candidates import (
    HOLDOUT,
    MODEL,
    OUT_OF_FOLD,
    PREDICTIONS,
    Predictions,
    ProxyTest,
    Sample,
    TrainingRecord,
    joined,
    write_predictions,
    write_training,
)
from tallystick.components.core.contract import Contract
from tallystick.components.core.encoding import Feature, Matrix, encode
from tallystick.components.core.ensembles import Arithmetic, Floats, LinearModel, score
from tallystick.components.core.errors import StepError
from tallystick.components.core.files import folder_written_whole
from tallystick.components.core.measures.discrimination import auc
from tallystick.components.core.model_package import Examples, Interface
from tallystick.components.core.model_writer import write_package
from tallystick.components.core.onnx_graph import INPUT
from tallystick.components.core.onnx_runtime import onnxruntime
from tallystick.components.core.policy import Policy
from tallystick.components.core.profiles import profile_of
from tallystick.components.training.crossvalidation import Workshop
from tallystick.components.training.proxies import proxy_tests
from tallystick.components.training.recipes import Recipe
from tallystick.components.training.samples import Rows

PARITY_TOLERANCE = 1e-9
_EXAMPLE_QUANTILES = (0.5, 0.1, 0.25, 0.75, 0.9)


@dataclass(frozen=True, kw_only=True)
class Digests:
    """What a model was made from, as hexadecimal SHA-256."""

    data: str
    dataset: str
    contract: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A recipe that has been cross-validated: ready to be fitted on all development rows and written."""

    recipe: Recipe
    scores: Floats
    method: str
    description: str


def frozen_threshold(scores: Floats, policy: Policy) -> float:
    """The score at which the decision turns, from out-of-fold scores of shape (rows,).

    With an approval rate: the score of the first applicant who is no longer approved. A score at or above it
    is declined, so with equal scores at the edge slightly fewer are approved than the rate says.
    """
    if policy.decision.threshold is not None:
        return policy.decision.threshold
    assert policy.decision.approval_rate is not None  # noqa: S101 - the policy holds one of the two
    approved = min(round(policy.decision.approval_rate * len(scores)), len(scores) - 1)
    return float(np.sort(scores)[approved])


def predictions_of(rows: Rows, scores: Floats, sample: Sample) -> Predictions:
    """Scores of one sample's rows with what the gates need beside them."""
    return Predictions(
        row=rows.row,
        sample=np.full(len(rows.row), sample, dtype=object),
        adverse=rows.adverse,
        score=scores,
        groups=rows.groups,
    )


def write_candidate(
    folder: Path,
    finished: Finished,
    workshop: Workshop,
    *,
    contract: Contract,
    policy: Policy,
    digests: Digests,
) -> TrainingRecord:
    """Fit a recipe on the development rows and write the candidate's folder whole.

    Raises
    ------
    StepError
        ONNX Runtime and scikit-learn disagree on the hold-out sample.
    """
    samples, recipe = workshop.samples, finished.recipe
    features, columns = samples.columns(recipe.features)
    fitted = workshop.whole(recipe)
    arithmetic, expected = fitted.extract(), fitted.predict(samples.holdout.matrix[:, columns])
    if recipe.reweighing is not None:
        scaling = platt_scaling(finished.scores, samples.development.adverse)
        arithmetic = scaling.folded_into(arithmetic)
        expected, finished = scaling.apply(expected), replace(finished, scores=scaling.apply(finished.scores))
    threshold = frozen_threshold(finished.scores, policy)
    development = predictions_of(samples.development, finished.scores, OUT_OF_FOLD)
    declined = float(np.mean(finished.scores >= threshold))
    with folder_written_whole(folder) as temporary:
        digest = write_package(
            temporary / MODEL,
            name=contract.name,
            kind=recipe.kind,
            arithmetic=arithmetic,
            interface=_interface(features, threshold, contract, policy),
            profile=profile_of(samples.development.table, features, adverse_rate=declined, scores=finished.scores),
            examples=_examples(features, samples.development, arithmetic),
        )
        served = check_parity(temporary / MODEL / "model.onnx", samples.holdout.matrix[:, columns], expected)
        record = _record(finished, features, threshold, digest, arithmetic, workshop, contract, policy, digests)
        write_predictions(
            temporary / PREDICTIONS, joined(development, predictions_of(samples.holdout, served, HOLDOUT))
        )
        write_training(temporary, record)
    return record


def _record(
    finished: Finished,
    features: tuple[Feature, ...],
    threshold: float,
    digest: str,
    arithmetic: Arithmetic,
    workshop: Workshop,
    contract: Contract,
    policy: Policy,
    digests: Digests,
) -> TrainingRecord:
    recipe, samples = finished.recipe, workshop.samples
    return TrainingRecord(
        name=recipe.name,
        kind=recipe.kind,
        method=finished.method,
        description=finished.description,
        parameters=logged_parameters(recipe),
        features=tuple(feature.name for feature in features),
        threshold=threshold,
        seed=policy.seed,
        data_sha256=digests.data,
        dataset_sha256=digests.dataset,
        contract_sha256=digests.contract,
        policy_sha256=digests.policy,
        model_sha256=digest,
        auc_out_of_fold=auc(samples.development.adverse, finished.scores).figure,
        proxy=proxy_of(features, workshop, contract, policy),
        baseline_note=baseline_note(arithmetic),
    )


def proxy_of(
    features: Sequence[Feature], workshop: Workshop, contract: Contract, policy: Policy
) -> tuple[ProxyTest, ...]:
    """The proxy test of every attribute whose fairness decides."""
    _, columns = workshop.samples.columns(tuple(feature.name for feature in features))
    rows = workshop.samples.development
    references = {name: contract.sensitive[name].reference for name in policy.fairness.required}
    return proxy_tests(rows.matrix[:, columns], rows.groups, workshop.fold, references)


def copy_candidate(source: Path, target: Path) -> None:
    """Hand on a candidate as it is, whole."""
    with folder_written_whole(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def logged_parameters(recipe: Recipe) -> dict[str, Any]:
    """A recipe's parameters, with the reduction's multiplier where there is one."""
    values: dict[str, Any] = dict(recipe.parameters)
    if recipe.reweighing:
        values |= {
            "reduction": "demographic parity, grid search",
            "reduction_group": f"{recipe.reweighing.attribute}={recipe.reweighing.group}",
            "reduction_multiplier": recipe.reweighing.multiplier,
        }
    return values


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """``log odds -> slope * log odds + shift``, rising: ranks, decisions and fairness stay what they are."""

    slope: float
    shift: float

    def apply(self, scores: Floats) -> Floats:
        """Rescaled probabilities, shape as `scores`."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.slope * _log_odds(scores) + self.shift))))

    def folded_into(self, model: Arithmetic) -> Arithmetic:
        """The same scaling inside a model whose margin is log odds.

        Raises
        ------
        StepError
            The model's margin is a probability, which a scaling of log odds cannot be folded into.
        """
        if model.link != "logit":
            raise StepError("a reweighed forest cannot be recalibrated; reweigh a model whose margin is log odds")
        base = self.slope * model.base + self.shift
        if isinstance(model, LinearModel):
            return replace(model, coefficients=self.slope * model.coefficients, base=base)
        return replace(model, value=self.slope * model.value, base=base)


def platt_scaling(scores: Floats, adverse: npt.NDArray[np.int64]) -> Scaling:
    """Platt's scaling on out-of-fold scores of shape (rows,).

    A reduction fits reweighted and relabelled rows, so its score ranks applicants and is no probability.

    Raises
    ------
    StepError
        The score ranks applicants backwards.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines, section 2.
    """
    from sklearn.linear_model import LogisticRegression

    odds = _log_odds(scores).reshape(-1, 1)
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(odds, adverse)
    slope, shift = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0.0:
        raise StepError(f"a reweighed model ranks applicants backwards (slope {slope:.3g}); it is not written")
    return Scaling(slope=slope, shift=shift)


def _log_odds(scores: Floats) -> Floats:
    clipped = np.clip(scores, 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def check_parity(graph: Path, matrix: Matrix, expected: Floats) -> Floats:
    """Score rows with ONNX Runtime and compare with scikit-learn; returns ONNX Runtime's scores, shape (rows,).

    Raises
    ------
    StepError
        A row differs by more than `PARITY_TOLERANCE`.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    served = np.asarray(session.run(None, {INPUT: matrix})[0], dtype=np.float64)[:, 0]
    differences = np.abs(served - expected)
    worst = int(differences.argmax())
    if not differences[worst] <= PARITY_TOLERANCE:
        raise StepError(
            f"the exported model differs from scikit-learn by {differences[worst]:.3g} on hold-out row {worst} "
            f"(allowed: {PARITY_TOLERANCE:g}); it is not written"
        )
    return served


def baseline_note(model: Arithmetic) -> str:
    """What the reasons of this model are measured from, in words."""
    if isinstance(model, LinearModel):
        return "reasons are relative to the average applicant of the development sample"
    return "reasons are relative to the average score of the trees' training rows"


def _interface(features: tuple[Feature, ...], threshold: float, contract: Contract, policy: Policy) -> Interface:
    texts = {column.reason.code: column.reason.text for column in contract.features if column.reason}
    return Interface(
        features=features,
        reasons={feature.reason_code: texts[feature.reason_code] for feature in features},
        threshold=threshold,
        maximum_reasons=policy.reasons.maximum,
        shap=policy.reasons.shap,
        background_rows=policy.reasons.background_rows,
        additivity_tolerance=policy.reasons.additivity_tolerance,
        outcome=contract.target.meaning,
    )


def _examples(features: tuple[Feature, ...], rows: Rows, arithmetic: Arithmetic) -> Examples:
    """Made-up applicants: every feature at one of its own quantiles, and one with all that may be unknown unknown.

    No row is an applicant's: each column's quantile is taken on its own.
    """
    made = [{feature.name: _typical(feature, rows, q) for feature in features} for q in _EXAMPLE_QUANTILES]
    made.append({name: None if _nullable(features, name) else value for name, value in made[0].items()})
    columns = {feature.name: [row[feature.name] for row in made] for feature in features}
    scores = score(arithmetic, encode(features, columns))
    return Examples(rows=tuple(made), scores=tuple(float(value) for value in scores))


def _nullable(features: tuple[Feature, ...], name: str) -> bool:
    return next(feature.nullable for feature in features if feature.name == name)


def _typical(feature: Feature, rows: Rows, quantile: float) -> Any:
    values = rows.table[feature.name].dropna()
    if feature.type == "category":
        counts = values.value_counts()
        ranked = sorted(feature.categories, key=lambda value: (-int(counts.get(value, 0)), str(value)))
        return ranked[int(abs(quantile - 0.5) * len(ranked)) % len(ranked)]
    number = float(np.quantile(values.to_numpy(dtype=np.float64), quantile, method="inverted_cdf"))
    if feature.type == "boolean":
        return bool(number)
    return round(number) if feature.type == "integer" else float(np.float32(number))

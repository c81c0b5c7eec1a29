"""What a model is made by, and the making: one recipe for the policy's candidates and for every alternative.

A recipe is plain values, so it can be logged, compared and repeated. Fitting is deterministic: every random
number comes from the policy's seed, and the numerical libraries run on one thread, because the order in
which threads add up changes the last bits, and with them the model's digest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tallystick.components.core.encoding import Matrix
from tallystick.components.core.ensembles import Arithmetic, Floats, LinearModel
from tallystick.components.core.errors import InputError
from tallystick.components.core.policy import ModelKind, Parameter
from tallystick.components.training import extraction

Integers = npt.NDArray[np.int64]

# Set by the platform (seed, threads, directions), or of no meaning for a model that is stored as arrays.
_MANAGED = frozenset(
    {"random_state", "n_jobs", "verbose", "warm_start", "monotonic_cst", "categorical_features", "oob_score", "loss"}
    | {"interaction_cst", "multi_class", "dual", "intercept_scaling", "penalty", "scoring"}
)
_DEFAULTS: Mapping[ModelKind, Mapping[str, Parameter]] = {
    "logistic_regression": {"solver": "newton-cholesky", "max_iter": 1000},
    "random_forest": {},
    "hist_gradient_boosting": {"early_stopping": False},
}


@dataclass(frozen=True, kw_only=True)
class Reweighing:
    """One point of a reduction's grid: the Lagrange multiplier of one group's approval rate.

    Attributes
    ----------
    attribute, group
        The protected group; all other rows are the rest.
    multiplier
        0.0 leaves the data as they are; a greater one pulls the group's approval rate up further.

    References
    ----------
    Agarwal, Beygelzimer, Dudik, Langford and Wallach (2018), A Reductions Approach to Fair Classification,
    section 4 (grid search).
    """

    attribute: str
    group: str
    multiplier: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is made; `features` empty means all of the contract's."""

    name: str
    kind: ModelKind
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    reweighing: Reweighing | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted model: scikit-learn's own scores, and the arithmetic that was taken out of it."""

    predict: Callable[[Matrix], Floats]
    extract: Callable[[], Arithmetic]


def check_parameters(recipe: Recipe, where: str) -> None:
    """Refuse a parameter that scikit-learn does not have, or that the platform sets.

    Raises
    ------
    InputError
        Names the field and the parameters that there are.
    """
    allowed = sorted(set(_estimator_class(recipe.kind)().get_params()) - _MANAGED)
    for name in recipe.parameters:
        if name not in allowed:
            found = "is set by the platform" if name in _MANAGED else f"is no parameter of {recipe.kind}"
            raise InputError(f"{where}.parameters.{name}", found, ", ".join(allowed))


def fit(
    recipe: Recipe, matrix: Matrix, adverse: Integers, *, signs: tuple[int, ...], member: Integers | None, seed: int
) -> Fitted:
    """Fit one model.

    Parameters
    ----------
    recipe
        The parameters must have been checked.
    matrix, adverse
        Encoded features, shape (rows, columns); 1 where the outcome was adverse, shape (rows,).
    signs
        Direction per encoded column, 1, -1 or 0; every kind of model keeps them.
    member
        1 where a row belongs to the reweighing's group; None without a reweighing.

    Raises
    ------
    InputError
        scikit-learn refuses a value, or a logistic regression does not converge.
    """
    estimator = _estimator_class(recipe.kind)(**_arguments(recipe, signs, seed))
    where = f"policy: parameters of {recipe.name} ({recipe.kind})"
    try:
        if recipe.kind == "logistic_regression":
            return _fit_linear(recipe, estimator, matrix, adverse, signs=signs, member=member)
        if recipe.reweighing is None:
            estimator.fit(matrix, adverse)
        else:
            estimator = _reweighed(estimator, matrix, adverse, member, recipe.reweighing.multiplier)
    except (ValueError, TypeError, UserWarning) as error:
        raise InputError(where, " ".join(str(error).split()), "", "change the value in the policy") from error
    take = extraction.forest if recipe.kind == "random_forest" else extraction.boosting
    return Fitted(predict=lambda rows: _adverse_share(estimator, rows), extract=lambda: take(estimator))


def _fit_linear(
    recipe: Recipe,
    estimator: Any,
    matrix: Matrix,
    adverse: Integers,
    *,
    signs: tuple[int, ...],
    member: Integers | None,
) -> Fitted:
    """A logistic regression on standardised columns that keeps the contract's directions.

    A column whose coefficient would go against its direction is left out and the rest is fitted again, as
    scorecard builders do; left out means constant, so that its coefficient is exactly 0.
    """
    means, deviations = matrix.mean(axis=0), matrix.std(axis=0)
    deviations = np.where(deviations > 0.0, deviations, 1.0)
    standardised = (matrix - means) / deviations
    directions = np.array(signs)
    while True:
        if recipe.reweighing is None:
            estimator.fit(standardised, adverse)
        else:
            estimator = _reweighed(estimator, standardised, adverse, member, recipe.reweighing.multiplier)
        if estimator.n_iter_.max() >= estimator.max_iter:
            raise ValueError(f"did not converge in max_iter = {estimator.max_iter} iterations")
        wrong = estimator.coef_[0] * directions < 0.0
        if not wrong.any():
            break
        standardised[:, wrong] = 0.0

    def extract() -> LinearModel:
        return extraction.linear_model(estimator, means=means, deviations=deviations)

    return Fitted(predict=lambda rows: _adverse_share(estimator, (rows - means) / deviations), extract=extract)


def _reweighed(estimator: Any, matrix: Matrix, adverse: Integers, member: Integers | None, multiplier: float) -> Any:
    """One predictor of fairlearn's grid search under demographic parity, for one multiplier."""
    import pandas as pd
    from fairlearn.reductions import DemographicParity, GridSearch

    if member is None:
        raise ValueError("a reweighing needs to know who belongs to its group")
    index = pd.MultiIndex.from_product([["+", "-"], ["all"], [0, 1]], names=["sign", "event", "group_id"])
    # Weight on the constraint that the rest's adverse rate may not fall below the average: the only one that
    # a group with too many refusals needs, so one multiplier describes the whole predictor.
    grid = pd.DataFrame({0: [0.0, 0.0, multiplier, 0.0]}, index=index)
    # fairlearn 0.15 uses pandas in ways that pandas 4 will refuse; both are pinned, and the log is no place for it.
    warnings.filterwarnings("ignore", module="fairlearn", category=DeprecationWarning)
    search = GridSearch(estimator, DemographicParity(), grid=grid)
    search.fit(matrix, adverse, sensitive_features=member)
    return search.predictors_[0]


def _adverse_share(estimator: Any, matrix: Matrix) -> Floats:
    column = int(np.flatnonzero(estimator.classes_ == 1)[0])
    return np.asarray(estimator.predict_proba(matrix)[:, column], dtype=np.float64)


def _arguments(recipe: Recipe, signs: tuple[int, ...], seed: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {**_DEFAULTS[recipe.kind], **recipe.parameters, "random_state": seed}
    if recipe.kind != "logistic_regression" and any(signs):
        arguments["monotonic_cst"] = list(signs)
    return arguments


def _estimator_class(kind: ModelKind) -> Any:
    if kind == "logistic_regression":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression
    from sklearn import ensemble

    return ensemble.RandomForestClassifier if kind == "random_forest" else ensemble.HistGradientBoostingClassifier

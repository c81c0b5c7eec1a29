"""Model packages for tests: real scikit-learn models on a small lending data set, written as training writes them.

The conversion here is its own short one, so that the server's tests do not stand or fall with training's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from tallystick.components.core.encoding import Feature, encode
from tallystick.components.core.ensembles import Arithmetic, LinearModel, TreeEnsemble, score
from tallystick.components.core.model_package import Bins, Examples, Interface, ModelPackage, Profile, read_package
from tallystick.components.core.model_writer import write_package

Kind = Literal["logistic_regression", "random_forest", "hist_gradient_boosting"]

REASONS = {
    "R01": "Amount requested is high for the income",
    "R02": "Credit history shows past problems",
    "R03": "Employment is recent or not known",
    "R04": "Purpose of the loan carries more risk",
}


def lending_features(extra_numbers: int = 0) -> tuple[Feature, ...]:
    """Numbers, an integer, a boolean, a category and nullable columns; two features share the reason R01."""

    def feature(name: str, kind: Any, reason: str, **others: Any) -> Feature:
        values: dict[str, Any] = {"minimum": None, "maximum": None, "nullable": False, "missing_codes": ()}
        values |= {"categories": (), "impute": 0.0, "monotonic": None}
        return Feature(name=name, type=kind, reason_code=reason, **{**values, **others})

    return (
        feature("income", "number", "R01", minimum=0.0, maximum=1e6, unit="EUR"),
        feature("loan_ratio", "number", "R01", minimum=0.0, maximum=10.0, monotonic="increasing"),
        feature("late_payments", "integer", "R02", minimum=0, maximum=60),
        feature("bankrupt", "boolean", "R02"),
        feature(
            "years_employed",
            "number",
            "R03",
            minimum=0.0,
            maximum=70.0,
            nullable=True,
            missing_codes=(999,),
            impute=4.0,
        ),
        feature("purpose", "category", "R04", categories=("home", "car", "other"), nullable=True),
        *(feature(f"extra{n:02d}", "number", f"R0{n % 4 + 1}") for n in range(extra_numbers)),
    )


@dataclass(frozen=True, repr=False)
class Lending:
    """Applications drawn at random with a known rule, in columns by feature name, and their outcomes."""

    features: tuple[Feature, ...]
    columns: dict[str, list[Any]]
    adverse: np.ndarray

    def rows(self, count: int) -> list[dict[str, Any]]:
        return [{name: values[row] for name, values in self.columns.items()} for row in range(count)]


def lending(rows: int = 1500, seed: int = 7, extra_numbers: int = 0) -> Lending:
    random = np.random.default_rng(seed)
    income = np.round(random.lognormal(10.5, 0.5, rows), 2)
    ratio = np.round(random.gamma(2.0, 1.2, rows).clip(0, 10), 3)
    late = random.poisson(1.2, rows)
    bankrupt = random.random(rows) < 0.07
    years = np.round(random.gamma(1.5, 5.0, rows).clip(0, 60), 1)
    years_missing = random.random(rows) < 0.1
    purpose = random.choice(["home", "car", "other"], rows, p=[0.5, 0.3, 0.2])
    purpose_missing = random.random(rows) < 0.05
    extra = {f"extra{n:02d}": np.round(random.normal(size=rows), 3) for n in range(extra_numbers)}
    logit = -4.2 + 0.55 * ratio + 0.5 * late + 1.5 * bankrupt - 0.04 * years + 0.5 * (purpose == "other")
    logit = logit - 0.4 * np.log(income / 36000) * ratio / 3 + sum(0.1 * values for values in extra.values())
    adverse = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    columns: dict[str, list[Any]] = {
        "income": income.tolist(),
        "loan_ratio": ratio.tolist(),
        "late_payments": late.tolist(),
        "bankrupt": bankrupt.tolist(),
        "years_employed": [None if gone else value for gone, value in zip(years_missing, years.tolist(), strict=True)],
        "purpose": [None if gone else str(value) for gone, value in zip(purpose_missing, purpose, strict=True)],
        **{name: values.tolist() for name, values in extra.items()},
    }
    return Lending(lending_features(extra_numbers), columns, adverse)


def fitted(kind: Kind, matrix: np.ndarray, adverse: np.ndarray, **parameters: Any) -> Any:
    """A scikit-learn model of one kind."""
    defaults: dict[str, dict[str, Any]] = {
        "logistic_regression": {"max_iter": 5000},
        "random_forest": {"n_estimators": 40, "max_depth": 6, "random_state": 3},
        "hist_gradient_boosting": {"max_iter": 40, "random_state": 3},
    }
    classes: dict[str, Any] = {
        "logistic_regression": LogisticRegression,
        "random_forest": RandomForestClassifier,
        "hist_gradient_boosting": HistGradientBoostingClassifier,
    }
    return classes[kind](**{**defaults[kind], **parameters}).fit(matrix, adverse)


def arithmetic_of(model: Any, matrix: np.ndarray) -> Arithmetic:
    """The arrays of a fitted scikit-learn model."""
    if isinstance(model, LogisticRegression):
        return LinearModel(
            coefficients=model.coef_[0].copy(), means=matrix.mean(axis=0), base=float(model.intercept_[0])
        )
    if isinstance(model, RandomForestClassifier):
        trees = [tree.tree_ for tree in model.estimators_]
        parts = [
            (
                t.feature,
                t.threshold,
                t.children_left,
                t.children_right,
                t.value[:, 0, 1] / t.value[:, 0].sum(axis=1) / len(trees),
                t.weighted_n_node_samples,
            )
            for t in trees
        ]
        return _ensemble(parts, 0.0, "identity")
    parts = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        parts.append(
            (
                np.where(leaf, -1, nodes["feature_idx"].astype(int)),
                nodes["num_threshold"],
                np.where(leaf, -1, nodes["left"].astype(int)),
                np.where(leaf, -1, nodes["right"].astype(int)),
                nodes["value"],
                nodes["count"],
            )
        )
    return _ensemble(parts, float(model._baseline_prediction.ravel()[0]), "logit")


def _ensemble(parts: list[tuple[np.ndarray, ...]], base: float, link: Any) -> TreeEnsemble:
    sizes = [len(part[0]) for part in parts]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    features, thresholds, lefts, rights, values, covers = zip(*parts, strict=True)

    def absolute(children: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.concatenate(
            [np.where(c < 0, -1, c + start) for c, start in zip(children, starts, strict=True)]
        ).astype(np.int64)

    feature = np.concatenate(features).astype(np.int64)
    feature[feature < 0] = -1
    return TreeEnsemble(
        roots=starts,
        feature=feature,
        threshold=np.concatenate(thresholds).astype(np.float64),
        left=absolute(lefts),
        right=absolute(rights),
        value=np.where(feature < 0, np.concatenate(values), 0.0).astype(np.float64),
        cover=np.concatenate(covers).astype(np.float64),
        base=base,
        link=link,
    )


def profile_of(data: Lending, scores: np.ndarray, threshold: float) -> Profile:
    """Frozen bins of the sample: deciles for numbers, values for booleans and categories."""
    bins = []
    for feature in data.features:
        values = data.columns[feature.name]
        present = [value for value in values if value is not None]
        missing = len(values) - len(present)
        if feature.type in ("category", "boolean"):
            kinds = feature.categories or (False, True)
            counts = tuple(sum(value == kind for value in present) for kind in kinds)
            bins.append(Bins(name=feature.name, values=tuple(kinds), counts=counts, missing=missing))
        else:
            edges, counts = _deciles(np.array(present, dtype=float))
            bins.append(Bins(name=feature.name, edges=edges, counts=counts, missing=missing))
    edges, counts = _deciles(scores)
    score_bins = Bins(name="__score__", edges=edges, counts=counts, missing=0)
    return Profile(
        rows=len(scores), features=tuple(bins), score=score_bins, adverse_rate=float((scores >= threshold).mean())
    )


def _deciles(values: np.ndarray) -> tuple[tuple[float, ...], tuple[int, ...]]:
    edges = np.unique(np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf"))
    places = np.searchsorted(edges, values, side="left")
    return tuple(edges.tolist()), tuple(np.bincount(places, minlength=len(edges) + 1).tolist())


def write_lending_package(
    folder: Path,
    kind: Kind = "hist_gradient_boosting",
    *,
    name: str = "lending",
    decline_share: float = 0.12,
    data: Lending | None = None,
    parameters: dict[str, Any] | None = None,
    interface: dict[str, Any] | None = None,
    arithmetic: Arithmetic | None = None,
) -> ModelPackage:
    """Train, write and read back one model; `interface` overrides single values of it."""
    data = data or lending()
    matrix = encode(data.features, data.columns)
    if arithmetic is None:
        arithmetic = arithmetic_of(fitted(kind, matrix, data.adverse, **(parameters or {})), matrix)
    scores = score(arithmetic, matrix)
    threshold = float(np.quantile(scores, 1 - decline_share))
    values: dict[str, Any] = {
        "features": data.features,
        "reasons": REASONS,
        "threshold": threshold,
        "maximum_reasons": 4,
        "shap": "path_dependent",
        "background_rows": 100,
        "additivity_tolerance": 1e-6,
        "outcome": "the application was declined",
    }
    top = np.argsort(scores)
    chosen = [int(top[0]), int(top[len(top) // 2]), int(top[-1])]
    write_package(
        folder,
        name=name,
        kind=kind,
        arithmetic=arithmetic,
        interface=Interface(**{**values, **(interface or {})}),
        profile=profile_of(data, scores, threshold),
        examples=Examples(
            rows=tuple({key: column[row] for key, column in data.columns.items()} for row in chosen),
            scores=tuple(float(scores[row]) for row in chosen),
        ),
    )
    return read_package(folder)

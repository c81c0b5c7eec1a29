"""Takes the numbers out of a fitted scikit-learn estimator, into the arrays that are stored and served.

scikit-learn keeps a booster's trees in attributes with a leading underscore. They are read here and nowhere
else, the version is pinned, and the parity check of every model would catch a change of their meaning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tallystick.components.core.ensembles import Floats, LinearModel, TreeEnsemble


def linear_model(estimator: Any, *, means: Floats, deviations: Floats) -> LinearModel:
    """A logistic regression that was fitted on standardised columns, in terms of the columns themselves.

    Parameters
    ----------
    means, deviations
        What the columns were standardised by, shape (columns,).
    """
    weights = np.asarray(estimator.coef_[0], dtype=np.float64) / deviations
    base = float(estimator.intercept_[0] - weights @ means)
    return LinearModel(coefficients=weights, means=means, base=base, link="logit")


def forest(estimator: Any) -> TreeEnsemble:
    """A random forest: leaf values are the trees' shares of adverse rows, divided by the number of trees."""
    trees = [tree.tree_ for tree in estimator.estimators_]
    adverse = int(np.flatnonzero(estimator.classes_ == 1)[0])
    values = []
    for tree in trees:
        weights = tree.value[:, 0, :]
        share = weights[:, adverse] / weights.sum(axis=1)
        values.append(np.where(tree.children_left < 0, share / len(trees), 0.0))
    return _joined(
        feature=[np.where(tree.children_left < 0, -1, tree.feature) for tree in trees],
        threshold=[np.where(tree.children_left < 0, 0.0, tree.threshold) for tree in trees],
        left=[tree.children_left for tree in trees],
        right=[tree.children_right for tree in trees],
        value=values,
        cover=[tree.weighted_n_node_samples for tree in trees],
        base=0.0,
        identity=True,
    )


def boosting(estimator: Any) -> TreeEnsemble:
    """A histogram gradient boosting classifier: leaf values carry the learning rate, the base is its baseline."""
    nodes = [trees[0].nodes for trees in estimator._predictors]
    leaves = [node["is_leaf"] == 1 for node in nodes]
    return _joined(
        feature=[np.where(leaf, -1, node["feature_idx"]) for node, leaf in zip(nodes, leaves, strict=True)],
        threshold=[np.where(leaf, 0.0, node["num_threshold"]) for node, leaf in zip(nodes, leaves, strict=True)],
        left=[np.where(leaf, -1, node["left"].astype(np.int64)) for node, leaf in zip(nodes, leaves, strict=True)],
        right=[np.where(leaf, -1, node["right"].astype(np.int64)) for node, leaf in zip(nodes, leaves, strict=True)],
        value=[np.where(leaf, node["value"], 0.0) for node, leaf in zip(nodes, leaves, strict=True)],
        cover=[node["count"] for node in nodes],
        base=float(np.ravel(estimator._baseline_prediction)[0]),
        identity=False,
    )


def _joined(
    *,
    feature: list[npt.NDArray[Any]],
    threshold: list[npt.NDArray[Any]],
    left: list[npt.NDArray[Any]],
    right: list[npt.NDArray[Any]],
    value: list[npt.NDArray[Any]],
    cover: list[npt.NDArray[Any]],
    base: float,
    identity: bool,
) -> TreeEnsemble:
    """Nodes of all trees one after another; children become absolute positions."""
    sizes = [len(tree) for tree in feature]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def absolute(children: list[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
        moved = [np.where(tree < 0, -1, tree + start) for tree, start in zip(children, starts, strict=True)]
        return np.concatenate(moved).astype(np.int64)

    return TreeEnsemble(
        roots=starts,
        feature=np.concatenate(feature).astype(np.int64),
        threshold=np.concatenate(threshold).astype(np.float64),
        left=absolute(left),
        right=absolute(right),
        value=np.concatenate(value).astype(np.float64),
        cover=np.concatenate(cover).astype(np.float64),
        base=base,
        link="identity" if identity else "logit",
    )

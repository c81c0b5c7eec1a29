"""The arithmetic of a model, in plain arrays: a sum of trees or a linear function, and a link.

It is what training extracts from scikit-learn, what ONNX, the scores, and the reasons are computed from,
and what is stored. No object is ever pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Link = Literal["identity", "logit"]


@dataclass(frozen=True, kw_only=True)
class TreeEnsemble:
    """A sum of binary regression trees.

    Nodes of all trees stand one after another; `left` and `right` are absolute positions, -1 at leaves.
    A row goes left where ``x[feature] <= threshold``. Leaf values carry learning rate and averaging, so
    that ``margin = base + sum of leaf values`` and ``probability = link^-1(margin)``.

    Attributes
    ----------
    roots
        Position of each tree's root, shape (trees,).
    feature
        Encoded column tested, -1 at leaves, shape (nodes,).
    threshold, value, cover
        Split point, leaf value, and number (or weight) of training rows that reached the node, shape (nodes,).
    background
        Encoded rows that interventional Shapley values are relative to, shape (rows, columns); a model whose
        policy asks for path-dependent values has none.
    """

    roots: Integers
    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    value: Floats
    cover: Floats
    base: float
    link: Link
    background: Floats | None = None

    def margin(self, matrix: Floats) -> Floats:
        """Sum of the trees for each row, shape (rows,). The reference: clear, not fast."""
        total = np.full(len(matrix), self.base)
        rows = np.arange(len(matrix))
        for root in self.roots:
            node = np.full(len(matrix), root)
            while True:
                inner = self.feature[node] >= 0
                if not inner.any():
                    break
                tested = matrix[rows, np.maximum(self.feature[node], 0)]
                below = tested <= self.threshold[node]
                node = np.where(inner, np.where(below, self.left[node], self.right[node]), node)
            total += self.value[node]
        return total


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """``margin = base + coefficients . x``; `means` are the training means that reasons are relative to."""

    coefficients: Floats
    means: Floats
    base: float
    link: Link = "logit"

    def margin(self, matrix: Floats) -> Floats:
        """Linear score of each row, shape (rows,)."""
        return np.asarray(self.base + matrix @ self.coefficients)


Arithmetic = TreeEnsemble | LinearModel


def probability(margin: Floats, link: Link) -> Floats:
    """Probability of the adverse outcome; the logistic function is computed without overflow."""
    if link == "identity":
        return margin
    result = np.empty_like(margin)
    positive = margin >= 0
    result[positive] = 1.0 / (1.0 + np.exp(-margin[positive]))
    exponential = np.exp(margin[~positive])
    result[~positive] = exponential / (1.0 + exponential)
    return result


def score(model: Arithmetic, matrix: Floats) -> Floats:
    """Probability of the adverse outcome for each row, shape (rows,), between 0 and 1."""
    return probability(model.margin(matrix), model.link)

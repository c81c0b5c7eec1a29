"""What each encoded column added to a score: exact, in margin space, adding up to the score itself.

One implementation serves the explainability step and the model server, so that the reasons an applicant is
given are the values the model card was drawn from. Nothing here decides which contributions are told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tallystick.components.core.ensembles import Arithmetic, Floats, Integers, LinearModel, TreeEnsemble
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Interface
from tallystick.components.core.tree_kernel import path_dependent

_SMALLEST_SHARE = 1e-60


@dataclass(frozen=True, kw_only=True)
class PreparedTrees:
    """A tree ensemble laid out for :func:`tallystick.components.core.tree_arithmetic.path_dependent`.

    Attributes
    ----------
    starts
        First node of each tree and the end, shape (trees + 1,).
    base
        The margin expected over the training rows: what the contributions are relative to.
    points, weights
        Gauss-Legendre quadrature on [0, 1], exact for the longest path.
    largest
        Nodes of the largest tree.
    """

    starts: Integers
    parent: Integers
    feature: Integers
    threshold: Floats
    goes_left: Integers
    share: Floats
    ancestor: Integers
    value: Floats
    points: Floats
    weights: Floats
    base: float
    largest: int


class Explainer:
    """A model prepared once for explaining many rows.

    Parameters
    ----------
    model
        The arithmetic of a model package.
    interface
        Says which Shapley values the policy asked for.
    """

    def __init__(self, model: Arithmetic, interface: Interface) -> None:
        self._model = model
        self._trees: PreparedTrees | None = None
        if isinstance(model, LinearModel):
            self.base = float(model.base + model.means @ model.coefficients)
            return
        if interface.shap != "path_dependent":
            raise InputError(
                "interface.json: shap", f"{interface.shap} needs background rows in the model", "path_dependent"
            )
        self._trees = prepare(model)
        self.base = self._trees.base
        self._kernel = path_dependent()
        trees = self._trees
        # The order of the kernel's arguments; addresses are taken once, `_trees` keeps the arrays alive.
        layout = (trees.starts, trees.parent, trees.ancestor, trees.feature, trees.goes_left)
        numbers = (trees.threshold, trees.share, trees.value, trees.points, trees.weights)
        self._addresses = [array.ctypes.data for array in (*layout, *numbers)]

    def explain(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Contributions and margins of encoded rows.

        Returns
        -------
        contributions
            Shape (rows, encoded columns), in margin space; ``base + contributions.sum(axis=1)`` is the margin.
        margin
            Shape (rows,), from the same arrays as the contributions.
        """
        matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        if isinstance(self._model, LinearModel):
            return self._model.coefficients * (matrix - self._model.means), self._model.margin(matrix)
        trees = self._trees
        assert trees is not None  # noqa: S101 - set for every tree ensemble
        (rows, columns), count, largest = matrix.shape, len(trees.points), trees.largest
        result, margin = np.zeros(matrix.shape), np.full(rows, self._model.base)
        scratch = np.empty((3 * count + 2) * largest)  # of this call: threads may explain at the same time
        places = (0, count, 2 * count, 3 * count, 3 * count + 1)
        scratched = [scratch.ctypes.data + place * largest * scratch.itemsize for place in places]
        found = (result.ctypes.data, margin.ctypes.data)
        sizes = (rows, columns, len(trees.starts) - 1, count)
        self._kernel(*sizes, matrix.ctypes.data, *self._addresses, *scratched, *found)
        return result, margin


def contributions(model: Arithmetic, matrix: Floats, interface: Interface) -> tuple[float, Floats]:
    """Exact contributions of every encoded column to every row's margin.

    Parameters
    ----------
    matrix
        Encoded rows (`encoding.encode`), shape (rows, encoded columns).

    Returns
    -------
    base
        The margin that contributions are relative to.
    contributions
        Shape (rows, encoded columns); ``base + contributions.sum(axis=1)`` equals ``model.margin(matrix)``
        up to rounding. For a linear model coefficient x (value - training mean).

    Raises
    ------
    InputError
        The policy asks for Shapley values that this model's package cannot give.

    References
    ----------
    Lundberg et al. (2020), algorithm 2, "tree_path_dependent"; shap.TreeExplainer gives the same values.
    """
    explainer = Explainer(model, interface)
    return explainer.base, explainer.explain(matrix)[0]


def prepare(model: TreeEnsemble) -> PreparedTrees:
    """Lay the trees out in preorder, with shares and repeated features resolved."""
    nodes: list[tuple[int, int, float, int, float, int, float]] = []
    starts, deepest, base = [0], 1, model.base
    for root in model.roots:
        first = len(nodes)
        # Node, parent, edge feature, threshold, goes left, share, ancestor, reach, {feature: (edge, share)} above.
        waiting: list[tuple[int, int, int, float, int, float, int, float, dict[int, tuple[int, float]]]]
        waiting = [(int(root), 0, 0, 0.0, 0, 1.0, 0, 1.0, {})]
        while waiting:
            node, parent, edge, threshold, left, share, ancestor, reach, seen = waiting.pop()
            here = len(nodes) - first
            leaf = model.feature[node] < 0
            nodes.append((parent, edge, threshold, left, share, ancestor, float(model.value[node]) if leaf else 0.0))
            if leaf:
                base += reach * float(model.value[node])
                deepest = max(deepest, len(seen) + (here > 0 and edge not in seen))
                continue
            below = {**seen, edge: (here, share)} if here else seen
            tested = int(model.feature[node])
            earlier, earlier_share = below.get(tested, (0, 1.0))
            for child, is_left in ((model.right[node], 0), (model.left[node], 1)):
                ratio = float(model.cover[child] / model.cover[node]) if model.cover[node] > 0 else 0.5
                merged = max(earlier_share * ratio, _SMALLEST_SHARE)
                entry = (int(child), here, tested, float(model.threshold[node]), is_left)
                waiting.append((*entry, merged, earlier, reach * ratio, below))
        starts.append(len(nodes))
    columns = list(zip(*nodes, strict=True))
    count = -(-deepest // 2)  # a path of d features has polynomials of degree d - 1
    points, weights = np.polynomial.legendre.leggauss(count)
    return PreparedTrees(
        starts=np.array(starts, dtype=np.int64),
        parent=np.array(columns[0], dtype=np.int64),
        feature=np.array(columns[1], dtype=np.int64),
        threshold=np.array(columns[2]),
        goes_left=np.array(columns[3], dtype=np.int64),
        share=np.array(columns[4]),
        ancestor=np.array(columns[5], dtype=np.int64),
        value=np.array(columns[6]),
        points=(points + 1.0) / 2.0,
        weights=weights / 2.0,
        base=base,
        largest=int(np.diff(starts).max()),
    )

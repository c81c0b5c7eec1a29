"""What each encoded column added to a score: exact, in margin space, adding up to the score itself.

One implementation serves the explainability step and the model server, so that the reasons an applicant is
given are the values the model card was drawn from. Nothing here decides which contributions are told.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tallystick.components.core.ensembles import Arithmetic, Floats, Integers, LinearModel, TreeEnsemble
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Interface
from tallystick.components.core.tree_kernel import kernel

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

    Raises
    ------
    InputError
        Interventional values are asked for and the model has no background rows.
    """

    def __init__(self, model: Arithmetic, interface: Interface) -> None:
        self._explain: Callable[[Floats], tuple[Floats, Floats]]
        if isinstance(model, LinearModel):
            self.base = float(model.base + model.means @ model.coefficients)
            self._explain = functools.partial(_linear, model)
        elif interface.shap == "path_dependent":
            trees = prepare(model)
            self.base, self._explain = trees.base, PathDependent(model, trees)
        elif model.background is None:
            raise InputError(
                "interface.json: shap", "interventional values need background rows in the model", "path_dependent"
            )
        else:
            self.base = float(model.margin(model.background).mean())
            self._explain = Interventional(model, model.background)

    def explain(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Contributions and margins of encoded rows.

        Returns
        -------
        contributions
            Shape (rows, encoded columns), in margin space; ``base + contributions.sum(axis=1)`` is the margin.
        margin
            Shape (rows,), from the same arrays as the contributions.
        """
        return self._explain(np.ascontiguousarray(matrix, dtype=np.float64))


def _linear(model: LinearModel, matrix: Floats) -> tuple[Floats, Floats]:
    return model.coefficients * (matrix - model.means), model.margin(matrix)


class PathDependent:
    """Calls :func:`tree_arithmetic.path_dependent` on one ensemble."""

    def __init__(self, model: TreeEnsemble, trees: PreparedTrees) -> None:
        self.trees, self.kernel, self._base = trees, kernel("path_dependent"), model.base
        # The order of the kernel's arguments; addresses are taken once, `trees` keeps the arrays alive.
        layout = (trees.starts, trees.parent, trees.ancestor, trees.feature, trees.goes_left)
        numbers = (trees.threshold, trees.share, trees.value, trees.points, trees.weights)
        self._addresses = [array.ctypes.data for array in (*layout, *numbers)]

    def __call__(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Contributions and margins."""
        trees = self.trees
        (rows, columns), count, largest = matrix.shape, len(trees.points), trees.largest
        result, margin = np.zeros(matrix.shape), np.full(rows, self._base)
        scratch = np.empty((3 * count + 2) * largest)  # of this call: threads may explain at the same time
        places = (0, count, 2 * count, 3 * count, 3 * count + 1)
        scratched = [scratch.ctypes.data + place * largest * scratch.itemsize for place in places]
        sizes = (rows, columns, len(trees.starts) - 1, count)
        found = (result.ctypes.data, margin.ctypes.data)
        self.kernel(*sizes, matrix.ctypes.data, *self._addresses, *scratched, *found)
        return result, margin


class Interventional:
    """Calls :func:`tree_arithmetic.interventional` on one ensemble and its background rows."""

    def __init__(self, model: TreeEnsemble, background: Floats) -> None:
        self._kernel, self._base = kernel("interventional"), model.base
        self._deepest = _longest_path(model) + 1
        sides = range(self._deepest)
        weight = [[_share(a, b) if a else 0.0 for b in sides] for a in sides]
        layout = [np.ascontiguousarray(a, np.int64) for a in (model.roots, model.feature, model.left, model.right)]
        numbers = [np.ascontiguousarray(a, np.float64) for a in (model.threshold, model.value, weight)]
        self._arrays = [np.ascontiguousarray(background, np.float64), *layout, *numbers]

    def __call__(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Contributions and margins."""
        rows, columns = matrix.shape
        result, margin = np.zeros(matrix.shape), np.full(rows, self._base)
        scratch = np.empty(10 * self._deepest + 8, dtype=np.int64)  # of this call, as above
        starts = (0, 8 * self._deepest + 8, 9 * self._deepest + 8)
        scratched = [scratch.ctypes.data + start * scratch.itemsize for start in starts]
        background, roots, *_ = self._arrays
        sizes = (rows, columns, len(roots), len(background), self._deepest)
        found = (result.ctypes.data, margin.ctypes.data)
        self._kernel(*sizes, matrix.ctypes.data, *(a.ctypes.data for a in self._arrays), *scratched, *found)
        return result, margin


def _share(a: int, b: int) -> float:
    """Shapley weight (a-1)! b! / (a+b)! of one of `a` features that pull towards a leaf with `b` that do not."""
    return math.factorial(a - 1) * math.factorial(b) / math.factorial(a + b)


def _longest_path(model: TreeEnsemble) -> int:
    """Inner nodes on the longest path of any tree."""
    longest, waiting = 0, [(int(root), 0) for root in model.roots]
    while waiting:
        node, above = waiting.pop()
        longest = max(longest, above)
        if model.feature[node] >= 0:
            waiting += [(int(model.left[node]), above + 1), (int(model.right[node]), above + 1)]
    return longest


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
    Lundberg et al. (2020): "tree_path_dependent" and "interventional"; shap.TreeExplainer gives the same values.
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

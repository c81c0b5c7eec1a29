"""The two loops that explain trees, written so that they compile to machine code without a runtime.

Nothing here allocates, raises or calls into Python: every array is given, so the same text runs in the
interpreter (slowly, for tests) and compiled (`tree_kernel.py`). Path-dependent Shapley values of a tree are
integrals over t in [0, 1] of polynomials; Gauss-Legendre quadrature of enough points is exact for them.

References
----------
Lundberg et al., From local explanations to global understanding with explainable AI for trees, Nature
Machine Intelligence 2 (2020); Owen, Multilinear extensions of games, Management Science 18 (1972), for the
integral; Yu, Xu, Zhu, Linear TreeShap, NeurIPS 2022, for sharing work between the paths of a tree.
"""

from __future__ import annotations

from typing import Any


def path_dependent(
    matrix: Any,
    starts: Any,
    parent: Any,
    feature: Any,
    threshold: Any,
    goes_left: Any,
    share: Any,
    ancestor: Any,
    value: Any,
    points: Any,
    weights: Any,
    product: Any,
    inverse: Any,
    total: Any,
    taken: Any,
    active: Any,
    contributions: Any,
    margin: Any,
) -> None:
    """Add each row's path-dependent Shapley values and margin, tree by tree.

    A node's edge leads to it from its parent and carries the feature tested there. With `share` z (the
    product of cover ratios over the edges of that feature above and at this one), `taken` o (1.0 if the row
    follows all of them) and w(t) = z (1 - t) + o t, a leaf of value v adds to each feature of its path

        v (o - z) * integral over t of the product of w of the path's other features.

    Edges above one of the same feature are replaced by it, and taken back out on the way up.

    Parameters
    ----------
    matrix
        Encoded rows, shape (rows, columns).
    starts
        First node of each tree and the end, shape (trees + 1,); nodes stand in preorder.
    parent, ancestor
        Position within the tree of the parent, and of the nearest edge above with the same feature (0: none).
    feature, threshold, goes_left, share
        Of the edge that leads to the node.
    value
        Leaf value; 0.0 at inner nodes.
    points, weights
        Quadrature on [0, 1]; their number is a multiple of four.
    product, inverse, total, taken, active
        Scratch, one line a node of the largest tree.
    contributions, margin
        Added to: shape (rows, columns) and (rows,).
    """
    count = points.shape[0]
    for row in range(matrix.shape[0]):
        for tree in range(starts.shape[0] - 1):
            start = starts[tree]
            nodes = starts[tree + 1] - start
            for q in range(count):
                product[0, q] = 1.0
                total[0, q] = value[start]
            taken[0] = 1.0
            active[0] = 1.0
            if nodes == 1:
                margin[row] += value[start]
            for node in range(1, nodes):
                here = start + node
                above = parent[here]
                earlier = ancestor[here]
                below = matrix[row, feature[here]] <= threshold[here]
                follows = 1.0 if below == (goes_left[here] != 0) else 0.0
                active[node] = active[above] * follows
                leaf = value[here]
                margin[row] += active[node] * leaf
                if earlier > 0:
                    follows = follows * taken[earlier]
                taken[node] = follows
                z = share[here]
                for q in range(count):
                    w = z + (follows - z) * points[q]
                    inverse[node, q] = 1.0 / w
                    c = product[above, q] * w
                    if earlier > 0:
                        c = c * inverse[earlier, q]
                    product[node, q] = c
                    total[node, q] = c * leaf
            for back in range(1, nodes):
                node = nodes - back
                here = start + node
                above = parent[here]
                earlier = ancestor[here]
                mine = 0.0
                replaced = 0.0
                for q in range(count):
                    s = total[node, q]
                    total[above, q] += s
                    mine += weights[q] * s * inverse[node, q]
                    if earlier > 0:
                        replaced += weights[q] * s * inverse[earlier, q]
                add = (taken[node] - share[here]) * mine
                if earlier > 0:
                    add -= (taken[earlier] - share[start + earlier]) * replaced
                contributions[row, feature[here]] += add

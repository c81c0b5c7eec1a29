"""The loops that explain trees, written so that they compile to machine code without a runtime.

Nothing here allocates, raises or calls into Python: every array is given, so the same text runs in the
interpreter (slowly, for tests) and compiled (`tree_kernel.py`). Path-dependent Shapley values of a tree are
integrals over t in [0, 1] of polynomials; Gauss-Legendre quadrature of enough points is exact for them.
Interventional ones are exact for each background row by what Shapley values of a product are.

References
----------
Lundberg et al., From local explanations to global understanding with explainable AI for trees, Nature
Machine Intelligence 2 (2020); Owen, Multilinear extensions of games, Management Science 18 (1972), for the
integral; Yu, Xu, Zhu, Linear TreeShap, NeurIPS 2022, for sharing work between the paths of a tree.
"""

from __future__ import annotations

from typing import Any


def path_dependent(
    rows: int,
    columns: int,
    trees: int,
    count: int,
    matrix: Any,
    starts: Any,
    parent: Any,
    ancestor: Any,
    feature: Any,
    goes_left: Any,
    threshold: Any,
    share: Any,
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
    rows, columns, trees, count
        Sizes; `count` is the number of quadrature points.
    matrix
        Encoded rows, rows * columns values. All arrays are flat: compiled, they are bare pointers.
    starts
        First node of each tree and the end, trees + 1 values; nodes stand in preorder.
    parent, ancestor
        Position within the tree of the parent, and of the nearest edge above with the same feature (0: none).
    feature, goes_left, threshold, share
        Of the edge that leads to the node.
    value
        Leaf value; 0.0 at inner nodes.
    points, weights
        Quadrature on [0, 1], exact for polynomials of degree 2 count - 1: half the features of the longest path.
    product, inverse, total
        Scratch, `count` values for each node of the largest tree.
    taken, active
        Scratch, one value a node.
    contributions, margin
        Added to: rows * columns and rows values.
    """
    for row in range(rows):
        here_row = row * columns
        for tree in range(trees):
            start = starts[tree]
            nodes = starts[tree + 1] - start
            for q in range(count):
                product[q] = 1.0
                total[q] = 0.0
            taken[0] = 1.0
            active[0] = 1.0
            margin[row] += value[start]
            for node in range(1, nodes):
                here = start + node
                line = node * count
                above = parent[here]
                above_line = above * count
                earlier = ancestor[here]
                below = matrix[here_row + feature[here]] <= threshold[here]
                follows = 1.0 if below == (goes_left[here] != 0) else 0.0
                active[node] = active[above] * follows
                leaf = value[here]
                margin[row] += active[node] * leaf
                z = share[here]
                if earlier > 0:
                    follows = follows * taken[earlier]
                    earlier_line = earlier * count
                    for q in range(count):
                        w = z + (follows - z) * points[q]
                        inverse[line + q] = 1.0 / w
                        c = product[above_line + q] * w * inverse[earlier_line + q]
                        product[line + q] = c
                        total[line + q] = c * leaf
                else:
                    for q in range(count):
                        w = z + (follows - z) * points[q]
                        inverse[line + q] = 1.0 / w
                        c = product[above_line + q] * w
                        product[line + q] = c
                        total[line + q] = c * leaf
                taken[node] = follows
            for back in range(1, nodes):
                node = nodes - back
                here = start + node
                line = node * count
                above_line = parent[here] * count
                earlier = ancestor[here]
                mine = 0.0
                for q in range(count):
                    s = total[line + q] * weights[q]
                    total[above_line + q] += total[line + q]
                    mine += s * inverse[line + q]
                add = (taken[node] - share[here]) * mine
                if earlier > 0:
                    replaced = 0.0
                    for q in range(count):
                        replaced += total[line + q] * weights[q] * inverse[earlier * count + q]
                    add -= (taken[earlier] - share[start + earlier]) * replaced
                contributions[here_row + feature[here]] += add


def interventional(  # noqa: PLR0912 - one function: what is compiled calls nothing
    rows: int,
    columns: int,
    trees: int,
    others: int,
    deepest: int,
    matrix: Any,
    background: Any,
    roots: Any,
    feature: Any,
    left: Any,
    right: Any,
    threshold: Any,
    value: Any,
    weight: Any,
    waiting: Any,
    path_feature: Any,
    path_side: Any,
    contributions: Any,
    margin: Any,
) -> None:
    """Add each row's interventional Shapley values: the mean over background rows of those against each one.

    Against one background row only leaves count that are reached with some features from the row (a of them)
    and some from the background (b). A leaf of value v gives each of the former v (a-1)! b! / (a+b)! and takes
    v a! (b-1)! / (a+b)! from each of the latter.

    Parameters
    ----------
    rows, columns, trees, others, deepest
        Sizes; `others` is the number of background rows, `deepest` one more than the longest path's features.
    matrix, background
        Encoded rows, flat.
    roots, feature, left, right, threshold, value
        The trees as `ensembles.TreeEnsemble` has them.
    weight
        (a-1)! b! / (a+b)! at a * deepest + b.
    waiting
        Scratch: node, entries of its path, and the entry that leads to it, for two nodes a level.
    path_feature, path_side
        Scratch: features on which row and background part, and which was followed (1: the row).
    contributions, margin
        Added to: rows * columns and rows values; the margin is the row's own.
    """
    for row in range(rows):
        mine = row * columns
        for tree in range(trees):
            node = roots[tree]
            while feature[node] >= 0:
                node = left[node] if matrix[mine + feature[node]] <= threshold[node] else right[node]
            margin[row] += value[node]
        for other in range(others):
            theirs = other * columns
            for tree in range(trees):
                waiting[0] = roots[tree]
                waiting[1] = 0
                height = 1
                while height > 0:
                    height -= 1
                    node = waiting[4 * height]
                    entries = waiting[4 * height + 1]
                    if entries > 0:
                        path_feature[entries - 1] = waiting[4 * height + 2]
                        path_side[entries - 1] = waiting[4 * height + 3]
                    tested = feature[node]
                    while tested >= 0:
                        here = left[node] if matrix[mine + tested] <= threshold[node] else right[node]
                        there = left[node] if background[theirs + tested] <= threshold[node] else right[node]
                        if here != there:
                            side = -1
                            for entry in range(entries):
                                if path_feature[entry] == tested:
                                    side = path_side[entry]
                            if side == 0:
                                here = there
                            if side < 0:
                                waiting[4 * height] = there
                                waiting[4 * height + 1] = entries + 1
                                waiting[4 * height + 2] = tested
                                waiting[4 * height + 3] = 0
                                height += 1
                                path_feature[entries] = tested
                                path_side[entries] = 1
                                entries += 1
                        node = here
                        tested = feature[node]
                    followed = 0
                    for entry in range(entries):
                        followed += path_side[entry]
                    for entry in range(entries):
                        if path_side[entry] == 1:
                            add = value[node] * weight[followed * deepest + entries - followed]
                        else:
                            add = -value[node] * weight[(entries - followed) * deepest + followed]
                        contributions[mine + path_feature[entry]] += add / others

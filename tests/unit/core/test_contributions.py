"""Contributions against the definition of the Shapley value, computed by enumeration, and against shap."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.components.core.contributions import Explainer, contributions
from tallystick.components.core.encoding import encode
from tallystick.components.core.ensembles import LinearModel, TreeEnsemble
from tallystick.components.core.errors import InputError
from tests.support.packages import Kind, arithmetic_of, fitted, lending, write_lending_package


def expectation(model: TreeEnsemble, node: int, row: np.ndarray, known: set[int]) -> float:
    """Expected leaf value where only the `known` features are looked at (Lundberg 2020, algorithm 1)."""
    if model.feature[node] < 0:
        return float(model.value[node])
    left, right = int(model.left[node]), int(model.right[node])
    if int(model.feature[node]) in known:
        return expectation(model, left if row[model.feature[node]] <= model.threshold[node] else right, row, known)
    total = model.cover[node]
    return (
        model.cover[left] * expectation(model, left, row, known)
        + model.cover[right] * expectation(model, right, row, known)
    ) / total


def shapley(model: TreeEnsemble, row: np.ndarray) -> np.ndarray:
    """The definition, over all subsets: exponential, and independent of the kernel."""
    count = len(row)
    values = {
        subset: model.base + sum(expectation(model, int(root), row, set(subset)) for root in model.roots)
        for size in range(count + 1)
        for subset in itertools.combinations(range(count), size)
    }
    result = np.zeros(count)
    for feature in range(count):
        others = [other for other in range(count) if other != feature]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for subset in itertools.combinations(others, size):
                joined = tuple(sorted((*subset, feature)))
                result[feature] += weight * (values[joined] - values[subset])
    return result


def random_ensemble(seed: int, *, trees: int, depth: int, columns: int) -> TreeEnsemble:
    """Trees of any shape, in which features repeat on a path."""
    random = np.random.default_rng(seed)
    nodes: list[list[float]] = []

    def grow(level: int, cover: float) -> int:
        here = len(nodes)
        nodes.append([-1, 0.0, -1, -1, float(random.normal()), cover])
        if level < depth and (level == 0 or random.random() < 0.75):
            share = random.uniform(0.05, 0.95)
            left = grow(level + 1, cover * share)
            right = grow(level + 1, cover * (1 - share))
            nodes[here] = [random.integers(columns), round(random.normal(), 1), left, right, 0.0, cover]
        return here

    roots = [grow(0, 1000.0) for _ in range(trees)]
    feature, threshold, left, right, value, cover = (np.array(column) for column in zip(*nodes, strict=True))
    return TreeEnsemble(
        roots=np.array(roots, dtype=np.int64),
        feature=feature.astype(np.int64),
        threshold=threshold,
        left=left.astype(np.int64),
        right=right.astype(np.int64),
        value=value,
        cover=cover,
        base=0.3,
        link="logit",
    )


class PathDependent:
    """As much of an interface as an explainer looks at."""

    shap = "path_dependent"


class Interventional:
    shap = "interventional"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 6))
def test_contributions_are_the_shapley_values_by_their_definition(seed: int, trees: int, depth: int) -> None:
    model = random_ensemble(seed, trees=trees, depth=depth, columns=4)
    matrix = np.random.default_rng(seed + 1).normal(size=(3, 4)).round(1)
    base, found = contributions(model, matrix, PathDependent())  # type: ignore[arg-type]
    expected = np.array([shapley(model, row) for row in matrix])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(base + found.sum(axis=1), model.margin(matrix), atol=1e-12)


def test_a_split_without_training_rows_on_one_side_is_still_explained_exactly() -> None:
    model = random_ensemble(5, trees=1, depth=3, columns=3)
    cover = model.cover.copy()
    cover[int(model.left[0])] = 0.0
    cover[int(model.right[0])] = cover[0]
    emptied = TreeEnsemble(**{**vars(model), "cover": cover})
    row = np.array([[-9.0, -9.0, -9.0]])  # goes left everywhere: where no training row went
    base, found = contributions(emptied, row, PathDependent())  # type: ignore[arg-type]
    assert base + found.sum() == pytest.approx(float(emptied.margin(row)[0]), abs=1e-12)


def test_trees_that_are_single_leaves_contribute_nothing() -> None:
    model = random_ensemble(8, trees=2, depth=0, columns=2)
    stump = TreeEnsemble(
        roots=np.array([0, 1]),
        feature=np.array([-1, -1]),
        threshold=np.zeros(2),
        left=np.full(2, -1),
        right=np.full(2, -1),
        value=np.array([0.25, 0.5]),
        cover=np.array([10.0, 10.0]),
        base=model.base,
        link="identity",
    )
    explainer = Explainer(stump, PathDependent())  # type: ignore[arg-type]
    found, margin = explainer.explain(np.zeros((2, 2)))
    assert not found.any()
    np.testing.assert_allclose(margin, 0.3 + 0.75, atol=1e-15)


def against(model: TreeEnsemble, row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The definition with features of a background row in place of those not in the subset, averaged."""
    count = len(row)
    result = np.zeros(count)
    values = {}
    for size in range(count + 1):
        for subset in itertools.combinations(range(count), size):
            mixed = background.copy()
            mixed[:, list(subset)] = row[list(subset)]
            values[subset] = float(model.margin(mixed).mean())
    for feature in range(count):
        others = [other for other in range(count) if other != feature]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for subset in itertools.combinations(others, size):
                joined = tuple(sorted((*subset, feature)))
                result[feature] += weight * (values[joined] - values[subset])
    return result


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 7))
def test_interventional_contributions_are_the_shapley_values_by_their_definition(
    seed: int, trees: int, depth: int
) -> None:
    random = np.random.default_rng(seed + 1)
    background = random.normal(size=(5, 4)).round(1)
    model = random_ensemble(seed, trees=trees, depth=depth, columns=4)
    model = TreeEnsemble(**{**vars(model), "background": background})
    matrix = random.normal(size=(3, 4)).round(1)
    base, found = contributions(model, matrix, Interventional())  # type: ignore[arg-type]
    expected = np.array([against(model, row, background) for row in matrix])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(base + found.sum(axis=1), model.margin(matrix), atol=1e-12)


def test_interventional_contributions_need_background_rows() -> None:
    model = random_ensemble(1, trees=1, depth=2, columns=3)
    with pytest.raises(InputError, match="background rows"):
        contributions(model, np.zeros((1, 3)), Interventional())  # type: ignore[arg-type]


def test_background_rows_are_kept_in_the_package(tmp_path: Path) -> None:
    data = lending(rows=400)
    matrix = encode(data.features, data.columns)
    model = arithmetic_of(fitted("random_forest", matrix, data.adverse), matrix)
    assert isinstance(model, TreeEnsemble)
    given_rows = TreeEnsemble(**{**vars(model), "background": matrix[:30]})
    package = write_lending_package(
        tmp_path / "model", "random_forest", data=data, arithmetic=given_rows, interface={"shap": "interventional"}
    )
    assert isinstance(package.arithmetic, TreeEnsemble)
    np.testing.assert_array_equal(package.arithmetic.background, matrix[:30])
    base, found = contributions(package.arithmetic, matrix[:5], package.interface)
    np.testing.assert_allclose(base + found.sum(axis=1), model.margin(matrix[:5]), atol=1e-12)


@pytest.mark.parametrize("kind", ["hist_gradient_boosting", "random_forest"])
def test_contributions_equal_those_of_the_shap_package(kind: Kind) -> None:
    shap = pytest.importorskip("shap")
    data = lending(rows=600)
    matrix = encode(data.features, data.columns)
    model = fitted(kind, matrix, data.adverse)
    _, found = contributions(arithmetic_of(model, matrix), matrix[:80], PathDependent())  # type: ignore[arg-type]
    theirs = shap.TreeExplainer(model).shap_values(matrix[:80])
    theirs = theirs[..., 1] if theirs.ndim == 3 else theirs
    np.testing.assert_allclose(found, theirs, atol=1e-9)


def test_linear_contributions_are_relative_to_the_training_means() -> None:
    model = LinearModel(coefficients=np.array([2.0, -1.0]), means=np.array([0.5, 3.0]), base=0.25)
    base, found = contributions(model, np.array([[1.5, 3.0], [0.5, 0.0]]), PathDependent())  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, [[2.0, 0.0], [0.0, 3.0]])
    assert base == 0.25 + 2.0 * 0.5 - 3.0


def test_rows_do_not_influence_each_other() -> None:
    model = random_ensemble(3, trees=4, depth=5, columns=5)
    matrix = np.random.default_rng(0).normal(size=(20, 5))
    together = contributions(model, matrix, PathDependent())[1]  # type: ignore[arg-type]
    alone = np.vstack([contributions(model, row[None], PathDependent())[1] for row in matrix])  # type: ignore[arg-type]
    np.testing.assert_array_equal(together, alone)


def test_columns_in_another_memory_order_give_the_same_values() -> None:
    model = random_ensemble(3, trees=4, depth=5, columns=5)
    matrix = np.random.default_rng(0).normal(size=(20, 5))
    explainer = Explainer(model, PathDependent())  # type: ignore[arg-type]
    np.testing.assert_array_equal(explainer.explain(np.asfortranarray(matrix))[0], explainer.explain(matrix)[0])


def test_the_stored_examples_of_every_kind_add_up_to_their_scores(tmp_path: Path) -> None:
    for kind in ("logistic_regression", "random_forest", "hist_gradient_boosting"):
        package = write_lending_package(tmp_path / kind, kind)  # type: ignore[arg-type]
        features = package.interface.features
        matrix = encode(features, {f.name: [row[f.name] for row in package.examples.rows] for f in features})
        base, found = contributions(package.arithmetic, matrix, package.interface)
        np.testing.assert_allclose(base + found.sum(axis=1), package.arithmetic.margin(matrix), atol=1e-12)

"""Every kind of model keeps the contract's directions, by construction."""

import numpy as np
import pytest

from tallystick.components.training.recipes import Recipe, fit

ROWS = 600


def data():
    """Column 0 raises the outcome, column 1 lowers it, column 2 has nothing to do with it."""
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=(ROWS, 3)).astype(np.float32).astype(np.float64)
    margin = 1.2 * matrix[:, 0] - 1.0 * matrix[:, 1]
    return matrix, (generator.random(ROWS) < 1 / (1 + np.exp(-margin))).astype(np.int64)


def logistic(signs):
    matrix, adverse = data()
    recipe = Recipe(name="logistic", kind="logistic_regression", parameters={"C": 1.0})
    return fit(recipe, matrix, adverse, signs=signs, member=None, seed=1).extract().coefficients


def test_a_logistic_regression_leaves_out_the_column_that_goes_against_its_direction():
    free, held = logistic((0, 0, 0)), logistic((1, 1, 0))
    assert free[0] > 0.5
    assert free[1] < -0.5
    assert held[0] > 0.5
    assert held[1] == 0.0


def test_a_logistic_regression_that_keeps_its_directions_is_fitted_as_it_is():
    assert logistic((1, -1, 0)).tolist() == logistic((0, 0, 0)).tolist()


@pytest.mark.parametrize("kind", ["random_forest", "hist_gradient_boosting"])
def test_trees_keep_a_direction_against_the_data(kind):
    matrix, adverse = data()
    fitted = fit(Recipe(name="trees", kind=kind), matrix, adverse, signs=(0, 1, 0), member=None, seed=1)
    rows = np.tile(matrix[:50], (21, 1))
    rows[:, 1] = np.repeat(np.linspace(-3, 3, 21), 50)
    scores = fitted.predict(rows).reshape(21, 50)
    assert np.all(np.diff(scores, axis=0) >= -1e-12)

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.ensembles import LinearModel, TreeEnsemble, score
from tallystick.components.core.errors import InputError, StepError
from tallystick.components.core.onnx_graph import onnx_bytes
from tallystick.components.training.packaging import check_parity, platt_scaling
from tallystick.components.training.recipes import Recipe, Reweighing, check_parameters, fit
from tallystick.components.training.samples import split


@pytest.fixture(scope="module")
def samples(fair):
    return split(pd.read_parquet(fair.dataset), fair.contract, fair.policy)


def fitted(samples, recipe, member=None):
    signs = tuple(sign for feature in samples.features for sign in feature.monotonic_signs)
    rows = samples.development
    return fit(recipe, rows.matrix, rows.adverse, signs=signs, member=member, seed=3)


RECIPES = [
    Recipe(name="logistic", kind="logistic_regression", parameters={"C": 0.5}),
    Recipe(name="balanced", kind="logistic_regression", parameters={"class_weight": "balanced"}),
    Recipe(name="forest", kind="random_forest", parameters={"n_estimators": 30, "min_samples_leaf": 3}),
    Recipe(name="entropy", kind="random_forest", parameters={"n_estimators": 5, "criterion": "entropy"}),
    Recipe(name="weighted", kind="random_forest", parameters={"n_estimators": 5, "class_weight": "balanced"}),
    Recipe(name="boosting", kind="hist_gradient_boosting", parameters={"max_iter": 30, "max_leaf_nodes": 7}),
    Recipe(name="early", kind="hist_gradient_boosting", parameters={"max_iter": 50, "early_stopping": True}),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_arrays_score_as_scikit_learn_does(samples, recipe, tmp_path):
    model = fitted(samples, recipe)
    expected = model.predict(samples.holdout.matrix)
    arithmetic = model.extract()
    np.testing.assert_allclose(score(arithmetic, samples.holdout.matrix), expected, rtol=0, atol=1e-12)
    (tmp_path / "model.onnx").write_bytes(onnx_bytes(arithmetic, samples.holdout.matrix.shape[1]))
    served = check_parity(tmp_path / "model.onnx", samples.holdout.matrix, expected)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-9)


def test_parity_breaks_the_step_when_one_row_differs(samples, tmp_path):
    model = fitted(samples, RECIPES[0])
    (tmp_path / "model.onnx").write_bytes(onnx_bytes(model.extract(), samples.holdout.matrix.shape[1]))
    expected = model.predict(samples.holdout.matrix)
    expected[17] += 2e-9
    with pytest.raises(StepError, match="hold-out row 17"):
        check_parity(tmp_path / "model.onnx", samples.holdout.matrix, expected)


@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[2], RECIPES[5]], ids=lambda recipe: recipe.kind)
def test_the_contracts_directions_hold_everywhere(samples, recipe):
    model = fitted(samples, recipe)
    place = [name for feature in samples.features for name in feature.encoded_names].index("late_payments")
    matrix = np.repeat(samples.holdout.matrix[:40], 8, axis=0)
    matrix[:, place] = np.tile(np.arange(8.0), 40)
    risen = np.diff(model.predict(matrix).reshape(40, 8), axis=1)
    assert (risen >= -1e-12).all()


def test_cover_counts_the_training_rows(samples):
    arithmetic = fitted(samples, RECIPES[5]).extract()
    assert isinstance(arithmetic, TreeEnsemble)
    assert (arithmetic.cover[arithmetic.roots] == len(samples.development.row)).all()
    inner = arithmetic.feature >= 0
    np.testing.assert_array_equal(
        arithmetic.cover[inner], arithmetic.cover[arithmetic.left[inner]] + arithmetic.cover[arithmetic.right[inner]]
    )


def test_an_unknown_parameter_names_the_field_and_what_there_is():
    recipe = Recipe(name="forest", kind="random_forest", parameters={"n_estimator": 10})
    with pytest.raises(InputError) as problem:
        check_parameters(recipe, "policy.yaml: training.candidates[forest]")
    assert problem.value.where == "policy.yaml: training.candidates[forest].parameters.n_estimator"
    assert "n_estimators" in problem.value.allowed


@pytest.mark.parametrize("name", ["random_state", "n_jobs", "monotonic_cst"])
def test_what_the_platform_sets_is_not_the_policys(name):
    with pytest.raises(InputError, match="set by the platform"):
        check_parameters(Recipe(name="x", kind="hist_gradient_boosting" if name[0] == "m" else "random_forest",
                                parameters={name: 1}), "policy.yaml")  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("logistic_regression", {"C": -1.0}),
        ("logistic_regression", {"C": "much"}),
        ("logistic_regression", {"max_iter": 1}),
        ("random_forest", {"n_estimators": 0}),
        ("hist_gradient_boosting", {"learning_rate": 0.0}),
    ],
)
def test_a_value_that_scikit_learn_refuses_is_the_users_to_mend(samples, kind, parameters):
    with pytest.raises(InputError, match=f"parameters of mine \\({kind}\\)"):
        fitted(samples, Recipe(name="mine", kind=kind, parameters=parameters))


def test_a_reduction_pulls_the_groups_approval_up(biased):
    samples = split(pd.read_parquet(biased.dataset), biased.contract, biased.policy)
    member = (samples.development.groups["gender"] == "woman").astype(np.int64)
    approved = []
    for multiplier in (0.0, 0.5, 1.0):
        reweighing = Reweighing(attribute="gender", group="woman", multiplier=multiplier)
        recipe = Recipe(name="fairer", kind="logistic_regression", reweighing=reweighing)
        scores = fitted(samples, recipe, member).predict(samples.development.matrix)
        approved.append(np.mean(scores[member == 1] < np.quantile(scores, 0.8)))
    assert approved[0] < approved[1] < approved[2]


def test_a_multiplier_of_nought_is_the_plain_model(samples):
    member = (samples.development.groups["gender"] == "woman").astype(np.int64)
    plain = Recipe(name="plain", kind="logistic_regression")
    same = Recipe(
        name="same", kind="logistic_regression",
        reweighing=Reweighing(attribute="gender", group="woman", multiplier=0.0),
    )  # fmt: skip
    np.testing.assert_allclose(
        fitted(samples, plain).predict(samples.holdout.matrix),
        fitted(samples, same, member).predict(samples.holdout.matrix),
        atol=1e-8,
    )


@pytest.mark.parametrize("kind", ["logistic_regression", "hist_gradient_boosting"])
def test_recalibration_is_folded_into_the_model_exactly(samples, kind):
    model = fitted(samples, Recipe(name="m", kind=kind))
    scores = model.predict(samples.development.matrix)
    scaling = platt_scaling(np.clip(scores**2, 1e-6, 1), samples.development.adverse)
    folded = scaling.folded_into(model.extract())
    np.testing.assert_allclose(
        score(folded, samples.holdout.matrix), scaling.apply(model.predict(samples.holdout.matrix)), atol=1e-9
    )


def test_recalibrated_scores_have_the_samples_mean():
    generator = np.random.default_rng(4)
    adverse = (generator.random(2000) < 0.3).astype(np.int64)
    scores = np.clip(0.8 * generator.random(2000) + 0.2 * adverse, 1e-3, 1 - 1e-3)
    assert platt_scaling(scores, adverse).apply(scores).mean() == pytest.approx(adverse.mean(), abs=1e-6)


def test_a_score_that_ranks_backwards_is_not_turned_round():
    generator = np.random.default_rng(4)
    adverse = (generator.random(500) < 0.3).astype(np.int64)
    with pytest.raises(StepError, match="backwards"):
        platt_scaling(np.clip(0.6 - 0.3 * adverse + 0.1 * generator.random(500), 0.01, 0.99), adverse)


def test_a_forest_cannot_be_recalibrated(samples):
    scaling = platt_scaling(
        np.linspace(0.1, 0.9, 200), (np.arange(200) >= 120).astype(np.int64) ^ (np.arange(200) % 7 == 0)
    )
    with pytest.raises(StepError, match="forest"):
        scaling.folded_into(fitted(samples, RECIPES[2]).extract())


def test_linear_means_are_the_training_means(samples):
    arithmetic = fitted(samples, RECIPES[0]).extract()
    assert isinstance(arithmetic, LinearModel)
    np.testing.assert_allclose(arithmetic.means, samples.development.matrix.mean(axis=0))

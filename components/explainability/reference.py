"""Shapley values by the shap package: the independent reference that our own are compared with.

shap is given the model's arrays, so nothing is unpickled and scikit-learn is not asked. Its own additivity
check stays on. Nothing else imports shap: it takes seconds.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tallystick.components.core.ensembles import Arithmetic, Floats, LinearModel, TreeEnsemble
from tallystick.components.core.errors import StepError


def shap_contributions(model: Arithmetic, matrix: Floats) -> tuple[float, Floats]:
    """Base value and contributions in margin space, shape (rows, encoded columns), as shap computes them.

    Raises
    ------
    StepError
        shap's own additivity check failed.

    References
    ----------
    Lundberg et al. (2020), doi:10.1038/s42256-019-0138-9; shap 0.51.0, explainers/_tree.py, `SingleTree`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap and numba warn of their own deprecations
        import shap

        try:
            if isinstance(model, LinearModel):
                explainer = shap.LinearExplainer(
                    (model.coefficients, model.base), shap.maskers.Independent(model.means[None, :])
                )
            else:
                explainer = shap.TreeExplainer(_as_dictionary(model), feature_perturbation="tree_path_dependent")
            values = np.asarray(explainer.shap_values(matrix), dtype=np.float64)
        except shap.utils._exceptions.ExplainerError as error:
            raise StepError(f"shap refuses its own values: {error}") from error
    return float(np.ravel(explainer.expected_value)[0]), values.reshape(matrix.shape)


def _as_dictionary(model: TreeEnsemble) -> dict[str, Any]:
    """The ensemble as shap reads it: one dictionary of arrays a tree, children counted from the tree's root."""
    ends = [*model.roots[1:], len(model.feature)]
    trees = []
    for start, end in zip(model.roots, ends, strict=True):
        left = np.where(model.left[start:end] >= 0, model.left[start:end] - start, -1)
        trees.append(
            {
                "children_left": left,
                "children_right": np.where(model.right[start:end] >= 0, model.right[start:end] - start, -1),
                "children_default": left,
                "features": model.feature[start:end],
                "thresholds": model.threshold[start:end],
                "values": model.value[start:end, None],
                "node_sample_weight": model.cover[start:end],
            }
        )
    return {
        "trees": trees,
        "base_offset": model.base,
        "tree_output": "log_odds" if model.link == "logit" else "probability",
        "objective": "binary_crossentropy",
        "input_dtype": np.float64,
        "internal_dtype": np.float64,
    }

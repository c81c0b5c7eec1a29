"""The peer: what the tutorials put into Seldon's Python wrapper (scikit-learn and `shap.TreeExplainer`).

Runs in the peer's own environment, without tallystick. `python seldon_peer.py dump KIND DATA OUT` writes the
fitted model's arrays and shap's values, so that both servers serve the same model. The class is loaded by
`seldon-core-microservice seldon_peer`.
"""

import json
import os
import sys

import numpy as np
import shap
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier


def fitted(kind, matrix, adverse):
    if kind == "random_forest":
        return RandomForestClassifier(n_estimators=200, max_depth=8, random_state=3).fit(matrix, adverse)
    return HistGradientBoostingClassifier(max_iter=200, random_state=3).fit(matrix, adverse)


class seldon_peer:
    def __init__(self):
        data = np.load(os.environ["PEER_DATA"])
        self.model = fitted(os.environ["PEER_KIND"], data["matrix"], data["adverse"])
        self.explainer = shap.TreeExplainer(self.model)
        self.threshold = float(os.environ["PEER_THRESHOLD"])
        self.always = os.environ["PEER_REASONS"] == "always"
        self.groups = data["groups"]
        self.texts = [f"reason number {group} in words" for group in range(int(self.groups.max()) + 1)]

    def predict(self, X, names=None, meta=None):
        X = np.asarray(X, dtype=np.float64)
        (score,) = self.model.predict_proba(X)[:, 1]
        adverse = score >= self.threshold
        reasons = []
        if adverse or self.always:
            values = shap_values(self.explainer, X)[0]
            sums = np.bincount(self.groups, weights=values)
            strongest = [int(group) for group in np.argsort(-sums)[:4] if sums[group] > 0]
            reasons = [{"code": f"R{g:02d}", "text": self.texts[g], "contribution": float(sums[g])} for g in strongest]
        return [[float(score), "adverse" if adverse else "favourable", json.dumps(reasons)]]


def shap_values(explainer, matrix):
    values = explainer.shap_values(matrix)
    if isinstance(values, list):
        return values[1]
    return values[..., 1] if values.ndim == 3 else values


def dump(kind, data_path, out_path):
    data = np.load(data_path)
    model = fitted(kind, data["matrix"], data["adverse"])
    arrays = {"shap": shap_values(shap.TreeExplainer(model), data["matrix"][:200])}
    if kind == "random_forest":
        trees = [estimator.tree_ for estimator in model.estimators_]
        arrays["base"] = np.array(0.0)
        for number, t in enumerate(trees):
            share = t.value[:, 0, 1] / t.value[:, 0].sum(axis=1) / len(trees)
            parts = (t.feature, t.threshold, t.children_left, t.children_right, share, t.weighted_n_node_samples)
            arrays |= {f"tree{number}_{place}": part for place, part in enumerate(parts)}
    else:
        arrays["base"] = np.array(float(model._baseline_prediction.ravel()[0]))
        for number, (predictor,) in enumerate(model._predictors):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            feature, left, right = (
                np.where(leaf, -1, nodes[name].astype(int)) for name in ("feature_idx", "left", "right")
            )
            parts = (feature, nodes["num_threshold"], left, right, nodes["value"], nodes["count"])
            arrays |= {f"tree{number}_{place}": part for place, part in enumerate(parts)}
    arrays["scores"] = model.predict_proba(data["matrix"])[:, 1]
    np.savez(out_path, **arrays)


if __name__ == "__main__":
    dump(*sys.argv[2:])

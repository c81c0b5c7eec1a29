"""Writes a model's arithmetic as an ONNX graph in double precision.

The graph is written from the arrays, not by a converter: skl2onnx writes float32 thresholds, and a row one
unit above a split then lands on the other side. `TreeEnsemble` (ai.onnx.ml 5) works in float64, so ONNX
Runtime and scikit-learn agree to the last bits and the bytes are the same for the same model.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tallystick.components.core.ensembles import Arithmetic, LinearModel, TreeEnsemble

INPUT, OUTPUT = "features", "probability"
_OPSETS = [helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 5)]
_IR_VERSION = 10  # of onnx 1.16, the oldest that knows TreeEnsemble


def onnx_bytes(model: Arithmetic, columns: int) -> bytes:
    """Serialised graph: float64 `features` (rows, columns) to float64 `probability` (rows, 1)."""
    nodes, initializers = _linear(model) if isinstance(model, LinearModel) else _trees(model)
    nodes.append(helper.make_node("Sigmoid" if model.link == "logit" else "Identity", ["margin"], [OUTPUT]))
    graph = helper.make_graph(
        nodes,
        "tallystick",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, columns])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None, 1])],
        initializers,
    )
    document = helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION, producer_name="tallystick")
    onnx.checker.check_model(document, full_check=True)
    return bytes(document.SerializeToString(deterministic=True))


def _linear(model: LinearModel) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    weights = numpy_helper.from_array(model.coefficients.reshape(-1, 1), "coefficients")
    base = numpy_helper.from_array(np.array([model.base]), "base")
    nodes = [
        helper.make_node("MatMul", [INPUT, "coefficients"], ["product"]),
        helper.make_node("Add", ["product", "base"], ["margin"]),
    ]
    return nodes, [weights, base]


def _trees(model: TreeEnsemble) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Inner nodes and leaves are numbered apart in ONNX; a tree that is a single leaf joins the base."""
    inner = model.feature >= 0
    inner_number = np.cumsum(inner) - 1
    leaf_number = np.cumsum(~inner) - 1
    lone = [root for root in model.roots if not inner[root]]
    rooted = [root for root in model.roots if inner[root]]
    base_value = model.base + float(sum(model.value[root] for root in lone))
    base = numpy_helper.from_array(np.array([base_value]), "base")
    if not rooted:
        raise ValueError(f"every tree is a single leaf: the model is the constant {base_value:g}")

    def number(children: np.ndarray) -> list[int]:
        return [int(leaf_number[c] if not inner[c] else inner_number[c]) for c in children[inner]]

    def is_leaf(children: np.ndarray) -> list[int]:
        return [int(not inner[c]) for c in children[inner]]

    trees = helper.make_node(
        "TreeEnsemble",
        [INPUT],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,  # SUM
        post_transform=0,  # NONE
        nodes_featureids=[int(f) for f in model.feature[inner]],
        nodes_splits=numpy_helper.from_array(model.threshold[inner], "splits"),
        nodes_modes=numpy_helper.from_array(np.zeros(int(inner.sum()), dtype=np.uint8), "modes"),  # BRANCH_LEQ
        nodes_truenodeids=number(model.left),
        nodes_trueleafs=is_leaf(model.left),
        nodes_falsenodeids=number(model.right),
        nodes_falseleafs=is_leaf(model.right),
        leaf_targetids=[0] * int((~inner).sum()),
        leaf_weights=numpy_helper.from_array(model.value[~inner], "leaves"),
        tree_roots=[int(inner_number[root]) for root in rooted],
    )
    return [trees, helper.make_node("Add", ["sum", "base"], ["margin"])], [base]

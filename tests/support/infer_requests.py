"""Requests of the Open Inference Protocol as a caller builds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.components.core.encoding import Feature

_DATATYPES = {"category": "BYTES", "boolean": "BOOL", "integer": "INT64", "number": "FP64"}


def infer_request(features: Sequence[Feature], rows: Sequence[Mapping[str, Any]], **others: Any) -> dict[str, Any]:
    """A request for these rows; `others` are members of the request beside `inputs`."""
    inputs = [
        {
            "name": feature.name,
            "shape": [len(rows)],
            "datatype": _DATATYPES[feature.type],
            "data": [row[feature.name] for row in rows],
        }
        for feature in features
    ]
    return {"inputs": inputs, **others}


def outputs(answer: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The answer's outputs by name."""
    return {output["name"]: output["data"] for output in answer["outputs"]}

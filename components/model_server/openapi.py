"""The published description of one model's endpoints: what `/openapi.json` answers and what is fuzzed against.

It is made from the model's interface, so that names, types and ranges in it are those that are checked.
"""

from __future__ import annotations

from typing import Any

from tallystick.components.core.encoding import Feature
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server.inputs import FeatureCheck
from tallystick.components.model_server.protocol import OUTPUTS

_REFUSED = {
    "400": "A field is wrong; the message names it.",
    "404": "No such model or version.",
    "408": "The body did not arrive in time.",
    "413": "Too many bytes or rows, or explaining them takes too long.",
    "500": "The reasons do not add up to the score, or the server broke: no answer is given.",
    "503": "Too many connections at once.",
}


def describe(package: ModelPackage, name: str, *, maximum_rows: int) -> dict[str, Any]:
    """OpenAPI 3.1 for one model."""
    infer = {
        "summary": "Probability, decision and principal reasons for each row",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _request(package, maximum_rows)}}},
        "responses": {"200": _answer("The outputs.", _response()), **_refusals(*_REFUSED)},
    }
    paths: dict[str, Any] = {
        "/v2": {"get": _get("The server's name and version")},
        "/v2/health/live": {"get": _get("Whether the process runs")},
        "/v2/health/ready": {"get": _get("Whether a stored example gets its stored score", "503")},
        "/metrics": {"get": {"summary": "Counters", "responses": {"200": {"description": "Prometheus text."}}}},
    }
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{package.version}"):
        paths[path] = {"get": _get("The model's inputs and outputs", "404")}
        paths[f"{path}/example"] = {"get": _get("A request for `infer` that can be sent as it is", "404")}
        paths[f"{path}/ready"] = {"get": _get("Whether the model is ready", "404", "503")}
        paths[f"{path}/infer"] = {"post": infer}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Model server: {name}",
            "version": package.version,
            "description": f"Open Inference Protocol v2 (REST). The score is the probability that "
            f"{package.interface.outcome}; at or above {package.interface.threshold:.6g} the decision is adverse.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _error()}},
    }


def _request(package: ModelPackage, maximum_rows: int) -> dict[str, Any]:
    tensors = [_tensor(feature, maximum_rows) for feature in package.interface.features]
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "maxLength": 128},
            "parameters": {
                "type": "object",
                "properties": {"reasons": {"enum": ["adverse", "always", "never"], "default": "adverse"}},
            },
            "inputs": {
                "type": "array",
                "description": "One tensor for each input of the model, all of the same number of rows.",
                "minItems": len(tensors),
                "maxItems": len(tensors),
                "items": {"oneOf": tensors},
            },
            "outputs": {
                "type": "array",
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"enum": list(OUTPUTS)}}},
            },
        },
    }


def _tensor(feature: Feature, maximum_rows: int) -> dict[str, Any]:
    return {
        "type": "object",
        "title": feature.name,
        "description": " ".join(part for part in (feature.meaning, feature.unit) if part),
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": feature.name},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": sorted(FeatureCheck(feature).datatypes)},
            "data": {"type": "array", "minItems": 1, "maxItems": maximum_rows, "items": _value(feature)},
        },
    }


def _value(feature: Feature) -> dict[str, Any]:
    """JSON Schema of one value."""
    schema: dict[str, Any]
    if feature.type == "category":
        schema = {"enum": list(feature.categories)}
    elif feature.type == "boolean":
        schema = {"enum": [True, False, 0, 1]}
    else:
        schema = {"type": "integer" if feature.type == "integer" else "number"}
        bounds = {"minimum": feature.minimum, "maximum": feature.maximum}
        schema |= {key: value for key, value in bounds.items() if value is not None}
    others = [*([{"type": "null"}] if feature.nullable else []), *({"const": code} for code in feature.missing_codes)]
    return {"anyOf": [schema, *others]} if others else schema


def _response() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"enum": list(OUTPUTS)},
            "datatype": {"enum": ["FP64", "BYTES"]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array"},
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": {"digest": {"type": "string"}}},
            "outputs": {"type": "array", "items": tensor},
        },
    }


def _get(summary: str, *refused: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _answer("So it is.", {"type": "object"}), **_refusals(*refused)}}


def _answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _refusals(*statuses: str) -> dict[str, Any]:
    return {status: _answer(_REFUSED[status], {"$ref": "#/components/schemas/Error"}) for status in statuses}


def _error() -> dict[str, Any]:
    return {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}

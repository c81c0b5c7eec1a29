"""The Open Inference Protocol v2, REST form: a body's bytes to columns, and columns to an answer.

References
----------
https://github.com/open-inference/open-inference-protocol, specification/protocol/inference_rest.md. The
binary tensor extension is not spoken: it is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server.inputs import FeatureCheck, Values
from tallystick.components.model_server.refusals import RefusedRequestError

Reasons = Literal["adverse", "always", "never"]
OUTPUTS = ("probability", "decision", "reasons")
_DATATYPES = {"category": "BYTES", "boolean": "BOOL", "integer": "INT64", "number": "FP64"}
_SHOWN_NAME = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """A request whose every value was checked: columns in the order of the model's features."""

    id: str
    rows: int
    columns: list[Values]
    outputs: tuple[str, ...]
    reasons: Reasons


def invalid(
    message: str, *, kind: Literal["invalid_json", "invalid_request"] = "invalid_request"
) -> RefusedRequestError:
    """A 400 about the request's form."""
    return RefusedRequestError(400, kind, message)


class RequestReader:
    """Reads infer requests for one model."""

    def __init__(self, package: ModelPackage, *, maximum_rows: int) -> None:
        self._checks = [FeatureCheck(feature) for feature in package.interface.features]
        self._names = {check.name for check in self._checks}
        self._maximum_rows = maximum_rows

    def read(self, body: bytes) -> InferRequest:
        """Read and check one body.

        Raises
        ------
        RefusedRequestError
            400 with the field's name, or 413 for too many rows.
        """
        document = _object(body)
        inputs = document.get("inputs")
        if not isinstance(inputs, list) or not inputs:
            raise invalid("inputs: is missing or empty; allowed: a list with one tensor an input of the model")
        tensors = self._by_name(inputs)
        rows = _rows(inputs[0])
        if rows > self._maximum_rows:
            raise RefusedRequestError(413, "too_large", f"inputs: {rows} rows; allowed: {self._maximum_rows} a request")
        columns = [check(_data(tensors[check.name], check, rows)) for check in self._checks]
        return InferRequest(
            id=_text(document, "id"),
            rows=rows,
            columns=columns,
            outputs=_outputs(document.get("outputs")),
            reasons=_reasons(document.get("parameters")),
        )

    def _by_name(self, inputs: list[Any]) -> dict[str, Mapping[str, Any]]:
        tensors: dict[str, Mapping[str, Any]] = {}
        for position, tensor in enumerate(inputs):
            if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
                raise invalid(f"inputs[{position}]: is not a tensor with a name")
            name = tensor["name"]
            if name not in self._names:
                raise invalid(f"input {name[:_SHOWN_NAME]!r}: is not an input of this model")
            if name in tensors:
                raise invalid(f"input {name!r}: is given twice")
            tensors[name] = tensor
        for check in self._checks:
            if check.name not in tensors:
                raise RefusedRequestError(400, "invalid_input", f"input {check.name!r}: is missing", feature=check.name)
        return tensors


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _not_strict_json(body, error)
    if not isinstance(document, dict):
        raise invalid("the body is not a JSON object", kind="invalid_json")
    return document


def _not_strict_json(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """NaN, Infinity and 1e999 are not JSON, yet what careless clients send: read them to name the field."""
    try:
        document = json.loads(body)
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair could not be answered
        return document
    except (ValueError, RecursionError):
        raise invalid(
            f"the body is not JSON (line {error.lineno}, column {error.colno})", kind="invalid_json"
        ) from None


def _rows(tensor: Mapping[str, Any]) -> int:
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) not in (1, 2)
        or not all(type(length) is int and length >= 1 for length in shape)
        or (len(shape) == 2 and shape[1] != 1)
    ):
        raise invalid(f"input {tensor['name']!r}: shape is not [rows]; allowed: [n] or [n, 1] with n of at least 1")
    return int(shape[0])


def _data(tensor: Mapping[str, Any], check: FeatureCheck, rows: int) -> Sequence[Any]:
    """One tensor's values, with its shape and type checked."""
    name = check.name
    if _rows(tensor) != rows:
        raise RefusedRequestError(
            400, "invalid_input", f"input {name!r}: its shape differs from the first input's", feature=name
        )
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in check.datatypes:
        allowed = ", ".join(sorted(check.datatypes))
        raise RefusedRequestError(400, "invalid_input", f"input {name!r}: datatype; allowed: {allowed}", feature=name)
    data = tensor.get("data")
    if not isinstance(data, list):
        raise RefusedRequestError(400, "invalid_input", f"input {name!r}: data is not a list", feature=name)
    if len(tensor["shape"]) == 2 and len(data) == rows and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != rows:
        raise RefusedRequestError(
            400, "invalid_input", f"input {name!r}: {len(data)} values for a shape of {rows} rows", feature=name
        )
    return data


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str) or len(value) > 128:
        raise invalid(f"{key}: is not a text of up to 128 characters")
    return value


def _outputs(value: Any) -> tuple[str, ...]:
    if value is None or value == []:
        return OUTPUTS
    if not isinstance(value, list):
        raise invalid("outputs: is not a list")
    names = []
    for position, wanted in enumerate(value):
        name = wanted.get("name") if isinstance(wanted, dict) else None
        if name not in OUTPUTS:
            raise invalid(f"outputs[{position}].name: is not an output; allowed: {', '.join(OUTPUTS)}")
        names.append(str(name))
    return tuple(name for name in OUTPUTS if name in names)


def _reasons(parameters: Any) -> Reasons:
    if parameters is None:
        return "adverse"
    if not isinstance(parameters, dict):
        raise invalid("parameters: is not an object")
    if parameters.get("binary_data_output"):
        raise invalid("parameters.binary_data_output: this server answers JSON only")
    allowed: tuple[Reasons, ...] = ("adverse", "always", "never")
    for choice in allowed:
        if parameters.get("reasons", "adverse") == choice:
            return choice
    raise invalid(f"parameters.reasons: allowed: {', '.join(allowed)}")


def metadata(package: ModelPackage, name: str) -> dict[str, Any]:
    """The model metadata answer: inputs by the contract's names, outputs, and where the decision falls."""
    inputs = [
        {"name": feature.name, "datatype": _DATATYPES[feature.type], "shape": [-1]}
        for feature in package.interface.features
    ]
    kinds = {"probability": "FP64", "decision": "BYTES", "reasons": "BYTES"}
    return {
        "name": name,
        "versions": [package.version],
        "platform": "tallystick_onnx",
        "inputs": inputs,
        "outputs": [{"name": output, "datatype": kinds[output], "shape": [-1]} for output in OUTPUTS],
        "parameters": {
            "digest": f"sha256:{package.digest}",
            "threshold": package.interface.threshold,
            "outcome": package.interface.outcome,
            "shap": package.interface.shap,
        },
    }


def example_request(package: ModelPackage) -> dict[str, Any]:
    """A request for the package's last stored example, which is nobody's application, with its reasons."""
    row = package.examples.rows[-1]
    inputs = [
        {"name": feature.name, "shape": [1], "datatype": _DATATYPES[feature.type], "data": [row[feature.name]]}
        for feature in package.interface.features
    ]
    return {"id": "example", "parameters": {"reasons": "always"}, "inputs": inputs}

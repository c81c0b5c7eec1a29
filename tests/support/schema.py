"""The part of JSON Schema (2020-12) that our schemas use, so that tests need no further package.

A keyword that is not known here is an error: a schema cannot ask for more than is checked.
"""

from __future__ import annotations

import re
from typing import Any

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description", "format"}


def problems(value: Any, schema: Any, root: Any = None, where: str = "$") -> list[str]:
    """Every way in which `value` is not what `schema` describes; empty where it is."""
    root = schema if root is None else root
    found: list[str] = []
    if wrong := _check("type", schema["type"], value, schema, root, where) if "type" in schema else []:
        return [f"{where}: {text}" for text in wrong]
    for keyword, rule in schema.items():
        if keyword not in _ANNOTATIONS:
            told = _check(keyword, rule, value, schema, root, where)
            found += [text if text.startswith("$") else f"{where}: {text}" for text in told]
    return found


def _check(keyword: str, rule: Any, value: Any, schema: Any, root: Any, where: str) -> list[str]:
    match keyword:
        case "$ref":
            return problems(value, root["$defs"][rule.removeprefix("#/$defs/")], root, where)
        case "oneOf":
            tried = [problems(value, option, root, where) for option in rule]
            fitting = sum(not option for option in tried)
            return [] if fitting == 1 else [f"fits {fitting} of {len(rule)} forms: {tried}"]
        case "type":
            names = [rule] if isinstance(rule, str) else rule
            return [] if any(_is(value, name) for name in names) else [f"no {rule}: {value!r}"]
        case "const":
            return [] if value == rule else [f"is {value!r}, not {rule!r}"]
        case "enum":
            return [] if value in rule else [f"{value!r} is none of {rule}"]
        case "pattern":
            return [] if not isinstance(value, str) or re.search(rule, value) else [f"{value!r} is not like {rule}"]
        case "minimum":
            return [] if not _is(value, "number") or value >= rule else [f"{value} is below {rule}"]
        case "minLength" | "minItems":
            return [] if len(value) >= rule else [f"has {len(value)}, {rule} are needed"]
        case "maxItems":
            return [] if len(value) <= rule else [f"has {len(value)}, {rule} are allowed"]
        case "required":
            return [f"{name!r} is missing" for name in rule if isinstance(value, dict) and name not in value]
        case "items":
            return [p for i, item in enumerate(value) for p in problems(item, rule, root, f"{where}[{i}]")]
        case "properties":
            return [p for k, sub in rule.items() if k in value for p in problems(value[k], sub, root, f"{where}.{k}")]
        case "additionalProperties":
            others = [key for key in value if key not in schema.get("properties", {})]
            if rule is False:
                return [f"{key!r} is not in the schema" for key in others]
            return [p for key in others for p in problems(value[key], rule, root, f"{where}.{key}")]
    raise AssertionError(f"{where}: the keyword {keyword!r} is not known here")


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])

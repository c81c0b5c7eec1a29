"""Reads the two files a user writes (contract and policy) and says in plain words what is wrong in them.

Both are YAML checked by pydantic models that refuse unknown keys; this module turns YAML's and pydantic's
errors into one message each with the file, the field, what was found and what is allowed.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tallystick.components.core.errors import InputError

_SHOWN_ERRORS = 5
_LONGEST_SHOWN = 80
_SCALAR_NAMES = frozenset({"bool", "int", "float", "str", "constrained-str"})
_YAML_NAMES: dict[type, str] = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a truth value",
}


class Document(BaseModel):
    """Base of all parts of contract and policy: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


DocumentType = TypeVar("DocumentType", bound=Document)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with the readings of YAML 1.2, and without its last-one-wins for a repeated key.

    PyYAML reads by YAML 1.1, where ``no`` is false, ``12:30`` is 750, ``010`` is 8, ``2026-01-01`` is a date and
    ``1e-6`` is text. In a file of column values and thresholds each of these is a trap.

    References
    ----------
    YAML 1.2.2, section 10.3.2: the core schema.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - declared so by PyYAML

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"a key is no single value (line {line})")
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice (line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Leading zeros do not make an octal number."""
        return int(self.construct_scalar(node), 10)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]{1,400}", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, ""] if _tag == "null" else list(_first)
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def parse(text: str, kind: type[DocumentType], name: str) -> DocumentType:
    """Read one document.

    Parameters
    ----------
    text
        The YAML text.
    kind
        The pydantic model it must satisfy.
    name
        What to call it in messages: the file's path.

    Raises
    ------
    InputError
        Not YAML, not a mapping, an unknown or missing key, or a value that is not allowed.
    """
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise InputError(name, f"is not valid YAML: {_yaml_problem(error)}") from error
    except RecursionError as error:
        raise InputError(name, "is nested too deeply to be read", "the few levels that the README shows") from error
    if value is None:
        raise InputError(name, "is empty", f"a mapping with {', '.join(kind.model_fields)}")
    if not isinstance(value, dict):
        raise InputError(name, f"holds {_YAML_NAMES.get(type(value), 'a value')}", "a mapping of keys to values")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = [_explain(problem, kind, value) for problem in _merged(error.errors())]
        shown = problems[:_SHOWN_ERRORS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        raise InputError(name, "\n  ".join(shown) if len(shown) > 1 else shown[0]) from error


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong and in which line, without the parser's own words for where it stood."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or " ".join(str(error).split()))
    if "\\t" in problem:
        problem = "a tab stands where only spaces may"
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else problem


def _merged(problems: Sequence[Any]) -> list[Any]:
    """One problem where a value fitted none of several types: pydantic tells one for each type."""
    merged: dict[Any, Any] = {}
    for problem in problems:
        *outer, last = problem["loc"] or ("",)
        if last in _SCALAR_NAMES:
            msg = "A single value: a text, a number, true or false"
            merged.setdefault(tuple(outer), {**problem, "loc": tuple(outer), "type": "scalar", "msg": msg})
        else:
            merged[problem["loc"], problem["type"], problem["msg"]] = problem
    return list(merged.values())


def _explain(problem: Any, kind: type[BaseModel], value: Any) -> str:
    location = _readable(problem["loc"], value)
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        known = _known_keys(kind, problem["loc"][:-1])
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else "allowed: " + ", ".join(sorted(known))
        return f"{location}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{location}: is missing"
    if problem["type"] == "value_error":
        return f"{location}: {problem['ctx']['error']}" if location else str(problem["ctx"]["error"])
    found = repr(problem["input"])
    shown = found if len(found) < _LONGEST_SHOWN else f"{found[: _LONGEST_SHOWN - 3]}..."
    return f"{location}: found {shown}; allowed: {_allowed(problem)}"


def _allowed(problem: Any) -> str:
    """What may stand there, in plain words; pydantic's own where there are none of ours."""
    limits = problem.get("ctx") or {}
    words = {
        "literal_error": "{expected}",
        "greater_than": "more than {gt:g}",
        "greater_than_equal": "{ge:g} or more",
        "less_than": "less than {lt:g}",
        "less_than_equal": "{le:g} or less",
        "finite_number": "a finite number",
        "float_type": "a number",
        "float_parsing": "a number",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "string_type": "a text (put it in quotes)",
        "string_pattern_mismatch": "a text of the form {pattern}",
        "string_too_short": "a text of at least {min_length} characters",
        "string_too_long": "a text of at most {max_length} characters",
        "tuple_type": "a list",
        "dict_type": "a mapping of keys to values",
        "model_type": "a mapping of keys to values",
        "model_attributes_type": "a mapping of keys to values",
        "too_short": "at least {min_length} entries",
    }
    if problem["type"] in words:
        return words[problem["type"]].format(**limits)
    return str(problem["msg"][0].lower() + problem["msg"][1:])


def _readable(location: tuple[int | str, ...], value: Any) -> str:
    """`columns.3.minimum` as `columns[loanamt].minimum` where the entry of the list has a name."""
    words: list[str] = []
    here = value
    for part in location:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(part, int) and words:
            label = here.get("name", part) if isinstance(here, dict) else part
            words[-1] += f"[{label}]"
        else:
            words.append(str(part))
    return ".".join(words)


def _known_keys(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys the model allows where `location` points, for a suggestion; empty where it cannot be told."""
    current: Any = kind
    for part in location:
        if isinstance(part, int):
            continue
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = _model_inside(current.model_fields[part].annotation)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []


def _model_inside(annotation: Any) -> Any:
    if typing.get_origin(annotation) is None:
        return annotation
    for argument in typing.get_args(annotation):
        inside = _model_inside(argument)
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            return inside
    return None

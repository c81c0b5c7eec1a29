"""Reads Prometheus' text format as it comes from a model server or from Envoy. Garbage is an error, never a count.

A parser of our own: the client library's costs ten times as much and accepts what is no counter. Only samples are
read; comments, exemplars and timestamps are skipped.

References
----------
Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_LARGEST = 2.0**53


class NotMetricsError(ValueError):
    """The text is not what a metrics endpoint answers."""


@dataclass(frozen=True)
class Sample:
    """One line: name, labels, value."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse(text: str, names: Collection[str]) -> list[Sample]:
    """Samples of the wanted names, in the order of the text.

    Raises
    ------
    NotMetricsError
        A line that is neither a sample nor a comment.
    """
    samples = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        if match is None:
            raise NotMetricsError(f"not a sample: {line[:60]!r}")
        name, labels, value = match.groups()
        if name in names:
            samples.append(Sample(name, _labels(labels or ""), _number(value)))
    return samples


def count(value: float) -> int:
    """A counter's value as a whole number.

    Raises
    ------
    NotMetricsError
        Negative, NaN, infinite or fractional: no count.
    """
    if not (0 <= value <= _LARGEST) or value != math.floor(value):
        raise NotMetricsError(f"not a count: {value}")
    return int(value)


def _labels(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _LABEL.match(text, position)
        if match is None:
            raise NotMetricsError(f"not labels: {text[:60]!r}")
        value = match.group(2)
        found[match.group(1)] = (
            re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value) if "\\" in value else value
        )
        position = match.end()
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise NotMetricsError(f"not a number: {text[:30]!r}") from error

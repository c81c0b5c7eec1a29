"""Reads what steps have stated, for those who tell it on: the card, the summary, the report. Adds nothing to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tallystick.components.core.verdicts import Verdict

Statement = Mapping[str, Any]


def details_of(statement: Statement) -> Mapping[str, Any]:
    """What the step recorded beside a verdict, or the whole predicate of a statement that is none."""
    predicate: Mapping[str, Any] = statement["predicate"]
    found: Mapping[str, Any] = predicate.get("details") or predicate
    return found


def verdict_of(statement: Statement | None) -> Verdict | None:
    """The verdict of a gate's statement, its outcome computed again; None where the statement holds none."""
    if statement is None or "checks" not in statement["predicate"]:
        return None
    return Verdict.from_json(dict(statement["predicate"]))


def subject_of(statement: Statement) -> tuple[str, str]:
    """Name and SHA-256 of what a statement is about."""
    first = statement["subject"][0]
    return str(first["name"]), str(first["digest"]["sha256"])


def made_at(statement: Statement) -> datetime:
    """When the statement was made."""
    return datetime.fromisoformat(statement["predicate"]["at"])

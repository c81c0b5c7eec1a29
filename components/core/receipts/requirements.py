"""Which evidence a release must have: the policy's part that registration, controller, server and verifier ask for.

The rules name steps; the order of steps and what each must speak of are the platform's own and not up to a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from tallystick.components.core.documents import Document
from tallystick.components.core.errors import EvidenceRefusedError

ABOUT_THE_MODEL = frozenset(
    {"alternatives", "fairness_gate", "evaluation", "explainability", "model_card", "registration", "approval"}
)
"""Steps whose statement must be about the very digest that is released."""

AFTER: Mapping[str, tuple[str, ...]] = {
    "training": ("data_validation",),
    "fairness_gate_plain": ("training",),
    "alternatives": ("training",),
    "fairness_gate": ("training", "alternatives"),
    "evaluation": ("training", "alternatives"),
    "explainability": ("training", "alternatives"),
    "model_card": ("fairness_gate", "evaluation", "explainability"),
    "registration": ("fairness_gate", "evaluation", "explainability", "model_card"),
    "rollout": ("registration",),
}
"""What must stand in the log before a step's statement."""


Stage = Literal["registration", "rollout", "release"]
"""Where the door is: before registration nobody can have approved; before a rollout there is no rollout yet."""

_NOT_YET: Mapping[str, frozenset[str]] = {
    "registration": frozenset({"registration", "rollout"}),
    "rollout": frozenset({"rollout"}),
    "release": frozenset(),
}


class EvidenceRules(Document):
    """Evidence that a model needs before it may serve.

    Attributes
    ----------
    statements
        Steps that must have left a statement; one with a verdict must have passed.
    approvals
        By how many persons, none of them an author, it must be approved.
    """

    statements: tuple[str, ...] = (
        "data_validation",
        "training",
        "fairness_gate",
        "evaluation",
        "explainability",
        "model_card",
    )
    approvals: Annotated[int, Field(ge=0, le=10)] = 0

    def at(self, stage: Stage) -> EvidenceRules:
        """What of this can be there already at a stage of a release."""
        return EvidenceRules(
            statements=tuple(step for step in self.statements if step not in _NOT_YET[stage]),
            approvals=0 if stage == "registration" else self.approvals,
        )


def missing_evidence(
    statements: Mapping[str, Mapping[str, Any]], rules: EvidenceRules, *, digest: str, overridden: frozenset[str]
) -> dict[str, str]:
    """What keeps a set of statements from being complete: a sentence by step, empty where it is complete.

    Only presence, verdict and subject are looked at: whether a statement is genuine is verification.py's matter.
    """
    problems = {}
    for step in rules.statements:
        statement = statements.get(step)
        if statement is None:
            if step not in overridden:
                problems[step] = f"{step}: there is no such statement"
            continue
        outcome = _outcome(statement)
        if outcome not in ("pass", "Promoted") and step not in overridden:
            problems[step] = f"{step}: it ended with {outcome!r}"
        found = subject_digest(statement)
        if step in ABOUT_THE_MODEL and found != digest:
            problems[step] = f"{step}: it is about sha256:{found[:12]}, another model"
    return problems


def require_complete(
    statements: Mapping[str, Mapping[str, Any]],
    rules: EvidenceRules,
    *,
    digest: str,
    overridden: frozenset[str] = frozenset(),
) -> None:
    """Refuse a model whose set of statements is not complete: the gate before registration.

    Parameters
    ----------
    statements
        By step, as `EvidenceStore.statements` gives them.
    digest
        The model's, hexadecimal, with or without ``sha256:``.
    overridden
        Steps that a verified override speaks of; see `verification.overridden_steps`.

    Raises
    ------
    EvidenceRefusedError
        Something is missing, did not pass, or is about another model; the message names each.
    """
    problems = missing_evidence(statements, rules, digest=digest.removeprefix("sha256:"), overridden=overridden)
    if problems:
        raise EvidenceRefusedError("the evidence is not complete: " + "; ".join(problems.values()))


def _outcome(statement: Mapping[str, Any]) -> str:
    """A gate's verdict, how a rollout ended, or "pass" where a statement only records."""
    said = statement["predicate"]
    details = said.get("details")
    phase = details.get("phase") if isinstance(details, Mapping) else None
    return str(said.get("outcome") or phase or "pass")


def subject_digest(statement: Mapping[str, Any]) -> str:
    """SHA-256 of what a statement is about; empty where it names none."""
    try:
        return str(statement["subject"][0]["digest"]["sha256"])
    except (KeyError, IndexError, TypeError):
        return ""

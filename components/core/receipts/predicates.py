"""What the platform's statements say: one documented type each, and the JSON schemas made from them.

A verifier checks a statement against its type before it believes a word of it. Figures of single gates live in
`details`, which the types leave open: reports read them, verification does not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tallystick.components.core.evidence import PREDICATES, STATEMENT_TYPE

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_HERE = Path(__file__).parent / "predicates"


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class By(_Open):
    """Who made the statement: a signer's name, its key's id, the authors of what was judged, image and commit."""

    name: Annotated[str, Field(min_length=1)]
    key: Digest
    authors: tuple[str, ...]
    image: str
    commit: str


class Said(_Open):
    """What every predicate says: in which run, when (UTC), by whom, and what it replaces: a step tried again."""

    run: Annotated[str, Field(min_length=1)]
    at: AwareDatetime
    by: By
    supersedes: Digest | None = None


class CheckResult(_Open):
    """One figure against one threshold; see `verdicts.Check`."""

    name: str
    outcome: Literal["pass", "fail", "insufficient evidence", "recorded"]
    detail: str


class VerdictSaid(Said):
    """A gate's verdict about its subject; the outcome follows from the checks."""

    gate: str
    outcome: Literal["pass", "fail", "insufficient evidence"]
    subject_name: str
    subject_sha256: Digest
    checks: tuple[CheckResult, ...]
    context: dict[str, str]
    details: dict[str, Any]


class InputDigests(_Open):
    """What a model was made from."""

    data: Digest
    contract: Digest
    policy: Digest


class TrainingSaid(Said):
    """Which candidates were trained, on what; the subject is the plain candidate."""

    digests: InputDigests


class SearchSaid(Said):
    """The search for a less discriminatory alternative; the subject is the model that was chosen."""

    searched: bool
    alternatives: tuple[dict[str, Any], ...]


class ModelCardSaid(Said):
    """The model card, whole, with its digest."""

    sha256: Digest
    markdown: str


class RegistrationSaid(Said):
    """Name and version under which the registry knows the model."""

    name: str
    version: str | int
    aliases: dict[str, Any]


class RolloutSaid(Said):
    """How a trial on live traffic ended."""

    details: dict[str, Any]


class LogState(_Open):
    """The log as an approver saw it; `root` in base64."""

    origin: str
    size: Annotated[int, Field(ge=0)]
    root: str


class ApprovalSaid(Said):
    """A person's approval of a model: which evidence it was given on (digest by step), and the log's state."""

    evidence: Annotated[dict[str, Digest], Field(min_length=1)]
    log: LogState
    comment: str


class OverrideSaid(Said):
    """A person's decision to release although the named steps are missing or did not pass, and why."""

    overrides: Annotated[tuple[str, ...], Field(min_length=1)]
    reason: Annotated[str, Field(min_length=20)]


class BundleSaid(Said):
    """What a bundle holds; its subjects are the parts."""

    model: dict[str, str]


KINDS: dict[str, type[Said]] = {
    "verdict": VerdictSaid,
    "training": TrainingSaid,
    "search": SearchSaid,
    "model_card": ModelCardSaid,
    "registration": RegistrationSaid,
    "rollout": RolloutSaid,
    "approval": ApprovalSaid,
    "override": OverrideSaid,
    "bundle": BundleSaid,
}


class _Digests(_Open):
    sha256: Digest


class _Subject(_Open):
    name: str
    digest: _Digests


_SUBJECTS = TypeAdapter(list[_Subject])


def kind_of(statement: dict[str, Any]) -> str:
    """A statement's kind, ``verdict``; empty where it is none of this platform's, version 1."""
    kind = str(statement.get("predicateType", "")).removeprefix(f"{PREDICATES}/").removesuffix("/v1")
    return kind if kind in KINDS and statement["predicateType"] == f"{PREDICATES}/{kind}/v1" else ""


def form_problem(statement: dict[str, Any]) -> str:
    """What is wrong with a statement's form, in words; empty where nothing is."""
    kind = kind_of(statement)
    if statement.get("_type") != STATEMENT_TYPE or not kind:
        return f"is no statement of a known type ({str(statement.get('predicateType'))[:80]!r})"
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or not subjects or (len(subjects) > 1 and kind != "bundle"):
        return "names no single subject"
    try:
        _SUBJECTS.validate_python(subjects)
    except ValidationError:
        return "names a subject without name and SHA-256"
    try:
        KINDS[kind].model_validate(statement.get("predicate"))
    except ValidationError as error:
        first = error.errors()[0]
        return f"is not what a {kind} statement says: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    return ""


def schemas() -> dict[Path, str]:
    """The committed schema files with the content that the types give."""
    files = {}
    for kind, said in KINDS.items():
        schema = {"$id": f"{PREDICATES}/{kind}/v1", **said.model_json_schema()}
        files[_HERE / f"{kind}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return files

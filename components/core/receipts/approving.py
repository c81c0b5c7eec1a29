"""Two statements that only persons make: an approval, and the override of a gate that said no.

Whether the person may do so is decided by the verifier's trust file, not here: what is checked here is only what
would make the statement worthless for everybody.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from tallystick.components.core.errors import EvidenceRefusedError, InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.receipts.identity import Identity
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.receipts.requirements import EvidenceRules, missing_evidence, subject_digest
from tallystick.components.core.storage import ObjectStore

MODEL_STEP = "fairness_gate"
APPROVAL = "approval"
OVERRIDE = "override"
MINIMUM_REASON = 20


def approve(
    store: ObjectStore, run_id: str, *, digest: str, rules: EvidenceRules, approver: Identity, comment: str
) -> str:
    """State that a person has seen the run's evidence and approves the model; returns the statement's step.

    The approval names every statement by its digest and the log as it is now: evidence that comes later or is
    changed later is not covered by it.

    Raises
    ------
    EvidenceRefusedError
        The evidence is not complete yet, or one of its statements is not signed.
    """
    digest = digest.removeprefix("sha256:")
    evidence = EvidenceStore(store, run_id, approver)
    contents = {step: content for step, content in evidence.contents().items() if not step.startswith(APPROVAL)}
    if unsigned := [step for step in evidence.not_signed() if step in contents]:
        raise EvidenceRefusedError(f"there is nothing to approve: {', '.join(unsigned)}: not signed")
    statements = evidence.statements()
    overridden = frozenset(
        step
        for name, statement in statements.items()
        if name.startswith(OVERRIDE)
        for step in statement["predicate"]["overrides"]
    )
    if problems := missing_evidence(statements, rules, digest=digest, overridden=overridden):
        raise EvidenceRefusedError("the evidence is not complete: " + "; ".join(problems.values()))
    log = Log(store)
    size = log.size()
    step = f"{APPROVAL}-{approver.signer().public.key_id[:12]}"
    evidence.record(
        step,
        APPROVAL,
        subject_name=model_name(evidence),
        subject_sha256=digest,
        predicate={
            "evidence": {name: sha256_of_bytes(content) for name, content in contents.items()},
            "log": {"origin": log.origin(), "size": size, "root": base64.b64encode(log.root(size)).decode()},
            "comment": comment,
        },
    )
    return step


def override(store: ObjectStore, run_id: str, *, digest: str, steps: Sequence[str], reason: str, by: Identity) -> str:
    """State that a person lets the model pass although `steps` are missing or did not pass; returns the step.

    Raises
    ------
    InputError
        No step, or a reason that is none.
    """
    if not steps:
        raise InputError("override", "names no step", "the steps whose evidence is missing or did not pass")
    if len(reason.strip()) < MINIMUM_REASON:
        raise InputError("override", f"the reason is {reason!r}", f"a sentence of {MINIMUM_REASON} characters or more")
    evidence = EvidenceStore(store, run_id, by)
    step = f"{OVERRIDE}-{by.signer().public.key_id[:12]}"
    evidence.record(
        step,
        OVERRIDE,
        subject_name=model_name(evidence),
        subject_sha256=digest.removeprefix("sha256:"),
        predicate={"overrides": sorted(steps), "reason": reason.strip()},
    )
    return step


def model_name(evidence: EvidenceStore) -> str:
    """Name of the model that the run judged."""
    statement = evidence.statement(MODEL_STEP) or evidence.statement("training")
    return str(statement["subject"][0]["name"]) if statement else "model"


def model_digest(evidence: EvidenceStore) -> str:
    """Digest of the model that the run judged last.

    Raises
    ------
    InputError
        The run judged none.
    """
    statement = evidence.statement(MODEL_STEP) or evidence.statement("training")
    if statement is None:
        raise InputError(evidence.run_id, "this run judged no model", "a run that came as far as its gates")
    return subject_digest(statement)

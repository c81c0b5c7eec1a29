"""Statements of what happened, in the in-toto format: signed, logged, and kept in one store for all steps of a run.

    <run>/<step>.json                      what the step said last: a signed envelope, or a bare statement
    superseded/<run>/<step>/<digest>.json  what it had said before, when it was tried again
    log/                                   the log (receipts/log.py) in which every signed statement stands

Where no key is configured a statement is kept as it is and says of itself that it is not signed; it stands in no
log and proves nothing. What is read here is not verified: that is receipts/verification.py's work.

References
----------
in-toto attestation framework, Statement v1: https://in-toto.io/Statement/v1
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tallystick.components.core.errors import InputError, MissingObjectError
from tallystick.components.core.files import canonical_json, sha256_of_bytes
from tallystick.components.core.receipts.identity import Identity, current_identity
from tallystick.components.core.storage import ObjectStore
from tallystick.components.core.verdicts import Verdict

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATES = "https://tallystick.dev/predicates"
NOT_SIGNED = "not signed"


class EvidenceStore:
    """The statements of one run: one object a statement, named by the step that made it.

    Parameters
    ----------
    identity
        Who signs; without it whoever the process acts as (`receipts.identity.acting_as`), if anybody.
    """

    def __init__(self, store: ObjectStore, run_id: str, identity: Identity | None = None) -> None:
        self._store, self._run_id = store, run_id
        self._identity = identity or current_identity()

    @property
    def store(self) -> ObjectStore:
        """Where the statements of this and other runs are kept."""
        return self._store

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self._run_id

    def record(
        self, step: str, kind: str, *, subject_name: str, subject_sha256: str, predicate: Mapping[str, Any]
    ) -> None:
        """Store one statement about a subject, signed and logged where there is a key.

        Parameters
        ----------
        step
            Name of the object; a step that is tried again replaces what it said before. What was signed before
            stays in the log and beside it.
        kind
            Predicate type, e.g. ``verdict``; the full type is a URI with a version.

        Raises
        ------
        InputError
            The key cannot be read.
        StorageError
            The store or the log cannot be written; the step is to be tried again.
        """
        said = {**predicate, "run": self._run_id, "at": datetime.now(UTC).isoformat()}
        statement: dict[str, Any] = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject_name, "digest": {"sha256": subject_sha256}}],
            "predicateType": f"{PREDICATES}/{kind}/v1",
            "predicate": said,
        }
        name = f"{self._run_id}/{step}.json"
        if self._identity is None:
            said["signature"] = NOT_SIGNED
            self._store.put(name, canonical_json(statement))
            return
        from tallystick.components.core.receipts.dsse import seal
        from tallystick.components.core.receipts.log import Log

        signer = self._identity.signer()
        said["by"] = identity_json(self._identity, signer.public.key_id)
        if before := self._keep_superseded(step, name):
            said["supersedes"] = before
        content = seal(statement, signer).to_bytes()
        self._store.put(name, content)
        log = Log(self._store)
        log.append(log_entry(content, run_id=self._run_id, step=step, kind=kind, subject_sha256=subject_sha256))
        log.publish(signer)

    def record_verdict(self, step: str, verdict: Verdict, details: Mapping[str, Any]) -> None:
        """Store a gate's verdict, with the `details` that its report is drawn from."""
        self.record(
            step,
            "verdict",
            subject_name=verdict.subject_name,
            subject_sha256=verdict.subject_sha256,
            predicate={**verdict.to_json(), "details": details},
        )

    def statement(self, step: str) -> dict[str, Any] | None:
        """One step's statement, or None if it made none."""
        try:
            return statement_in(self._store.get(f"{self._run_id}/{step}.json"), step)
        except MissingObjectError:
            return None

    def statements(self) -> dict[str, dict[str, Any]]:
        """All statements of the run by step."""
        return {step: statement_in(content, step) for step, content in self.contents().items()}

    def contents(self) -> dict[str, bytes]:
        """What is stored, by step: envelopes, and bare statements where nothing was signed."""
        prefix = f"{self._run_id}/"
        return {
            name.removeprefix(prefix).removesuffix(".json"): self._store.get(name) for name in self._store.names(prefix)
        }

    def superseded(self) -> list[bytes]:
        """What the run's steps had said before they were tried again."""
        return [self._store.get(name) for name in self._store.names(f"superseded/{self._run_id}/")]

    def not_signed(self) -> list[str]:
        """Steps whose statement carries no signature."""
        return [step for step, content in self.contents().items() if "payloadType" not in json.loads(content)]

    def _keep_superseded(self, step: str, name: str) -> str:
        """Keep what the step said before; its digest, which the new statement names, or nothing."""
        try:
            before = self._store.get(name)
        except MissingObjectError:
            return ""
        digest = sha256_of_bytes(before)
        self._store.put_once(f"superseded/{self._run_id}/{step}/{digest}.json", before)
        return digest


def log_entry(content: bytes, *, run_id: str, step: str, kind: str, subject_sha256: str) -> bytes:
    """What stands in the log for a signed statement: its digest, and enough to find it by."""
    return canonical_json(
        {"envelope": sha256_of_bytes(content), "kind": kind, "run": run_id, "step": step, "subject": subject_sha256}
    )


def statement_in(content: bytes, where: str) -> dict[str, Any]:
    """The statement in what is stored, signed or not; nothing is verified.

    Raises
    ------
    InputError
        It is no statement.
    """
    from tallystick.components.core.receipts.dsse import is_envelope, read_envelope

    try:
        value = json.loads(content)
    except ValueError as error:
        raise InputError(where, "is not JSON", "a statement or a signed envelope") from error
    if is_envelope(value):
        value = read_envelope(content, where).statement()
    if not isinstance(value, dict):
        raise InputError(where, "is no statement", "a statement or a signed envelope")
    return value


def identity_json(identity: Identity, key_id: str) -> dict[str, Any]:
    """Who makes a statement, as it says itself."""
    return {
        "name": identity.name,
        "key": key_id,
        "authors": list(identity.authors),
        "image": identity.image,
        "commit": identity.commit,
    }

"""Statements of what happened, in the in-toto format, kept in one store for all steps of a run.

Reference: in-toto attestation framework, Statement v1 (https://in-toto.io/Statement/v1). The statements
are not signed yet, and nothing here claims that they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tallystick.components.core.errors import StorageError
from tallystick.components.core.files import canonical_json
from tallystick.components.core.storage import ObjectStore
from tallystick.components.core.verdicts import Verdict

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATES = "https://tallystick.dev/predicates"


class EvidenceStore:
    """The statements of one run: one object a statement, named by the step that made it."""

    def __init__(self, store: ObjectStore, run_id: str) -> None:
        self._store, self._run_id = store, run_id

    def record(
        self, step: str, kind: str, *, subject_name: str, subject_sha256: str, predicate: Mapping[str, Any]
    ) -> None:
        """Store one statement about a subject.

        Parameters
        ----------
        step
            Name of the object; a step that is tried again replaces what it said before.
        kind
            Predicate type, e.g. ``verdict``; the full type is a URI with a version.
        """
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject_name, "digest": {"sha256": subject_sha256}}],
            "predicateType": f"{PREDICATES}/{kind}/v1",
            "predicate": {**predicate, "run": self._run_id, "at": datetime.now(UTC).isoformat()},
        }
        self._store.put(f"{self._run_id}/{step}.json", canonical_json(statement))

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
            value: dict[str, Any] = json.loads(self._store.get(f"{self._run_id}/{step}.json"))
        except StorageError:
            return None
        return value

    def statements(self) -> dict[str, dict[str, Any]]:
        """All statements of the run by step."""
        prefix = f"{self._run_id}/"
        return {
            name.removeprefix(prefix).removesuffix(".json"): json.loads(self._store.get(name))
            for name in self._store.names(prefix)
        }

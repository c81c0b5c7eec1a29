"""The bundle: one file with everything that is needed to check a release without network.

    manifest.json                 signed: the digest of every other part, the model, the run
    statements/<step>.json        signed envelopes        superseded/<digest>.json   what was said before a retry
    log/checkpoint                the log's signed state  log/proofs.json            that all of it stands there
    inputs/  documents/           contract, policy; model card, report, summary

A ZIP file that any tool opens, written in one way only (parts in order, uncompressed, dated 1980): reading it
writes it again and compares, so that not one byte can differ unnoticed.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import PREDICATES, STATEMENT_TYPE, EvidenceStore, identity_json
from tallystick.components.core.files import canonical_json, sha256_of_bytes
from tallystick.components.core.receipts.approving import model_digest, model_name
from tallystick.components.core.receipts.dsse import seal
from tallystick.components.core.receipts.identity import Identity
from tallystick.components.core.receipts.log import Log

MANIFEST = "manifest.json"
CHECKPOINT = "log/checkpoint"
PROOFS = "log/proofs.json"
STATEMENTS, SUPERSEDED = "statements/", "superseded/"
MAXIMUM_BYTES = 1 << 30
MAXIMUM_WINDOW = 100_000
_EPOCH = (1980, 1, 1, 0, 0, 0)

Parts = Mapping[str, bytes]


def pack(parts: Parts) -> bytes:
    """The parts as one file; the same parts give the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(parts):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, parts[name])
    return stream.getvalue()


def unpack(content: bytes, where: str) -> dict[str, bytes]:
    """Read a bundle.

    Raises
    ------
    InputError
        It is no bundle, or not one byte for byte as bundles are written.
    """
    allowed = "a file that `tallystick bundle` wrote"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAXIMUM_BYTES:
                raise InputError(where, "is too large", f"{MAXIMUM_BYTES >> 20} MiB")
            parts = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(where, f"cannot be read ({error})", allowed) from error
    except (struct.error, MemoryError, OverflowError, UnicodeError) as error:
        raise InputError(where, "cannot be read: it is damaged", allowed) from error
    if MANIFEST not in parts:
        raise InputError(where, "holds no manifest", allowed)
    if pack(parts) != content:
        raise InputError(where, "is not in the form in which bundles are written: it was altered", allowed)
    return parts


def gather(
    evidence: EvidenceStore,
    *,
    signer: Identity,
    inputs: Mapping[str, bytes],
    documents: Mapping[str, bytes],
    known_sizes: Iterable[int] = (),
) -> dict[str, bytes]:
    """All parts of a run's bundle, signed.

    Parameters
    ----------
    inputs, documents
        Contents by file name: ``contract.yaml``, ``report.html``.
    known_sizes
        Sizes of earlier checkpoints that a verifier knows, to prove that this log continues theirs.

    Raises
    ------
    InputError
        The run judged no model, or what it left is not signed.
    """
    contents = evidence.contents()
    digest = model_digest(evidence)
    if unsigned := evidence.not_signed():
        raise InputError(
            evidence.run_id, f"{', '.join(unsigned)}: not signed", "signed evidence", "run it with a key configured"
        )
    parts = {f"{STATEMENTS}{step}.json": content for step, content in contents.items()}
    parts |= {f"{SUPERSEDED}{sha256_of_bytes(content)}.json": content for content in evidence.superseded()}
    parts |= {f"inputs/{name}": content for name, content in inputs.items()}
    parts |= {f"documents/{name}": content for name, content in documents.items()}
    log = Log(evidence.store)
    log.publish(signer.signer())
    approvals = [
        s["predicate"]["log"]["size"] for step, s in evidence.statements().items() if step.startswith("approval")
    ]
    parts |= log_parts(log, evidence.run_id, statement_digests(parts), {*known_sizes, *approvals})
    parts[MANIFEST] = sign_manifest(parts, name=model_name(evidence), digest=digest, run=evidence.run_id, signer=signer)
    return parts


def statement_digests(parts: Parts) -> set[str]:
    """Digests of all statements among the parts, by which the log names them."""
    return {sha256_of_bytes(content) for name, content in parts.items() if name.startswith((STATEMENTS, SUPERSEDED))}


def log_parts(log: Log, run_id: str, digests: set[str], known_sizes: Iterable[int]) -> dict[str, bytes]:
    """Checkpoint, and the proofs that the statements of these digests stand in the log.

    The log is read from its end until the last of them is found: a run is near the end when it is looked at.
    """
    published = log.latest()
    if published is None:
        raise InputError(run_id, "there is no log: nothing of this run was signed", "signed evidence")
    checkpoint, note = published
    size = checkpoint.size
    needle = b'"run":' + canonical_json(run_id) + b","
    wanted, window, found = set(digests), [], []
    for index in range(size - 1, -1, -1):
        if not wanted:
            break
        ((_, entry),) = log.entries(index, index + 1)
        window.append(entry)
        if needle in entry:
            found.append(index)
            wanted.discard(json.loads(entry)["envelope"])
    if not found:
        raise InputError(run_id, "the log has no entry of this run", "signed evidence")
    start = min(found)
    if size - start > MAXIMUM_WINDOW:
        raise InputError(run_id, f"more than {MAXIMUM_WINDOW} entries follow in the log", "a bundle made sooner")
    proofs: dict[str, Any] = {
        "start": start,
        "entries": [entry.decode() for entry in reversed(window[: size - start])],
        "window": encoded(log.window(start, size)),
        "inclusion": {str(i): encoded(log.inclusion(i, size)) for i in sorted(found)},
        "consistency": {
            str(known): encoded(log.consistency(known, size))
            for known in sorted(set(known_sizes))
            if 0 <= known <= size
        },
    }
    return {CHECKPOINT: note, PROOFS: canonical_json(proofs)}


def sign_manifest(parts: Parts, *, name: str, digest: str, run: str, signer: Identity) -> bytes:
    """The signed list of all parts."""
    key = signer.signer()
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": part, "digest": {"sha256": sha256_of_bytes(content)}}
            for part, content in sorted(parts.items())
            if part != MANIFEST
        ],
        "predicateType": f"{PREDICATES}/bundle/v1",
        "predicate": {
            "model": {"name": name, "sha256": digest},
            "run": run,
            "at": datetime.now(UTC).isoformat(),
            "by": identity_json(signer, key.public.key_id),
        },
    }
    return seal(statement, key).to_bytes()


def encoded(hashes: Iterable[bytes]) -> list[str]:
    """Hashes as base64."""
    return [base64.b64encode(value).decode() for value in hashes]


def read_proofs(content: bytes) -> dict[str, Any]:
    """The proofs with hashes as bytes.

    Raises
    ------
    InputError
        They are none.
    """
    try:
        value = json.loads(content)
        return {
            "start": int(value["start"]),
            "entries": [str(entry).encode() for entry in value["entries"]],
            "window": [base64.b64decode(h, validate=True) for h in value["window"]],
            "inclusion": {
                int(i): [base64.b64decode(h, validate=True) for h in proof] for i, proof in value["inclusion"].items()
            },
            "consistency": {
                int(i): [base64.b64decode(h, validate=True) for h in proof] for i, proof in value["consistency"].items()
            },
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(PROOFS, "cannot be read", "the proofs of a bundle") from error

"""The gate at the door: one call for whoever is about to register, try or serve a model.

It reads the verifier's trust file and the evidence from where they are, and lets pass or raises. There is no
answer "could not be checked": a store that does not answer is an error like any other, and the door stays shut.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.receipts.bundle import MAXIMUM_BYTES
from tallystick.components.core.receipts.findings import VerificationResult
from tallystick.components.core.receipts.requirements import Stage
from tallystick.components.core.receipts.trust import TrustPolicy, parse_trust
from tallystick.components.core.receipts.verification import require_verified, verify_model_evidence
from tallystick.components.core.storage import open_store

_FORMS = "FILE.zip, s3://bucket/key.zip, or STORE#RUN"


def require_model_evidence(evidence: str, digest: str, trust: Path, *, stage: Stage = "release") -> VerificationResult:
    """Let a model pass whose evidence holds; refuse every other.

    Parameters
    ----------
    evidence
        A bundle (``FILE.zip``, ``s3://bucket/key.zip``), or where a run's evidence is kept, ``STORE#RUN``.
    digest
        The model's own digest, computed from its bytes by the caller: ``sha256:`` and hexadecimal.
    trust
        The verifier's trust file; on a cluster mounted from a ConfigMap that the model's authors cannot write.
    stage
        Where the door is: ``registration`` comes before anybody approves, ``rollout`` before there was one.

    Returns
    -------
    VerificationResult
        What was proved, and what was overridden: to be logged by the caller.

    Raises
    ------
    EvidenceRefusedError
        The evidence does not hold; the message names each reason.
    InputError
        Trust file or evidence is not there or not readable as such.
    StorageError
        The store does not answer.
    """
    result = verify_model_evidence(open_evidence(evidence), digest, read_trust(trust), stage=stage)
    require_verified(result)
    return result


def read_trust(path: Path) -> TrustPolicy:
    """Read a trust file.

    Raises
    ------
    InputError
        It is not there, or it is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), "cannot be read", "a trust file") from error
    return parse_trust(text, str(path))


def open_evidence(uri: str) -> bytes | EvidenceStore:
    """The bundle or the run's evidence that `uri` names.

    Raises
    ------
    InputError
        It names neither, or there is no such file.
    StorageError
        A bucket cannot be read.
    """
    store, hash_sign, run_id = uri.rpartition("#")
    if hash_sign and store and run_id:
        return EvidenceStore(open_store(store), run_id)
    if not uri.endswith(".zip"):
        raise InputError(uri or "evidence", "names no evidence", _FORMS)
    if urlsplit(uri).scheme == "s3":
        folder, _, name = uri.rpartition("/")
        return open_store(folder).get(name)
    path = Path(uri)
    if not path.is_file():
        raise InputError(uri, "no such file", _FORMS)
    if path.stat().st_size > MAXIMUM_BYTES:
        raise InputError(uri, "is too large", f"{MAXIMUM_BYTES >> 20} MiB")
    return path.read_bytes()

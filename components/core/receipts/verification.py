"""Verifies a model's evidence, trusting nobody but the keys in the verifier's own file.

Works offline on a bundle's parts. Every problem that is found is told, each by its own name; nothing that could
not be checked is passed over.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from tallystick.components.core.errors import EvidenceRefusedError, InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.receipts.bundle import (
    MANIFEST,
    STATEMENTS,
    SUPERSEDED,
    Parts,
    log_parts,
    statement_digests,
    unpack,
)
from tallystick.components.core.receipts.findings import Findings, Receipt, VerificationResult, authenticate
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.receipts.log_checks import (
    LogProof,
    check_log,
    check_nothing_left_out,
    check_order,
    place,
)
from tallystick.components.core.receipts.release_checks import (
    MODEL_CARD,
    check_approvals,
    check_complete,
    check_inputs,
    check_verdicts,
    rules_of,
)
from tallystick.components.core.receipts.requirements import Stage
from tallystick.components.core.receipts.trust import TrustPolicy


def verify_bundle(
    content: bytes,
    trust: TrustPolicy,
    *,
    digest: str = "",
    where: str = "bundle",
    stage: Stage = "release",
    now: datetime | None = None,
) -> VerificationResult:
    """Verify a bundle.

    Parameters
    ----------
    digest
        The model that it should be about; without it the one that the bundle names.
    stage
        Where the door is: what cannot be there yet is not asked for.
    now
        The time of the verification; the present without it.

    Raises
    ------
    InputError
        It is no bundle, or was altered so that it cannot be read.
    """
    parts = unpack(content, where)
    findings = Findings()
    model, run = _check_manifest(parts, trust, findings)
    wanted = digest.removeprefix("sha256:") or model
    if wanted != model:
        findings.problem("other_digest", MANIFEST, f"the bundle is about sha256:{model}, not sha256:{wanted}")
    return _verify(parts, trust, findings, digest=wanted, run=run, now=now, stage=stage)


def verify_model_evidence(
    evidence: bytes | EvidenceStore,
    digest: str,
    trust: TrustPolicy,
    *,
    inputs: Parts | None = None,
    stage: Stage = "release",
    now: datetime | None = None,
) -> VerificationResult:
    """Verify that a model's evidence holds: the gate before registration, before a rollout, and before serving.

    Parameters
    ----------
    evidence
        A bundle's content, or the run's evidence where it is kept.
    digest
        The model's, with or without ``sha256:``.
    inputs
        Contract and policy by part name (``inputs/contract.yaml``), where `evidence` is a store.
    stage
        Where the door is: what cannot be there yet is not asked for.

    Raises
    ------
    InputError
        There is nothing that could be verified: no bundle, no log.
    StorageError
        The store cannot be read.
    """
    if isinstance(evidence, bytes):
        return verify_bundle(evidence, trust, digest=digest, stage=stage, now=now)
    wanted = digest.removeprefix("sha256:")
    findings = Findings()
    contents = evidence.contents()
    if not contents:
        findings.problem("missing", evidence.run_id, f"the run {evidence.run_id} left no evidence")
        return _result(findings, wanted, evidence.run_id)
    parts = {f"{STATEMENTS}{step}.json": content for step, content in contents.items()}
    parts |= {f"{SUPERSEDED}{sha256_of_bytes(content)}.json": content for content in evidence.superseded()}
    parts |= dict(inputs or {})
    sizes = [
        statement["predicate"]["log"]["size"]
        for step, statement in evidence.statements().items()
        if step.startswith("approval")
    ]
    with contextlib.suppress(InputError):  # the check of the log says what is missing
        parts |= log_parts(Log(evidence.store), evidence.run_id, statement_digests(parts), sizes)
    return _verify(parts, trust, findings, digest=wanted, run=evidence.run_id, now=now, stage=stage)


def require_verified(result: VerificationResult) -> None:
    """Refuse a model whose evidence does not hold.

    Raises
    ------
    EvidenceRefusedError
        The message names every problem.
    """
    if not result.holds:
        raise EvidenceRefusedError(
            f"sha256:{result.digest} is refused: " + "; ".join(problem.sentence for problem in result.problems)
        )


def _verify(
    parts: Parts,
    trust: TrustPolicy,
    findings: Findings,
    *,
    digest: str,
    run: str,
    now: datetime | None,
    stage: Stage,
) -> VerificationResult:
    time = now or datetime.now(UTC)
    receipts = _receipts(parts, trust, run, findings)
    proof: LogProof | None = check_log(parts, trust, max((r.at for r in receipts), default=time), findings)
    if proof:
        receipts = place(receipts, proof, run, findings)
        check_nothing_left_out(parts, receipts, proof, run, findings)
        check_order(receipts, trust, time, findings)
    check_verdicts(receipts, findings)
    check_inputs(parts, receipts, findings, whole=MANIFEST in parts)
    rules = rules_of(parts, trust, findings).at(stage)
    check_complete(receipts, rules, digest, findings)
    if stage != "registration":
        check_approvals(receipts, rules, digest, proof, findings)
    return _result(findings, digest, run)


def _result(findings: Findings, digest: str, run: str) -> VerificationResult:
    return VerificationResult(
        digest=digest,
        run=run,
        problems=tuple(findings.problems),
        proved=tuple(findings.proved),
        overrides=tuple(findings.overrides),
    )


def _receipts(parts: Parts, trust: TrustPolicy, run: str, findings: Findings) -> list[Receipt]:
    """All statements that can be read; former ones must be genuine too, but count for nothing."""
    receipts = []
    before = len(findings.problems)
    for name, content in sorted(parts.items()):
        if not name.startswith((STATEMENTS, SUPERSEDED)):
            continue
        step = name.removeprefix(STATEMENTS).removesuffix(".json")
        receipt = authenticate(step, content, trust, findings)
        if receipt is None:
            continue
        replaced = receipt.predicate.get("supersedes")
        if replaced is not None and f"{SUPERSEDED}{replaced}.json" not in parts:
            findings.problem("left_out", step, f"{step} names what it had said before, and the bundle does not show it")
        if receipt.predicate["run"] != run:
            findings.problem("other_run", step, f"{step} belongs to the run {receipt.predicate['run']}, not to {run}")
        if name.startswith(SUPERSEDED):
            if receipt.envelope.digest != step.removeprefix(SUPERSEDED):
                findings.problem("altered", name, f"{name} is not what its name says")
        else:
            receipts.append(receipt)
    if receipts and len(findings.problems) == before:
        persons = sorted({receipt.signer.name for receipt in receipts if receipt.signer})
        findings.proved.append(f"{len(receipts)} statements are signed by trusted keys: {', '.join(persons)}")
    return receipts


def _check_manifest(parts: Parts, trust: TrustPolicy, findings: Findings) -> tuple[str, str]:
    """Model and run that the manifest names, after holding every part against it."""
    receipt = authenticate("manifest", parts[MANIFEST], trust, findings)
    if receipt and receipt.kind != "bundle":
        findings.problem("wrong_form", MANIFEST, f"the manifest is a statement of another kind ({receipt.kind})")
    if receipt is None or receipt.kind != "bundle":
        raise InputError(MANIFEST, findings.problems[-1].sentence, "the signed manifest of a bundle")
    before = len(findings.problems)
    named = {str(subject["name"]): str(subject["digest"]["sha256"]) for subject in receipt.statement["subject"]}
    for name in sorted(named.keys() - parts.keys()):
        findings.problem("missing", name, f"{name} is named in the manifest and not in the bundle")
    for name in sorted(parts.keys() - named.keys() - {MANIFEST}):
        findings.problem("not_named", name, f"{name} is in the bundle and not in its manifest")
    for name in sorted(named.keys() & parts.keys()):
        if sha256_of_bytes(parts[name]) != named[name]:
            findings.problem("altered", name, f"{name} was altered: it is not what the manifest names")
    if len(findings.problems) == before and receipt.signer:
        findings.proved.append(f"all {len(named)} parts are as {receipt.signer.name} packed them")
        word = sorted(name for name in named if name.startswith("documents/") and name != MODEL_CARD)
        if word:
            findings.proved.append(f"(on the word of {receipt.signer.name} alone: {', '.join(word)})")
    return str(receipt.predicate["model"].get("sha256", "")), str(receipt.predicate["run"])

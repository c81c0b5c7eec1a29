"""Checks that a bundle's statements stand in the log, all of them, in the order in which they came."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import log_entry
from tallystick.components.core.receipts.bundle import CHECKPOINT, PROOFS, SUPERSEDED, Parts, read_proofs
from tallystick.components.core.receipts.checkpoint import Checkpoint, read_checkpoint, signer_of
from tallystick.components.core.receipts.findings import Findings, Receipt
from tallystick.components.core.receipts.merkle import (
    consistent,
    leaf_hash,
    root_from_inclusion,
    root_from_window,
)
from tallystick.components.core.receipts.requirements import AFTER, subject_digest
from tallystick.components.core.receipts.trust import TrustPolicy


class LogProof:
    """A bundle's log part that was verified as far as it goes: places by entry, and what it continues."""

    def __init__(self, checkpoint: Checkpoint, proofs: Mapping[str, Any]) -> None:
        self.checkpoint, self._proofs = checkpoint, proofs
        self.entries: list[tuple[int, bytes]] = list(enumerate(proofs["entries"], proofs["start"]))
        self.places = {entry: index for index, entry in self.entries}

    def includes(self, index: int, entry: bytes) -> bool:
        """Whether the inclusion proof for that place leads to the checkpoint's root."""
        proof = self._proofs["inclusion"].get(index)
        if proof is None:
            return False
        return root_from_inclusion(index, self.checkpoint.size, leaf_hash(entry), proof) == self.checkpoint.root

    def continues(self, size: int, root: bytes) -> bool | None:
        """Whether the log still begins as it was at `size`; None where there is no proof of it."""
        if size == self.checkpoint.size:
            return root == self.checkpoint.root
        proof = self._proofs["consistency"].get(size)
        if proof is None:
            return None
        return consistent(size, self.checkpoint.size, root, self.checkpoint.root, proof)


def check_log(parts: Parts, trust: TrustPolicy, at: datetime, findings: Findings) -> LogProof | None:
    """Verify checkpoint and window; None where what follows cannot be checked.

    `at` is when the checkpoint was signed at the latest that anybody can tell: the last statement's date. A key
    that ran out since is no reason to doubt what was signed before.
    """
    if CHECKPOINT not in parts or PROOFS not in parts:
        findings.problem("missing", "log", "the bundle holds no proof that its statements stand in a log")
        return None
    note = parts[CHECKPOINT]
    try:
        proof = LogProof(read_checkpoint(note, CHECKPOINT), read_proofs(parts[PROOFS]))
    except InputError as error:
        findings.problem("unreadable", "log", str(error))
        return None
    before = len(findings.problems)
    keepers = trust.keys_for("log")
    signer = signer_of(note, (key.key for key in keepers))
    if signer is None:
        findings.problem(
            "checkpoint_not_trusted", "log", "the log's checkpoint is not signed by a key that may keep the log"
        )
    else:
        keeper = trust.key_by_id(signer.key_id)
        objection = keeper.objection("log", at) if keeper else None
        if objection:
            findings.problem(objection[0], "log", f"the log's checkpoint: {objection[1]}")
    if trust.log.origin and proof.checkpoint.origin != trust.log.origin:
        findings.problem(
            "other_log", "log", f"this is the log {proof.checkpoint.origin}, trusted is {trust.log.origin}"
        )
    _check_window(parts, proof, findings)
    _check_known(proof, trust, findings)
    if len(findings.problems) == before:
        findings.proved.append(
            f"the log {proof.checkpoint.origin} had {proof.checkpoint.size} entries, and its keeper signed for that"
        )
    return proof


def place(receipts: list[Receipt], proof: LogProof, run: str, findings: Findings) -> list[Receipt]:
    """The receipts with their places in the log."""
    placed = []
    for receipt in receipts:
        entry = log_entry(
            receipt.envelope.to_bytes(),
            run_id=run,
            step=receipt.step,
            kind=receipt.kind,
            subject_sha256=subject_digest(receipt.statement),
        )
        index = proof.places.get(entry)
        if index is None:
            findings.problem("not_in_log", receipt.step, f"{receipt.step} does not stand in the log")
        elif not proof.includes(index, entry):
            findings.problem("wrong_place", receipt.step, f"{receipt.step}: its proof does not lead to the log's root")
        placed.append(replace(receipt, index=index))
    return placed


def check_nothing_left_out(
    parts: Parts, receipts: list[Receipt], proof: LogProof, run: str, findings: Findings
) -> None:
    """Every entry of this run has its statement here, and of each step the last one is the one that counts."""
    shown = {receipt.step: receipt.envelope.digest for receipt in receipts}
    earlier = {name.removeprefix(SUPERSEDED).removesuffix(".json") for name in parts if name.startswith(SUPERSEDED)}
    logged = [(index, value) for index, entry in proof.entries if (value := json.loads(entry))["run"] == run]
    last = {value["step"]: index for index, value in logged}
    before = len(findings.problems)
    for index, value in logged:
        step, digest = value["step"], value["envelope"]
        if index != last[step]:
            if digest not in earlier:
                findings.problem(
                    "left_out", step, f"what {step} had said before (entry {index} of the log) is not in the bundle"
                )
        elif step not in shown:
            findings.problem("left_out", step, f"{step} stands in the log (entry {index}) and not in the bundle")
        elif shown[step] != digest and digest in earlier:
            findings.problem(
                "superseded", step, f"{step} said something else later (entry {index}), and the bundle shows the former"
            )
        elif shown[step] != digest:
            findings.problem("replaced", step, f"{step} is another statement than the one in the log (entry {index})")
    if len(findings.problems) == before:
        findings.proved.append(f"nothing that the run {run} stated was left out, replaced or re-ordered")


def check_order(receipts: list[Receipt], trust: TrustPolicy, now: datetime, findings: Findings) -> None:
    """The steps came one after the other, and no date contradicts the log's order."""
    by_step = {receipt.step: receipt for receipt in receipts if receipt.index is not None}
    for step, receipt in by_step.items():
        for first in AFTER.get(step, ()):
            if first in by_step and (by_step[first].index or 0) > (receipt.index or 0):
                findings.problem("wrong_order", step, f"{step} stands in the log before {first}, on which it rests")
    latest: Receipt | None = None
    for receipt in sorted(by_step.values(), key=lambda r: r.index or 0):
        if latest and receipt.at < latest.at - trust.clock_tolerance:
            findings.problem(
                "back_dated",
                receipt.step,
                f"{receipt.step} is dated {receipt.at.isoformat()}, before {latest.step}, which was logged before it",
            )
        if receipt.at > now + trust.clock_tolerance:
            findings.problem("post_dated", receipt.step, f"{receipt.step} is dated in the future ({receipt.at})")
        if latest is None or receipt.at > latest.at:
            latest = receipt


def log_state(said: Mapping[str, Any]) -> tuple[str, int, bytes] | None:
    """Origin, size and root that an approval names; None where they cannot be read."""
    try:
        return str(said["origin"]), int(said["size"]), base64.b64decode(said["root"], validate=True)
    except (KeyError, ValueError, TypeError, binascii.Error):
        return None


def _check_window(parts: Parts, proof: LogProof, findings: Findings) -> None:
    proofs = read_proofs(parts[PROOFS])
    leaves = [leaf_hash(entry) for entry in proofs["entries"]]
    if root_from_window(proofs["start"], proof.checkpoint.size, leaves, proofs["window"]) != proof.checkpoint.root:
        findings.problem("log_altered", "log", "the entries shown are not those of the log that the checkpoint signs")
    for entry in proofs["entries"]:
        try:
            value = json.loads(entry)
            readable = isinstance(value["run"] + value["step"] + value["envelope"], str)
        except (ValueError, KeyError, TypeError):
            readable = False
        if not readable:
            findings.problem("unreadable", "log", "an entry of the log cannot be read")
            proof.entries.clear()
            return


def _check_known(proof: LogProof, trust: TrustPolicy, findings: Findings) -> None:
    if not trust.log.known:
        return
    known = read_checkpoint(trust.log.known.encode(), "trust file: log.known")
    if known.origin != proof.checkpoint.origin:
        findings.problem("other_log", "log", f"this is the log {proof.checkpoint.origin}, known is {known.origin}")
    elif known.size > proof.checkpoint.size:
        findings.problem(
            "log_forked",
            "log",
            f"the log had {known.size} entries when it was last seen, and now {proof.checkpoint.size}",
        )
    elif (continued := proof.continues(known.size, known.root)) is None:
        findings.problem(
            "missing", "log", f"there is no proof that the log continues the one known with {known.size} entries"
        )
    elif not continued:
        findings.problem("log_forked", "log", f"the log does not begin with the {known.size} entries known of it")
    else:
        findings.proved.append(f"it continues the log that was known with {known.size} entries")

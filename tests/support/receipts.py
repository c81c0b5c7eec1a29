"""A release's evidence by several signers, each with its own key, and the trust file of somebody who checks it."""

import json
from pathlib import Path

from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.receipts.approving import approve, override
from tallystick.components.core.receipts.bundle import MANIFEST, gather, pack, sign_manifest
from tallystick.components.core.receipts.identity import Identity
from tallystick.components.core.receipts.keys import generate_key, write_private_key
from tallystick.components.core.receipts.local_keys import trust_entry, trust_text
from tallystick.components.core.receipts.requirements import EvidenceRules
from tallystick.components.core.receipts.trust import parse_trust
from tallystick.components.core.verdicts import Check, Outcome, Verdict
from tests.support.memory_store import MemoryStore

RUN = "20261123-150000-ab12"
INPUTS = {
    "contract.yaml": (Path(__file__).parents[2] / "pipelines/credit_risk/contract.yaml").read_bytes(),
    "policy.yaml": (Path(__file__).parents[2] / "pipelines/credit_risk/policy.yaml").read_bytes(),
}
DATA, PLAIN, MODEL, OTHER = (sha256_of_bytes(name) for name in (b"data", b"plain", b"model", b"other model"))
CARD = "# The model\n\nIt scores applications.\n"
RULES = EvidenceRules()
SIGNERS = {
    "trainer": ("training-job@bank.example", ["training", "log"]),
    "gatekeeper": ("gates@bank.example", ["gate", "log"]),
    "clerk": ("documents@bank.example", ["documentation", "log"]),
    "registrar": ("registry@bank.example", ["registration", "log"]),
    "pilot": ("rollouts@bank.example", ["rollout", "log"]),
    "ada": ("ada@bank.example", ["approver", "log"]),
    "bob": ("bob@bank.example", ["approver", "log"]),
    "olga": ("olga@bank.example", ["override", "log"]),
    "insider": ("carol@bank.example", ["training", "gate", "approver", "override", "log"]),
    "stranger": ("", []),
}
STEPS = (
    "data_validation", "training", "fairness_gate_plain", "alternatives", "fairness_gate", "evaluation",
    "explainability", "model_card", "registration",
)  # fmt: skip
WRITERS = {"training": "trainer", "alternatives": "trainer", "model_card": "clerk", "registration": "registrar",
           "rollout": "pilot"}  # fmt: skip


class Desk:
    """Everybody's keys, for one test session."""

    def __init__(self, folder: Path):
        self.people = {}
        self.public = {}
        for name in SIGNERS:
            key, pem = generate_key()
            write_private_key(folder / f"{name}.pem", pem)
            authors = ("carol@bank.example", "dan@bank.example") if name == "trainer" else ()
            self.people[name] = Identity(name=name, key=str(folder / f"{name}.pem"), authors=authors)
            self.public[name] = key.public

    def trust_text(self, *, approvals=1, without=(), roles=None):
        entries = [
            trust_entry(self.public[name], name, person, (roles or {}).get(name, given))
            for name, (person, given) in SIGNERS.items()
            if given and name not in without
        ]
        return trust_text(entries, approvals=approvals)

    def trust(self, **changes):
        return parse_trust(self.trust_text(**changes))

    def step(self, store, step, *, by=None, sha256=MODEL, outcome=Outcome.PASS, said=None):
        evidence = EvidenceStore(store, RUN, self.people[by or WRITERS.get(step, "gatekeeper")])
        if step in ("training", "alternatives", "model_card", "registration", "rollout"):
            kind, name, predicate = PREDICATES[step]
            subject = PLAIN if step == "training" else sha256
            evidence.record(step, kind, subject_name=name, subject_sha256=subject, predicate=said or predicate)
            return
        subject = {"data_validation": DATA, "fairness_gate_plain": PLAIN}.get(step, sha256)
        if step == "fairness_gate_plain":
            outcome = Outcome.FAIL
        check = Check(name="figure", outcome=outcome, detail=f"{step}: {outcome.value}", figure=0.8, threshold=0.8)
        evidence.record_verdict(
            step, Verdict(gate=step, subject_name="model", subject_sha256=subject, checks=(check,)), {"rows": 1989}
        )

    def steps(self, store, *, skip=(), order=STEPS, **changes):
        for step in order:
            if step not in skip:
                self.step(store, step, **changes.get(step, {}))

    def approve(self, store, by="ada", *, rules=RULES, digest=MODEL):
        return approve(store, RUN, digest=digest, rules=rules, approver=self.people[by], comment="seen")

    def override(self, store, steps, by="olga", reason="The committee accepts it until the next review."):
        return override(store, RUN, digest=MODEL, steps=steps, reason=reason, by=self.people[by])

    def parts(self, store, *, known_sizes=()):
        documents = {"model_card.md": CARD.encode(), "report.html": b"<!doctype html><p>report</p>"}
        return gather(
            EvidenceStore(store, RUN), signer=self.people["clerk"], inputs=INPUTS, documents=documents,
            known_sizes=known_sizes,
        )  # fmt: skip

    def packed(self, parts, *, digest=MODEL, by="clerk"):
        """Sign the manifest again over altered parts: what somebody with that key could do."""
        signed = {name: content for name, content in parts.items() if name != MANIFEST}
        signed[MANIFEST] = sign_manifest(signed, name="model", digest=digest, run=RUN, signer=self.people[by])
        return pack(signed)

    def release(self):
        """The whole honest story."""
        store = MemoryStore()
        self.steps(store)
        self.approve(store)
        self.step(store, "rollout")
        return store


PREDICATES = {
    "training": ("training", "plain", {"digests": {
        "data": DATA, "dataset": DATA, "contract": sha256_of_bytes(INPUTS["contract.yaml"]),
        "policy": sha256_of_bytes(INPUTS["policy.yaml"])}, "rows": 1989}),
    "alternatives": ("search", "model", {"searched": True, "alternatives": [{"name": "model", "chosen": True}]}),
    "model_card": ("model_card", "model", {"sha256": sha256_of_bytes(CARD.encode()), "markdown": CARD}),
    "registration": ("registration", "mortgages", {"name": "mortgages", "version": "2", "aliases": {"candidate": "2"}}),
    "rollout": ("rollout", "model", {"details": {"name": "rollout", "phase": "Promoted"}}),
}  # fmt: skip


def edit_json(content: bytes, change) -> bytes:
    value = json.loads(content)
    change(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

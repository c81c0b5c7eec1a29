"""Checks of what the statements say together: complete, about one model, approved by somebody who may."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.components.core.errors import InputError
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.receipts.bundle import Parts
from tallystick.components.core.receipts.findings import Findings, Receipt
from tallystick.components.core.receipts.log_checks import LogProof, log_state
from tallystick.components.core.receipts.requirements import EvidenceRules, missing_evidence, subject_digest
from tallystick.components.core.receipts.trust import TrustPolicy
from tallystick.components.core.verdicts import Verdict

CONTRACT, POLICY, MODEL_CARD = "inputs/contract.yaml", "inputs/policy.yaml", "documents/model_card.md"


def rules_of(parts: Parts, trust: TrustPolicy, findings: Findings) -> EvidenceRules:
    """What is asked for: by the verifier, and by the release's own policy on top of it."""
    if POLICY not in parts:
        return trust.requires
    try:
        own = parse_policy(parts[POLICY].decode(errors="replace"), POLICY).evidence
    except InputError as error:
        findings.problem("unreadable", POLICY, f"the policy cannot be read ({error})")
        return trust.requires
    return EvidenceRules(
        statements=tuple(dict.fromkeys((*trust.requires.statements, *own.statements))),
        approvals=max(trust.requires.approvals, own.approvals),
    )


def check_verdicts(receipts: Iterable[Receipt], findings: Findings) -> None:
    """A verdict's outcome is computed again from its checks, and it speaks of its own subject."""
    for receipt in receipts:
        if receipt.kind != "verdict":
            continue
        said = dict(receipt.predicate)
        try:
            outcome = Verdict.from_json(said).outcome.value
        except (KeyError, TypeError, ValueError):
            outcome = ""
        if outcome != said["outcome"]:
            findings.problem(
                "false_verdict",
                receipt.step,
                f"{receipt.step} says {said['outcome']!r}, and its checks say {outcome or 'nothing'!r}",
            )
        if said["subject_sha256"] != subject_digest(receipt.statement):
            findings.problem("other_digest", receipt.step, f"{receipt.step} judged another subject than it is about")


def check_inputs(parts: Parts, receipts: Iterable[Receipt], findings: Findings, *, whole: bool) -> None:
    """Contract, policy, data and model card are the ones that the statements name.

    In a `whole` bundle contract and policy must be there; beside a store they may be kept elsewhere.
    """
    by_step = {receipt.step: receipt for receipt in receipts}
    training, data = by_step.get("training"), by_step.get("data_validation")
    before = len(findings.problems)
    shown = (("contract", CONTRACT), ("policy", POLICY))
    if training:
        digests = training.predicate["digests"]
        for name, part in shown:
            if part not in parts:
                if whole:
                    findings.problem("missing", part, f"the {name} is not in the bundle")
            elif sha256_of_bytes(parts[part]) != digests[name]:
                findings.problem("other_inputs", part, f"the model was not trained under this {name}")
        if data and subject_digest(data.statement) != digests["data"]:
            findings.problem("other_inputs", "data_validation", "the data that were checked are not those trained on")
        if len(findings.problems) == before:
            named = ", ".join(["data", *(name for name, part in shown if part in parts)])
            findings.proved.append(f"{named}: those that the model was trained on")
    card = by_step.get("model_card")
    if card and sha256_of_bytes(card.predicate["markdown"].encode()) != card.predicate["sha256"]:
        findings.problem("other_document", "model_card", "the card's text is not the one that its digest names")
    elif card and MODEL_CARD in parts and sha256_of_bytes(parts[MODEL_CARD]) != card.predicate["sha256"]:
        findings.problem("other_document", MODEL_CARD, "the model card is not the one that was signed")


def overridden_steps(receipts: Iterable[Receipt], digest: str, findings: Findings) -> frozenset[str]:
    """Steps that a person with that right let pass, as far as the override came after them."""
    listed = list(receipts)
    by_step = {receipt.step: receipt for receipt in listed}
    steps: set[str] = set()
    authors = _authors(listed)
    for receipt in listed:
        if receipt.kind != "override" or receipt.signer is None or receipt.index is None:
            continue
        if subject_digest(receipt.statement) != digest:
            findings.problem("other_digest", receipt.step, f"{receipt.step} is about another model")
            continue
        if receipt.signer.person.casefold() in authors:
            findings.problem(
                "override_by_author", receipt.step, f"{receipt.signer.person} made what {receipt.step} lets pass"
            )
            continue
        for step in receipt.predicate["overrides"]:
            judged = by_step.get(step)
            if judged and (judged.index is None or judged.index > receipt.index):
                findings.problem(
                    "override_too_early", receipt.step, f"{receipt.step} came before the verdict of {step}"
                )
                continue
            steps.add(step)
            findings.overrides.append(
                f"{step} was overridden by {receipt.signer.person}: {receipt.predicate['reason']}"
            )
    return frozenset(steps)


def check_complete(receipts: Iterable[Receipt], rules: EvidenceRules, digest: str, findings: Findings) -> None:
    """All that is asked for is there, passed, and is about this model."""
    listed = list(receipts)
    overridden = overridden_steps(listed, digest, findings)
    # What nobody signed who may is not there: its absence is said only where nothing else was said of it.
    statements = {receipt.step: receipt.statement for receipt in listed}
    problems = missing_evidence(statements, rules, digest=digest, overridden=overridden)
    for step, sentence in problems.items():
        code = "missing" if step not in statements else "gate_refused"
        if step in statements and "another model" in sentence:
            code = "other_digest"
        findings.problem(code, step, sentence)
    if not problems:
        findings.proved.append(f"all that is asked for is there: {', '.join(rules.statements)}")
    for receipt in listed:
        if receipt.kind in ("approval", "registration", "model_card") and receipt.step not in problems:
            found = subject_digest(receipt.statement)
            if found != digest:
                findings.problem("other_digest", receipt.step, f"{receipt.step} is about sha256:{found[:12]}")


def check_approvals(
    receipts: Iterable[Receipt], rules: EvidenceRules, digest: str, proof: LogProof | None, findings: Findings
) -> None:
    """Enough persons approved, none of them an author, each with the whole evidence before their eyes."""
    listed = list(receipts)
    persons: set[str] = set()
    for receipt in listed:
        if receipt.kind != "approval" or subject_digest(receipt.statement) != digest:
            continue
        if receipt.signer is None:
            continue  # said already
        if receipt.signer.person.casefold() in _authors(listed):
            findings.problem(
                "approved_by_author",
                receipt.step,
                f"{receipt.signer.person} approved what {receipt.signer.person} made: an author may not approve",
            )
            continue
        if _covers(receipt, listed, rules, proof, findings):
            persons.add(receipt.signer.person)
    if len(persons) < rules.approvals:
        findings.problem(
            "not_approved", "approval", f"{rules.approvals} approval(s) are asked for, {len(persons)} hold(s)"
        )
    elif persons:
        findings.proved.append(f"approved by {', '.join(sorted(persons))}, after the evidence was complete")
    else:
        findings.proved.append("no approval was asked for, and none was given")


def _covers(
    approval: Receipt, receipts: list[Receipt], rules: EvidenceRules, proof: LogProof | None, findings: Findings
) -> bool:
    """Whether the approver had seen every statement that is asked for before a rollout, as it stands here."""
    seen, state = approval.predicate["evidence"], log_state(approval.predicate["log"])
    by_step = {receipt.step: receipt for receipt in receipts}
    good = True
    for step in rules.at("rollout").statements:
        receipt = by_step.get(step)
        if receipt is None:
            continue
        late = state is not None and receipt.index is not None and receipt.index >= state[1]
        if step not in seen or late or (receipt.index or 0) > (approval.index or 0):
            findings.problem("approved_too_early", approval.step, f"{approval.step} was given before {step} was there")
            good = False
        elif seen[step] != receipt.envelope.digest:
            findings.problem(
                "approved_other_evidence", approval.step, f"{approval.step} was given on another statement of {step}"
            )
            good = False
    if proof is None or state is None or state[0] != proof.checkpoint.origin:
        findings.problem("log_forked", approval.step, f"{approval.step} was given on another log")
        return False
    continued = proof.continues(state[1], state[2])
    if not continued:
        text = "there is no proof that the log continues" if continued is None else "the log does not continue"
        findings.problem("log_forked", approval.step, f"{text} the one that {approval.step} was given on")
        return False
    return good


def _authors(receipts: Iterable[Receipt]) -> set[str]:
    """Persons who made what is released: they signed for it, or are named as authors."""
    authors: set[str] = set()
    for receipt in receipts:
        if receipt.kind in ("approval", "override"):
            continue
        if receipt.signer:
            authors.add(receipt.signer.person.casefold())
        authors |= {str(author).casefold() for author in receipt.predicate["by"]["authors"]}
    return authors

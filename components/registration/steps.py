"""Joins registration to what is outside it: evidence, the shared judge of fairness, the journal."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tallystick.components.core.candidates import MODEL, CandidateModel
from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.journal import Journal
from tallystick.components.core.judges import Subject, judge_fairness, judge_performance
from tallystick.components.core.model_package import package_digest
from tallystick.components.core.policy import Policy, parse_policy
from tallystick.components.core.storage import open_store
from tallystick.components.core.verdicts import Verdict
from tallystick.components.registration.evidence_check import RegistrationRefusedError
from tallystick.components.registration.logic import Registration, Request, register


def run_registration(
    *,
    candidate: Path,
    benchmark: Path,
    card: Path,
    champion: Path,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    tracking_uri: str,
    journal: Journal,
) -> Registration:
    """Register, and leave the statement ``registration``, or ``registration_refused`` with the reason.

    See :func:`logic.register` for what it raises.
    """
    contract, policy = parse_contract(contract_yaml), parse_policy(policy_yaml)
    store = EvidenceStore(open_store(evidence), run_id)

    journal.progress(0.1, "checking the evidence")
    request = Request(
        candidate=candidate,
        benchmark=benchmark,
        card=card,
        champion=champion,
        contract=contract,
        contract_sha256=sha256_of_bytes(contract_yaml.encode()),
        policy_sha256=sha256_of_bytes(policy_yaml.encode()),
        statements=store.statements(),
        tracking_uri=tracking_uri,
        run_id=run_id,
        judge_fairness=partial(_fairness, contract=contract, policy=policy),
        judge_performance=partial(_performance, policy=policy),
    )
    try:
        result = register(request)
    except RegistrationRefusedError as refusal:
        name, sha256 = contract.name, package_digest(candidate / MODEL)
        predicate = {"reason": str(refusal)}
        store.record("registration_refused", "refusal", subject_name=name, subject_sha256=sha256, predicate=predicate)
        raise
    store.record(
        "registration",
        "registration",
        subject_name=contract.name,
        subject_sha256=result.model_sha256,
        predicate=result.predicate(),
    )
    how = "version" if result.is_new else "known already: version"
    journal.event("outcome", text=f"{result.name}, {how} {result.version}", good=True)
    return result


def _subject(model: CandidateModel) -> Subject:
    return Subject(name=model.training.name, kind=model.model.kind, sha256=model.model.digest)


def _fairness(model: CandidateModel, *, contract: Contract, policy: Policy) -> Verdict:
    verdict, _ = judge_fairness(
        model.predictions,
        contract=contract,
        policy=policy,
        threshold=model.model.interface.threshold,
        subject=_subject(model),
        proxy=model.training.proxy,
    )
    return verdict


def _performance(model: CandidateModel, benchmark: CandidateModel, *, policy: Policy) -> Verdict:
    verdict, _ = judge_performance(
        model.predictions,
        benchmark.predictions,
        policy=policy,
        threshold=model.model.interface.threshold,
        subject=_subject(model),
        benchmark_name=benchmark.training.name,
    )
    return verdict

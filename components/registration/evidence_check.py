"""Decides whether the evidence of a run allows this very model to be registered. Pure: statements in, verdicts out.

A statement is believed for what it rests on, not for what it sums up to. Its outcome is computed again from its
checks; the verdicts on performance and fairness are judged again, under the contract and policy at hand, and must
come out the same; the others must tell the digests that they were made under.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick.components.core.candidates import TrainingRecord
from tallystick.components.core.errors import ExitCode, TallystickError
from tallystick.components.core.verdicts import Verdict

GATES = ("data_validation", "evaluation", "fairness_gate", "explainability")


class RegistrationRefusedError(TallystickError):
    """The model may not be registered: evidence is missing, says no, or speaks of something else."""

    exit_code = ExitCode.GATE_REFUSED


def passed_verdicts(
    statements: Mapping[str, Mapping[str, Any]],
    training: TrainingRecord,
    *,
    contract_sha256: str,
    policy_sha256: str,
    judged_again: Mapping[str, Verdict],
) -> dict[str, Verdict]:
    """The verdicts of all gates, by gate.

    Parameters
    ----------
    statements
        Of the run, by step (`EvidenceStore.statements`).
    training
        Of the candidate; its digests are compared with the texts' and the statements'.
    judged_again
        Verdicts that were just made from the candidate's predictions under the contract and policy at hand;
        what was stated must hold the same checks.

    Raises
    ------
    RegistrationRefusedError
        Names every gate that keeps the model out, and why.
    """
    problems = []
    for what, own, given in (
        ("contract", training.contract_sha256, contract_sha256),
        ("policy", training.policy_sha256, policy_sha256),
    ):
        if own != given:
            problems.append(f"the model was trained under another {what} (sha256:{own[:12]}, not {given[:12]})")
    verdicts = {}
    for gate in GATES:
        statement = statements.get(gate)
        if statement is None:
            problems.append(f"{gate} made no statement")
            continue
        problem, verdict = _problem(gate, statement, training, judged_again.get(gate))
        if problem:
            problems.append(f"{gate} {problem}")
        elif verdict is not None:
            verdicts[gate] = verdict
    if problems:
        raise RegistrationRefusedError(
            f"{training.name} (sha256:{training.model_sha256[:12]}) is not registered: " + "; ".join(problems)
        )
    return verdicts


def _problem(
    gate: str, statement: Mapping[str, Any], training: TrainingRecord, again: Verdict | None
) -> tuple[str, Verdict | None]:
    """What is wrong with one statement, or its verdict."""
    try:
        verdict = Verdict.from_json(statement["predicate"])
        subject = statement["subject"][0]["digest"]["sha256"]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return f"left a statement that cannot be read as a verdict ({type(error).__name__}: {error})", None
    expected = training.data_sha256 if gate == "data_validation" else training.model_sha256
    what = "data" if gate == "data_validation" else "model"
    if subject != expected or verdict.subject_sha256 != expected:
        return f"speaks of another {what} (sha256:{subject[:12]}, not {expected[:12]})", None
    if again is not None:
        if verdict.checks != again.checks:
            difference = _first(verdict, again)
            return f"does not say what the same predictions give under this contract and policy ({difference})", None
    elif problem := _other_digest(verdict, training, must_tell=gate != "data_validation"):
        return problem, None
    if not verdict.passed:
        return f"says {verdict.outcome.value}", None
    return "", verdict


def _first(stated: Verdict, again: Verdict) -> str:
    """The first check that differs, in words."""
    for check in again.checks:
        if check not in stated.checks:
            return f"now: {check.detail}"
    return f"{len(stated.checks)} checks stated, {len(again.checks)} made"


def _other_digest(verdict: Verdict, training: TrainingRecord, *, must_tell: bool) -> str:
    """Which digest in the verdict's context is not the candidate's; empty where all are."""
    for name, own in (
        ("contract", training.contract_sha256),
        ("policy", training.policy_sha256),
        ("data", training.data_sha256),
    ):
        told = verdict.context.get(f"{name}_sha256", "")
        if told != own and (told or must_tell):
            return f"was made under another {name} (sha256:{told[:12] or 'not told'}, not {own[:12]})"
    return ""

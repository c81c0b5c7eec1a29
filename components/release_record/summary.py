"""The record of a run for machines: how it ended, every verdict, every digest, every trial, from statements alone.

The form is described by summary.schema.json beside this file. Nothing is measured here, and nothing is believed
that a statement does not hold: outcomes are computed again from the checks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tallystick.components.core.errors import ExitCode
from tallystick.components.core.statements import details_of, made_at, subject_of, verdict_of
from tallystick.components.core.verdicts import Verdict
from tallystick.components.release_record.words import bad_input, broke, interrupted, promoted, refused, rolled_back

Statements = Mapping[str, Mapping[str, Any]]
Outcome = Literal["promoted", "refused", "rolled_back", "broke", "bad_input", "interrupted"]

FORMAT = "tallystick.summary/1"
GATES = ("data_validation", "evaluation", "fairness_gate", "explainability")
VERDICTS = ("data_validation", "fairness_gate_plain", "evaluation", "fairness_gate", "explainability")
TRIAL = "rollout"
_TRIAL_FIGURES = (
    "story",
    "phase",
    "reason",
    "canary",
    "baseline",
    "first_bad_answer_s",
    "decided_s",
    "traffic_back_s",
    "customers_hit",
    "requests",
)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended: in one word, for the shell, and in a sentence."""

    outcome: Outcome
    exit_code: ExitCode
    headline: str


def build_summary(
    statements: Statements,
    *,
    run_id: str,
    exit_code: ExitCode = ExitCode.DONE,
    message: str = "",
    seconds: float | None = None,
    pipeline_sha256: str | None = None,
) -> dict[str, Any]:
    """Everything that a machine may want to know of a run.

    Parameters
    ----------
    statements
        Of the run, by step; those of a run that stopped early are enough.
    exit_code
        How the steps' processes ended. DONE says only that all of them ran: a gate may have said no.
    message
        What went wrong outside the statements, as a sentence.
    seconds
        How long the whole run took, where that is known.
    pipeline_sha256
        Digest of the compiled pipeline that ran, where that is known.

    Returns
    -------
    dict
        As ``summary.schema.json`` describes it; plain values, no NaN.
    """
    ending = _ending(statements, exit_code, message)
    summary = {
        "format": FORMAT,
        "run": run_id,
        "outcome": ending.outcome,
        "exit_code": int(ending.exit_code),
        "headline": ending.headline,
        "message": message,
        "model": _model(statements),
        "digests": _digests(statements, pipeline_sha256),
        "verdicts": [_verdict(step, v) for step in VERDICTS if (v := verdict_of(statements.get(step))) is not None],
        "alternatives": _alternatives(statements),
        "registration": _registration(statements),
        "rollouts": [
            {"name": step, **{key: details.get(key) for key in _TRIAL_FIGURES}} for step, details in trials(statements)
        ],
        "timings": _timings(statements),
        "seconds": None if seconds is None else round(seconds, 3),
    }
    plain: dict[str, Any] = json.loads(json.dumps(summary, allow_nan=False))
    return plain


def trials(statements: Statements) -> list[tuple[str, Mapping[str, Any]]]:
    """Every rollout by the name of its step: the release first, then rehearsals in the order they were made."""
    steps = [step for step in statements if step == TRIAL or step.startswith(f"{TRIAL}-")]
    steps.sort(key=lambda step: (step != TRIAL, statements[step]["predicate"]["at"]))
    return [(step, details_of(statements[step])) for step in steps]


def _ending(statements: Statements, exit_code: ExitCode, message: str) -> Ending:
    """One word, an exit code, a sentence. What the processes said comes first, then what the gates said."""
    if exit_code is ExitCode.INTERRUPTED:
        return Ending(outcome="interrupted", exit_code=exit_code, headline=interrupted(statements))
    if exit_code is ExitCode.BAD_INPUT:
        return Ending(outcome="bad_input", exit_code=exit_code, headline=bad_input(message))
    unregistered = refusal(statements)
    if exit_code is ExitCode.BROKE and not unregistered:
        return Ending(outcome="broke", exit_code=exit_code, headline=broke(message))
    shut = next((v for gate in GATES if (v := verdict_of(statements.get(gate))) is not None and not v.passed), None)
    if shut is not None or unregistered or exit_code is ExitCode.GATE_REFUSED:
        headline = refused(statements, shut, unregistered or message)
        return Ending(outcome="refused", exit_code=ExitCode.GATE_REFUSED, headline=headline)
    return _ending_of_trials(statements, message)


def refusal(statements: Statements) -> str:
    """Why registration refused the model; empty where it did not, or where a later try registered it."""
    if "registration" in statements or "registration_refused" not in statements:
        return ""
    return str(details_of(statements["registration_refused"])["reason"])


def _ending_of_trials(statements: Statements, message: str) -> Ending:
    found = dict(trials(statements))
    release = found.pop(TRIAL, None)
    if release is None:
        why = message or "the run ended before the trial, and no gate had said no"
        return Ending(outcome="broke", exit_code=ExitCode.BROKE, headline=broke(why))
    if release["phase"] == "RolledBack":
        headline = rolled_back(statements, release)
        return Ending(outcome="rolled_back", exit_code=ExitCode.ROLLED_BACK, headline=headline)
    if release["phase"] != "Promoted":
        why = f"the trial ended as {release['phase']}: {release['reason']}"
        return Ending(outcome="broke", exit_code=ExitCode.BROKE, headline=broke(why))
    kept = [name for name, details in found.items() if details["phase"] != "RolledBack"]
    if kept:
        why = f"the release was promoted, but a build known to be bad was not taken back: {', '.join(kept)}"
        return Ending(outcome="broke", exit_code=ExitCode.BROKE, headline=broke(why))
    return Ending(outcome="promoted", exit_code=ExitCode.DONE, headline=promoted(statements))


def _verdict(step: str, verdict: Verdict) -> dict[str, Any]:
    return {"step": step, **verdict.to_json()}


def _model(statements: Statements) -> dict[str, Any] | None:
    """The model that the release is about: the chosen one, or the plain one where none was chosen yet."""
    for step in ("fairness_gate", "evaluation", "explainability", "fairness_gate_plain", "training"):
        if step in statements:
            name, sha256 = subject_of(statements[step])
            kind = details_of(statements[step]).get("model", {}).get("kind")
            return {"name": name, "kind": kind, "sha256": sha256}
    return None


def _digests(statements: Statements, pipeline_sha256: str | None) -> dict[str, str | None]:
    told = details_of(statements["training"]).get("digests", {}) if "training" in statements else {}
    data = subject_of(statements["data_validation"])[1] if "data_validation" in statements else None
    model = _model(statements)
    return {
        "data": told.get("data") or data,
        "dataset": told.get("dataset") or None,
        "contract": told.get("contract") or None,
        "policy": told.get("policy") or None,
        "model": model["sha256"] if model else None,
        "pipeline": pipeline_sha256 or None,
    }


def _alternatives(statements: Statements) -> dict[str, Any] | None:
    if "alternatives" not in statements:
        return None
    found = details_of(statements["alternatives"])
    tried = found.get("alternatives", [])
    return {
        "searched": found["searched"],
        "tried": len(tried),
        "eligible": sum(bool(entry["eligible"]) for entry in tried),
        "chosen": found["chosen"],
        "plain": found["plain"],
    }


def _registration(statements: Statements) -> dict[str, Any] | None:
    if "registration" not in statements:
        return None
    found = details_of(statements["registration"])
    return {"name": found["name"], "version": found["version"], "aliases": found["aliases"]}


def _timings(statements: Statements) -> list[dict[str, Any]]:
    """When each statement was made, and how long after the one before it (None for the first)."""
    timings: list[dict[str, Any]] = []
    before: datetime | None = None
    for step, statement in sorted(statements.items(), key=lambda item: (item[1]["predicate"]["at"], item[0])):
        at = made_at(statement)
        seconds = None if before is None else round((at - before).total_seconds(), 3)
        timings.append({"step": step, "at": at.isoformat(), "seconds": seconds})
        before = at
    return timings

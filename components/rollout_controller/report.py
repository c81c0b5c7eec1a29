"""What a ModelRollout's status says: the engine's state put into the resource's words, and conditions that keep time.

Only arithmetic; whoever writes it to the API server is elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tallystick.components.rollout_controller.consent import Consent
from tallystick.components.rollout_controller.judgement import TestResult
from tallystick.components.rollout_controller.observation import Arm, Counts, Observation
from tallystick.components.rollout_controller.release import Release
from tallystick.components.rollout_controller.state import ENDS, State

_TRANSITIONS = 40
_LONGEST = 1024


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition as it is found now; whether and when it changed is worked out against the last status."""

    type: str
    status: bool | None
    reason: str
    message: str


def timestamp(now: float) -> str:
    """Seconds since the epoch as Kubernetes writes a time."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(
    before: Sequence[Mapping[str, Any]], found: Sequence[Condition], *, now: float, generation: int
) -> list[dict[str, Any]]:
    """The list to write: the time of a condition is that of its last change of status."""
    known = {condition["type"]: dict(condition) for condition in before}
    for condition in found:
        status = "Unknown" if condition.status is None else str(condition.status)
        old = known.get(condition.type, {})
        known[condition.type] = {
            "type": condition.type,
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == status else timestamp(now),
            "reason": condition.reason,
            "message": condition.message,
        }
    return [known[name] for name in sorted(known)]


def transitions(before: Sequence[Mapping[str, Any]], state: State, now: float) -> list[dict[str, Any]]:
    """The last changes of phase or share, with this one when it is one."""
    known = [dict(transition) for transition in before]
    last = known[-1] if known else {}
    if last.get("phase") != state.phase.value or last.get("weight") != _number(state.weight_pct):
        entry = {"time": timestamp(now), "phase": state.phase.value, "weight": _number(state.weight_pct)}
        known.append({**entry, "reason": state.reason[:_LONGEST]})
    return known[-_TRANSITIONS:]


def status(
    before: Mapping[str, Any],
    release: Release,
    state: State,
    *,
    now: float,
    baseline: str,
    finished: bool,
    found: Sequence[Condition],
    observation: Observation | None = None,
    results: Sequence[TestResult] = (),
    standing: Consent | None = None,
    pods: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The whole status, for a merge patch over the one before."""
    steps = release.rules.steps
    observed = observation.weight_pct if observation else None
    ended = before.get("endedAt") or (timestamp(now) if state.phase in ENDS else None)
    evidence = state.evidence
    return {
        "observedGeneration": release.generation,
        "phase": state.phase.value,
        "reason": state.reason[:_LONGEST],
        "finished": finished,
        "startedAt": before.get("startedAt") or timestamp(now),
        "endedAt": ended,
        "weight": {
            "desired": _number(state.weight_pct),
            "observed": None if observed is None else _number(observed),
            "summary": f"{state.weight_pct:g}/{'-' if observed is None else f'{observed:g}'}",
        },
        "step": {
            "index": state.step,
            "seconds": round(state.step_s, 1),
            "requests": evidence.step_canary.requests,
            "summary": f"{min(state.step + 1, len(steps))}/{len(steps)}",
        },
        "canary": _arm("canary", release.version, observation, pods, evidence.canary),
        "baseline": _arm("baseline", baseline, observation, pods, evidence.baseline),
        "exposedRequests": state.exposed,
        "tests": [_test(result) for result in results],
        "approvals": [
            {"name": approval.name, "approver": approval.approver, "decision": approval.decision}
            for approval in (standing.counted if standing else ())
        ],
        "transitions": transitions(before.get("transitions") or (), state, now),
        "conditions": conditions(before.get("conditions") or (), found, now=now, generation=release.generation),
        "engine": json.dumps(state.to_json(), separators=(",", ":")),
    }


def _arm(
    arm: Arm, version: str, observation: Observation | None, pods: Mapping[str, int] | None, counts: Counts
) -> dict[str, Any]:
    return {
        "version": version,
        "readiness": getattr(observation, arm) if observation else "unknown",
        "pods": (pods or {}).get(arm, 0),
        "requests": counts.requests,
        "failed": counts.failed,
    }


def findings(
    state: State, observed_pct: float | None, standing: Consent, *, hands_off: str, disturbance: str
) -> list[Condition]:
    """What the conditions say after a look.

    Parameters
    ----------
    hands_off
        Why traffic that somebody else sets is obeyed; empty when it is not.
    disturbance
        The last change of the traffic by another; empty for none.
    """
    in_force = observed_pct == state.weight_pct
    unreadable = observed_pct is None
    return [
        Condition(
            type="Approved",
            status=standing.granted,
            reason="Rejected" if standing.rejected_by else "Granted" if standing.granted else "Waiting",
            message="; ".join([standing.sentence, *standing.passed_over]),
        ),
        Condition(
            type="TrafficConfirmed",
            status=None if unreadable else in_force,
            reason="Unreadable" if unreadable else "InForce" if in_force else "NotYet",
            message=f"{state.weight_pct:g} % desired, {'-' if unreadable else f'{observed_pct:g}'} % at the gateway",
        ),
        Condition(
            type="Undisturbed",
            status=not (disturbance or hands_off),
            reason="HandsOff" if hands_off else "ChangedByHand" if disturbance else "AsDesired",
            message="; ".join(filter(None, [hands_off, disturbance])) or "nobody changed the traffic",
        ),
        Condition(type="Complete", status=state.phase in ENDS, reason=state.phase.value, message=state.reason),
    ]


def visible(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a person would notice: everything but the engine's memory and running figures."""
    left_out = ("engine", "step", "exposedRequests", "tests", "canary", "baseline", "reason")
    kept = {key: child for key, child in value.items() if key not in left_out and child is not None}
    kept["readiness"] = [(value.get(arm) or {}).get("readiness") for arm in ("canary", "baseline")]
    kept["conditions"] = [(c["type"], c["status"], c["reason"]) for c in value.get("conditions") or ()]
    kept["weight"] = {key: child for key, child in (value.get("weight") or {}).items() if child is not None}
    return kept


def _test(result: TestResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "finding": result.finding,
        "evidenceOfHarm": float(f"{result.e_bad:.6g}"),
        "harmAt": float(f"{result.bad_at:.6g}"),
        "evidenceOfHealth": float(f"{result.e_good:.6g}"),
        "healthAt": float(f"{result.good_at:.6g}"),
        "sentence": result.sentence[:_LONGEST],
    }


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value

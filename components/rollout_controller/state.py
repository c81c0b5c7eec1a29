"""The engine's whole memory, as it is kept in the resource's status or in a file, and back without loss.

Nothing that a decision rests on is kept anywhere else: a restart between any two looks changes no decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from tallystick.components.core.errors import InputError
from tallystick.components.rollout_controller.counting import Mark
from tallystick.components.rollout_controller.judgement import Evidence, Mixture
from tallystick.components.rollout_controller.observation import Counts

FORMAT = 1


class Phase(StrEnum):
    """Where a rollout is. The last three are ends; a promoted one is watched until the old version may go."""

    PENDING = "Pending"
    AWAITING_APPROVAL = "AwaitingApproval"
    SHADOWING = "Shadowing"
    PROGRESSING = "Progressing"
    HOLDING = "Holding"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"


ENDS = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.FAILED})


@dataclass(frozen=True, kw_only=True)
class State:
    """One rollout as the engine knows it.

    Attributes
    ----------
    step
        Index of the present step.
    weight_pct, mirror
        What the gateway should do now: the canary's share, and whether requests are mirrored to it.
    reason
        Why the phase is what it is, for a person.
    clock
        When the last look was (seconds since the epoch).
    trial_s, step_s, phase_s, unready_s
        Time in the trial; in the step while its share was in force; in the phase; the canary was not ready.
        Sums of differences between looks, so that a clock that is set back or far ahead does no harm.
    exposed
        Requests of customers that the canary answered.
    marks, seen, evidence
        Last counters, what the last look could read, and what the trial has learnt.
    quiet
        Looks in a row that confirmed in the gateway's counters that the traffic has moved.
    """

    phase: Phase = Phase.PENDING
    step: int = 0
    weight_pct: float = 0.0
    mirror: bool = False
    reason: str = ""
    clock: float | None = None
    trial_s: float = 0.0
    step_s: float = 0.0
    phase_s: float = 0.0
    unready_s: float = 0.0
    exposed: int = 0
    quiet: int = 0
    marks: Mapping[str, Mark] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    evidence: Evidence = field(default_factory=Evidence)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; equal states give equal values."""
        value = asdict(self)
        return {**value, "format": FORMAT, "phase": self.phase.value, "seen": sorted(self.seen)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> State:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        InputError
            It is not such a value.
        """
        try:
            if value["format"] != FORMAT:
                raise InputError("rollout state", f"format {value['format']!r}", str(FORMAT))
            fields = {name: value[name] for name in value if name != "format"}
            fields["phase"] = Phase(value["phase"])
            fields["seen"] = frozenset(value["seen"])
            fields["marks"] = {
                key: Mark(started=mark["started"], counts=_counts(mark["counts"]))
                for key, mark in value["marks"].items()
            }
            fields["evidence"] = _evidence(value["evidence"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "rollout state", f"cannot be read ({type(error).__name__}: {error})", "what the engine wrote"
            ) from error


def _evidence(value: Mapping[str, Any]) -> Evidence:
    return Evidence(
        harm={
            unit: Mixture(log_r=tuple(mixture["log_r"]), interval=mixture["interval"])
            for unit, mixture in value["harm"].items()
        },
        health={unit: tuple(log_e) for unit, log_e in value["health"].items()},
        canary=_counts(value["canary"]),
        baseline=_counts(value["baseline"]),
        step_canary=_counts(value["step_canary"]),
    )


def _counts(value: Mapping[str, Any]) -> Counts:
    lists = {"within": tuple((edge, count) for edge, count in value["within"]), "scores": tuple(value["scores"])}
    return Counts(**{**value, **lists})

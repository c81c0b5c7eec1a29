"""What the engine is told: raw counters per instance, as they were read, and what the gateway says it does.

Counters are cumulative and never pre-digested: differences, restarts and replaced instances are the engine's
business (counting.py), so that what it knows survives in its own state and nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Arm = Literal["canary", "baseline"]
Readiness = Literal["ready", "starting", "unready", "dead", "unknown"]

ARMS: tuple[Arm, Arm] = ("canary", "baseline")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Cumulative counters of one instance, or what was added to them in an interval.

    Attributes
    ----------
    requests, failed, refused
        Answers in all; of them those that were the server's fault (5xx, no answer) and the caller's (4xx).
    timed, within
        Answers whose duration was measured, and by bucket edge (seconds) how many took at most that long.
    scores
        Answers by bin of the model's own score profile.
    adverse, favourable
        Decisions.
    """

    requests: int = 0
    failed: int = 0
    refused: int = 0
    timed: int = 0
    within: tuple[tuple[float, int], ...] = ()
    scores: tuple[int, ...] = ()
    adverse: int = 0
    favourable: int = 0

    def slower_than(self, edge_s: float) -> int:
        """Answers slower than a bucket's edge; 0 for an edge that is not there."""
        return next((self.timed - count for edge, count in self.within if edge == edge_s), 0)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The counters of one instance of one arm, at one moment.

    Attributes
    ----------
    source
        Where it was read: ``gateway`` or ``server``. A source is authoritative for the fields it fills.
    instance
        Stable name of the counter's owner: a pod's uid, a gateway's name.
    started
        When that process started, as an opaque text; a change means that its counters began again at zero.
        Empty where it is not known: then a counter that fell has been reset.
    """

    arm: Arm
    source: str
    instance: str
    started: str
    counts: Counts

    @property
    def key(self) -> str:
        """Under what name the last counters are kept."""
        return f"{self.source}/{self.arm}/{self.instance}"


@dataclass(frozen=True, kw_only=True)
class References:
    """Expected share of each score bin by arm, from the models' profiles; empty means equal shares."""

    canary: tuple[float, ...] = ()
    baseline: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Commands:
    """What people have asked for, as it stands now."""

    approved: bool = True
    paused: bool = False
    promote: bool = False
    abort: bool = False


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything that one round of looking brought. Whatever could not be read is absent, never invented.

    Attributes
    ----------
    weight_pct
        The canary's share in the gateway's configuration, read back; None where it could not be read.
    mirrored
        Whether the gateway mirrors requests to the canary; None where it could not be read.
    """

    readings: tuple[Reading, ...] = ()
    canary: Readiness = "unknown"
    baseline: Readiness = "unknown"
    weight_pct: float | None = None
    mirrored: bool | None = None
    references: References = field(default_factory=References)
    commands: Commands = field(default_factory=Commands)

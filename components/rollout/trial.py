"""One trial on a local site, from its first look to its end, and the record of it: what the statement, the report
and the terminal tell.

The record is drawn from what was observed. What customers got is counted where they are, at the replaying client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tallystick.components.core.errors import StorageError
from tallystick.components.core.files import canonical_json, write_bytes
from tallystick.components.core.journal import Journal
from tallystick.components.core.policy import RolloutRules
from tallystick.components.core.verdicts import finite
from tallystick.components.rollout.replay import Experience, Replay
from tallystick.components.rollout.site import LocalSite
from tallystick.components.rollout_controller.counting import Mark, since
from tallystick.components.rollout_controller.decide import Action
from tallystick.components.rollout_controller.loop import World, run
from tallystick.components.rollout_controller.observation import Arm, Counts, Observation
from tallystick.components.rollout_controller.ports import RetryableError
from tallystick.components.rollout_controller.state import ENDS, Phase, State

_TRAFFIC_TAIL_S = 0.3


class SystemClock:
    """The Clock port of this machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass
class FileMemory:
    """The Memory port over one file."""

    path: Path

    def load(self) -> State | None:
        """The state saved last; None where there is none."""
        import json

        if not self.path.exists():
            return None
        return State.from_json(json.loads(self.path.read_bytes()))

    def save(self, state: State) -> None:
        """Write it whole or not at all."""
        try:
            write_bytes(self.path, canonical_json(state.to_json()))
        except StorageError as error:
            raise RetryableError(f"the rollout's state: {error}") from error


@dataclass
class Recorder:
    """The Events port: keeps the timeline and tells the journal, one event a look.

    `traffic_back` is the moment from which the gateway's counters show no more request to the canary.
    """

    name: str
    journal: Journal
    began: float
    timeline: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    decided: float | None = None
    ended: float | None = None
    _marks: dict[str, Mark] = field(default_factory=dict)
    _seen: frozenset[str] = frozenset()
    _totals: dict[Arm, Counts] = field(default_factory=dict)

    def tell(self, state: State, observation: Observation, action: Action, now: float) -> None:
        """Note one look."""
        gateway = [reading for reading in observation.readings if reading.source == "gateway"]
        self._marks, self._seen, interval = since(self._marks, self._seen, gateway)
        canary, baseline = interval.total("canary"), interval.total("baseline")
        moved = canary.requests + baseline.requests
        entry = {
            "t": round(now - self.began, 3),
            "phase": state.phase.value,
            "weight_desired_pct": state.weight_pct,
            "weight_observed_pct": round(100.0 * canary.requests / moved, 2) if moved else None,
            "canary_requests": canary.requests,
            "canary_errors": canary.failed + canary.refused,
            "baseline_requests": baseline.requests,
            "baseline_errors": baseline.failed + baseline.refused,
            "canary_p99_s": finite(p99_s(canary)),
            "baseline_p99_s": finite(p99_s(baseline)),
            "reason": state.reason,
        }
        self._note_moments(state, now)
        tests = [
            {"name": r.name, "verdict": r.finding, "e_bad": r.e_bad, "e_good": r.e_good, "sentence": r.sentence}
            for r in action.results
        ]
        self.timeline.append({**entry, "tests": tests})
        harm = max((r.e_bad / r.bad_at for r in action.results), default=0.0)
        health = min((r.e_good / r.good_at for r in action.results if r.required), default=0.0)
        self.journal.event(
            "traffic",
            rollout=self.name,
            **entry,
            harm_of_needed=float(f"{harm:.3g}"),
            health_of_needed=float(f"{min(health, 1.0):.3g}"),
        )

    def _note_moments(self, state: State, now: float) -> None:
        if state.phase in (Phase.ROLLING_BACK, Phase.PROMOTING) and self.decided is None:
            self.decided = now
        if state.phase in ENDS and self.ended is None:
            self.ended = now
        last = self.steps[-1] if self.steps else {}
        if (last.get("phase"), last.get("weight_pct")) != (state.phase.value, state.weight_pct):
            self.steps.append(
                {
                    "t": round(now - self.began, 3),
                    "phase": state.phase.value,
                    "weight_pct": state.weight_pct,
                    "reason": state.reason,
                }
            )


def p99_s(counts: Counts) -> float | None:
    """Upper edge of the bucket that holds the 99th percentile (seconds); None without answers or above all edges."""
    if not counts.timed:
        return None
    return next((edge for edge, within in counts.within if within >= 0.99 * counts.timed), None)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a trial ended, as the statement's details have it.

    Attributes
    ----------
    details
        See :meth:`Trial.record`; times in seconds since the trial began.
    """

    phase: Phase
    reason: str
    details: dict[str, Any]

    @property
    def promoted(self) -> bool:
        """Whether the new release serves now."""
        return self.phase is Phase.PROMOTED


def run_trial(
    site: LocalSite,
    replay: Replay,
    rules: RolloutRules,
    *,
    name: str,
    story: str,
    journal: Journal,
    memory: Path,
    stop: Callable[[], bool] = lambda: False,
) -> Trial:
    """Drive one rollout on an open site to its end.

    Parameters
    ----------
    name, story
        What the trial is called, and what it is about, in a sentence.
    memory
        File for the engine's state; one that is there is taken up.
    stop
        Asked after each look; True leaves the trial as it is.
    """
    recorder = Recorder(name=name, journal=journal, began=time.time())
    world = World(
        traffic=site.traffic,
        observer=site,
        workloads=site,
        memory=FileMemory(memory),
        events=recorder,
        clock=SystemClock(),
    )
    state = run(world, rules, stop=stop)
    time.sleep(_TRAFFIC_TAIL_S)
    return Trial(phase=state.phase, reason=state.reason, details=_details(recorder, replay, state, name, story))


def _traffic_back(experience: Experience, recorder: Recorder) -> float | None:
    """When the last request to the canary was sent, but never before the decision: until then more could follow."""
    moments = [moment for moment in (experience.last_canary, recorder.decided) if moment is not None]
    return max(moments, default=None)


def _details(recorder: Recorder, replay: Replay, state: State, name: str, story: str) -> dict[str, Any]:
    """The details of the statement `rollout`, without the two versions' names."""
    experience, began = replay.experience, recorder.began
    canary, baseline = experience.tally("canary"), experience.tally("baseline")
    nobody = experience.tally("")
    rolled_back = state.phase is Phase.ROLLED_BACK

    def since_began(moment: float | None) -> float | None:
        return None if moment is None else round(moment - began, 3)

    return {
        "name": name,
        "story": story,
        "phase": state.phase.value,
        "reason": state.reason,
        "first_bad_answer_s": since_began(experience.first_bad),
        "decided_s": since_began(recorder.decided),
        "traffic_back_s": since_began(_traffic_back(experience, recorder)) if rolled_back else None,
        "confirmed_s": since_began(recorder.ended),
        "customers_hit": canary.hit,
        "requests": {
            "canary": canary.requests,
            "baseline": baseline.requests,
            "unanswered": nobody.requests,
            "canary_failed": canary.failed,
            "canary_slow": canary.slow,
            "canary_wrong": canary.wrong,
            "baseline_failed": baseline.failed,
            "baseline_slow": baseline.slow,
        },
        "steps": recorder.steps,
        "timeline": recorder.timeline,
    }

"""The first version of a target: there is nothing to compare it with and nowhere to send requests instead.

So it is not tried on a share: it is approved, started, and serves when it is ready. Pure, like `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.observation import Observation
from tallystick.components.rollout_controller.state import Phase, State

_LARGEST_GAP_INTERVALS = 10


@dataclass(frozen=True, kw_only=True)
class FirstAction:
    """What is to be done for a first version: start it, or look again later, or nothing more."""

    start: bool = False
    finished: bool = False
    look_again_s: float = 1.0


def decide_first(
    state: State, observation: Observation, now: float, *, rules: RolloutRules
) -> tuple[State, FirstAction]:
    """Take one look at a first version."""
    gap_s = 0.0
    if state.clock is not None:
        gap_s = min(max(0.0, now - state.clock), _LARGEST_GAP_INTERVALS * rules.interval_s)
    state = replace(state, clock=now, phase_s=state.phase_s + gap_s)
    state = _next(state, observation, rules)
    ended = state.phase in (Phase.PROMOTED, Phase.FAILED, Phase.ROLLED_BACK)
    return state, FirstAction(
        start=state.phase is Phase.PROMOTING, finished=ended, look_again_s=min(rules.interval_s, 5.0)
    )


def _next(state: State, seen: Observation, rules: RolloutRules) -> State:
    if state.phase in (Phase.PENDING, Phase.AWAITING_APPROVAL):
        if seen.commands.abort:
            return _enter(state, Phase.ROLLED_BACK, "aborted by hand before it served anybody")
        if not seen.commands.approved:
            return _enter(state, Phase.AWAITING_APPROVAL, "waiting for an approval")
        if seen.commands.paused:
            return replace(state, reason="paused by hand")
        return replace(
            _enter(state, Phase.PROMOTING, "the first version of this target: it serves when it is ready"),
            weight_pct=100.0,
        )
    if state.phase is Phase.PROMOTING:
        if seen.canary == "ready":
            return _enter(state, Phase.PROMOTED, "the first version of this target is ready and serves")
        if seen.canary == "dead":
            return _enter(
                state, Phase.FAILED, "the first version ended before it was ready; the next rollout replaces it"
            )
        if state.phase_s > rules.startup_s:
            return _enter(state, Phase.FAILED, f"not ready within {rules.startup_s:g} s; the next rollout replaces it")
    return state


def _enter(state: State, phase: Phase, reason: str) -> State:
    if state.phase is phase:
        return replace(state, reason=reason)
    return replace(state, phase=phase, reason=reason, phase_s=0.0)

"""One look, one decision: `decide(state, observation, now)` is the whole rollout engine, pure and total.

The same function drives the local runtime and the cluster. It never reads a clock, a file or a network; what it
decides follows from its arguments alone. Its invariants, which the property tests hold:

- the canary's share never rises without positive evidence for every required test, and never above the step;
- a decision to roll back is final, needs nothing further and waits on nothing;
- what is desired wins over what the gateway was changed to by others;
- a missing, repeated or late observation, a restart of anything and a clock set back change nothing that was true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.counting import Interval, Mark, since
from tallystick.components.rollout_controller.judgement import TestResult, judge, learn
from tallystick.components.rollout_controller.observation import Arm, Observation
from tallystick.components.rollout_controller.state import ENDS, Phase, State

_LARGEST_GAP_INTERVALS = 10
_QUIET_LOOKS = 2
_MAXIMUM_MARKS = 256
_IN_TRIAL = frozenset({Phase.SHADOWING, Phase.PROGRESSING, Phase.HOLDING, Phase.PROMOTING, Phase.PROMOTED})
_WAITING = frozenset({Phase.SHADOWING, Phase.PROGRESSING, Phase.HOLDING})


@dataclass(frozen=True, kw_only=True)
class Action:
    """What is to be done now. Doing it twice does no harm.

    Attributes
    ----------
    set_weight_pct, set_mirror
        Write this to the gateway; None: it is so already.
    may_remove
        The arm that nobody needs any more.
    finished
        Nothing remains to be done or watched.
    page
        A person should look.
    look_again_s
        When to look next.
    results
        What each test says.
    """

    set_weight_pct: float | None = None
    set_mirror: bool | None = None
    may_remove: Arm | None = None
    finished: bool = False
    page: bool = False
    look_again_s: float = 1.0
    results: tuple[TestResult, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What this look brought, beside the state."""

    observation: Observation
    interval: Interval
    results: tuple[TestResult, ...]
    rules: RolloutRules
    gap_s: float
    in_force: bool

    @property
    def incident(self) -> bool:
        return any(result.incident for result in self.results)


def decide(state: State, observation: Observation, now: float, *, rules: RolloutRules) -> tuple[State, Action]:
    """Take one observation and say what the state is now and what is to be done.

    Parameters
    ----------
    state
        As the last call returned it, or ``State()``.
    observation
        What could be read; nothing in it may be invented.
    now
        Seconds since the epoch.
    rules
        The policy's rollout section.
    """
    state, look = _take(state, observation, now, rules)
    state = _transition(state, look)
    return state, _action(state, look)


def _take(state: State, observation: Observation, now: float, rules: RolloutRules) -> tuple[State, _Look]:
    """Enter time and counters."""
    largest = _LARGEST_GAP_INTERVALS * rules.interval_s
    gap_s = 0.0 if state.clock is None else min(max(0.0, now - state.clock), largest)
    marks, seen, interval = since(state.marks, state.seen, observation.readings)
    in_force = observation.weight_pct == state.weight_pct and bool(observation.mirrored) == state.mirror
    evidence = state.evidence
    if state.phase in _IN_TRIAL:
        evidence = learn(evidence, interval, rules, observation.references)
        if not in_force:
            evidence = evidence.next_step()
    ready = observation.canary in ("ready", "unknown")
    served = interval.total("canary").requests if state.weight_pct > 0 or state.phase is Phase.ROLLING_BACK else 0
    paused = observation.commands.paused and state.phase in _WAITING
    state = replace(
        state,
        clock=now,
        phase_s=state.phase_s + gap_s,
        trial_s=state.trial_s + (gap_s if state.phase in _WAITING and not paused else 0.0),
        step_s=state.step_s + (gap_s if state.phase in _WAITING and in_force else 0.0),
        unready_s=0.0 if ready else state.unready_s + gap_s,
        exposed=state.exposed + served,
        marks=_pruned(marks, observation),
        seen=seen,
        evidence=evidence,
    )
    look = _Look(
        observation=observation,
        interval=interval,
        results=judge(evidence, rules),
        rules=rules,
        gap_s=gap_s,
        in_force=in_force,
    )
    return state, look


def _pruned(marks: dict[str, Mark], observation: Observation) -> dict[str, Mark]:
    """Marks of instances long gone are let go once there are many, so that the state stays small."""
    if len(marks) <= _MAXIMUM_MARKS:
        return marks
    present = {reading.key for reading in observation.readings}
    return {key: mark for key, mark in marks.items() if key in present}


def _transition(state: State, look: _Look) -> State:
    if state.phase is Phase.ROLLING_BACK:
        return _rolling_back(state, look)
    if state.phase in (Phase.ROLLED_BACK, Phase.FAILED):
        return state
    if state.phase is Phase.PROMOTED and state.phase_s > look.rules.keep_warm_s:
        return state
    if look.observation.commands.abort:
        return _roll_back(state, "aborted by hand")
    if state.phase in (Phase.PENDING, Phase.AWAITING_APPROVAL):
        return _starting(state, look)
    if objection := _objection(state, look):
        return _roll_back(state, objection)
    if state.phase is Phase.PROMOTING:
        return _promoting(state, look)
    return state if state.phase is Phase.PROMOTED else _waiting(state, look)


def _enter(state: State, phase: Phase, reason: str) -> State:
    if state.phase is phase:
        return replace(state, reason=reason)
    return replace(state, phase=phase, reason=reason, phase_s=0.0, quiet=0)


def _roll_back(state: State, reason: str) -> State:
    return replace(_enter(state, Phase.ROLLING_BACK, reason), weight_pct=0.0, mirror=False)


def _starting(state: State, look: _Look) -> State:
    seen, rules = look.observation, look.rules
    if seen.canary == "dead":
        return _enter(state, Phase.FAILED, "the new release ended before it was ready")
    if seen.canary != "ready" or seen.baseline != "ready":
        if state.phase is Phase.PENDING and state.phase_s > rules.startup_s:
            return _enter(state, Phase.FAILED, f"not ready within {rules.startup_s:g} s")
        who = "the new release" if seen.canary != "ready" else "the version in service"
        return replace(state, reason=f"waiting until {who} is ready")
    if not seen.commands.approved:
        return _enter(state, Phase.AWAITING_APPROVAL, "waiting for an approval")
    if rules.shadow:
        return replace(_enter(state, Phase.SHADOWING, "requests are mirrored to the new release"), mirror=True)
    return _at_step(state, 0, rules)


def _at_step(state: State, step: int, rules: RolloutRules) -> State:
    weight = float(rules.steps[step].weight_pct)
    state = _enter(state, Phase.PROGRESSING, f"step {step + 1} of {len(rules.steps)}: {weight:g} % of the requests")
    return replace(state, step=step, weight_pct=weight, mirror=False, step_s=0.0, evidence=state.evidence.next_step())


def _objection(state: State, look: _Look) -> str:
    """Why the release must be taken back now; empty when nothing says so."""
    if look.observation.canary == "dead":
        return "the new release has died"
    if state.unready_s > look.rules.unready_s:
        return f"the new release was not ready for {state.unready_s:.3g} s"
    return next((f"{result.name}: {result.sentence}" for result in look.results if result.finding == "bad"), "")


def _waiting(state: State, look: _Look) -> State:
    """A step, or the shadow before the first: go on, hold or give up."""
    rules = look.rules
    if look.observation.commands.promote:
        return _promote(state, "promoted by hand")
    if not look.observation.commands.paused and (exhausted := _exhausted(state, rules)):
        if rules.on_deadline == "roll_back":
            return _roll_back(state, exhausted)
        return _enter(state, Phase.HOLDING, f"{exhausted}; a person must decide")
    if obstacle := _obstacle(look):
        return _enter(state, Phase.HOLDING, obstacle)
    shadowing = state.mirror
    step = min(state.step, len(rules.steps) - 1)
    needed = rules.shadow if shadowing and rules.shadow else rules.steps[step]
    state = _enter(state, Phase.SHADOWING if shadowing else Phase.PROGRESSING, state.reason)
    if missing := _missing(state, look, needed.minimum_time_s, needed.minimum_requests):
        return replace(state, reason=missing)
    if shadowing:
        return _at_step(state, 0, rules)
    if step + 1 < len(rules.steps):
        return _at_step(state, step + 1, rules)
    return _promote(state, "every test gave positive evidence at every step")


def _promote(state: State, reason: str) -> State:
    return replace(_enter(state, Phase.PROMOTING, reason), weight_pct=100.0, mirror=False)


def _exhausted(state: State, rules: RolloutRules) -> str:
    if state.trial_s >= rules.deadline_s:
        return f"not enough evidence within {rules.deadline_s:g} s"
    if rules.maximum_requests is not None and state.exposed >= rules.maximum_requests:
        return f"not enough evidence within {rules.maximum_requests} requests"
    return ""


def _obstacle(look: _Look) -> str:
    """Why the trial can learn nothing now, which says nothing against the release."""
    seen = look.observation
    if seen.commands.paused:
        return "paused by hand"
    if look.incident:
        return "the version in service misses the service level too: an incident, not this release"
    if seen.baseline != "ready":
        return f"the version in service is {seen.baseline}"
    if seen.canary != "ready":
        return f"the new release is {seen.canary}"
    if seen.weight_pct is None:
        return "the gateway's configuration could not be read"
    if not seen.readings:
        return "no counters could be read"
    return ""


def _missing(state: State, look: _Look, minimum_time_s: float, minimum_requests: int) -> str:
    """What the step still needs; empty when it is complete."""
    if not look.in_force:
        return f"the gateway has not taken the share of {state.weight_pct:g} % yet"
    undecided = [result for result in look.results if result.required and result.finding != "good"]
    if undecided:
        return f"{undecided[0].name}: {undecided[0].sentence}"
    answered = state.evidence.step_canary.requests
    if answered < minimum_requests:
        return f"{answered} of {minimum_requests} requests at this step"
    if state.step_s < minimum_time_s:
        return f"{state.step_s:.1f} of {minimum_time_s:g} s at this step"
    return ""


def _confirmed(state: State, look: _Look, arm: Arm) -> State:
    """Count looks in which the gateway has the share and its counters show no more requests to `arm`."""
    quiet = look.in_force and look.interval.total(arm).requests == 0
    return replace(state, quiet=state.quiet + 1 if quiet else 0)


def _promoting(state: State, look: _Look) -> State:
    state = _confirmed(state, look, "baseline")
    if state.quiet < _QUIET_LOOKS:
        return state
    return _enter(state, Phase.PROMOTED, state.reason)


def _rolling_back(state: State, look: _Look) -> State:
    state = _confirmed(state, look, "canary")
    return _enter(state, Phase.ROLLED_BACK, state.reason) if state.quiet >= _QUIET_LOOKS else state


def _action(state: State, look: _Look) -> Action:
    seen, rules = look.observation, look.rules
    urgent = state.phase is Phase.ROLLING_BACK
    wrong_weight = seen.weight_pct != state.weight_pct if seen.weight_pct is not None else urgent
    wrong_mirror = seen.mirrored != state.mirror if seen.mirrored is not None else urgent
    warm = state.phase is Phase.PROMOTED and state.phase_s <= rules.keep_warm_s
    removable: Arm | None = None
    if state.phase in ENDS and not warm:
        removable = "baseline" if state.phase is Phase.PROMOTED else "canary"
    moving = state.phase in (Phase.ROLLING_BACK, Phase.PROMOTING)
    return Action(
        set_weight_pct=state.weight_pct if wrong_weight else None,
        set_mirror=state.mirror if wrong_mirror else None,
        may_remove=removable,
        finished=state.phase in ENDS and not warm and not wrong_weight,
        page=state.phase is Phase.HOLDING and not seen.commands.paused,
        look_again_s=rules.interval_s / 5.0 if moving else rules.interval_s,
        results=look.results,
    )

"""Joins `decide` to the world: look, decide, act, remember, tell; again until nothing remains to be done.

What is decided is acted on before it is written down: a full disk or a lost API server must not keep a rollback
waiting. Acting twice does no harm, so a crash between the two does none either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.decide import Action, decide
from tallystick.components.rollout_controller.ports import (
    Clock,
    Events,
    Memory,
    Observer,
    RetryableError,
    Traffic,
    Workloads,
)
from tallystick.components.rollout_controller.state import State


@dataclass(frozen=True, kw_only=True)
class World:
    """All ports of one rollout."""

    traffic: Traffic
    observer: Observer
    workloads: Workloads
    memory: Memory
    events: Events
    clock: Clock


def take_turn(state: State, world: World, rules: RolloutRules) -> tuple[State, Action]:
    """One look and what follows from it. A port that fails retryably is tried again at the next look."""
    observation = world.observer.observe()
    now = world.clock.now()
    state, action = decide(state, observation, now, rules=rules)
    if action.set_weight_pct is not None or action.set_mirror is not None:
        _try(lambda: world.traffic.apply(weight_pct=state.weight_pct, mirror=state.mirror))
    if action.may_remove is not None:
        arm = action.may_remove
        _try(lambda: world.workloads.remove(arm))
    _try(lambda: world.memory.save(state))
    world.events.tell(state, observation, action, now)
    return state, action


def run(world: World, rules: RolloutRules, *, stop: Callable[[], bool] = lambda: False) -> State:
    """Drive one rollout to its end, from where it was left.

    Parameters
    ----------
    stop
        Asked after each look; True leaves the rollout as it is.
    """
    state = world.memory.load() or State()
    while True:
        state, action = take_turn(state, world, rules)
        if action.finished or stop():
            return state
        world.clock.sleep(action.look_again_s)


def _try(act: Callable[[], None]) -> bool:
    try:
        act()
    except RetryableError:
        return False
    return True

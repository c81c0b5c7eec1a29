"""A site in memory: counters that grow as told, a gateway that takes weights, everything else set by the test."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.counting import add
from tallystick.components.rollout_controller.decide import Action, decide
from tallystick.components.rollout_controller.observation import Commands, Counts, Observation, Reading
from tallystick.components.rollout_controller.state import State

EDGES = (0.1, 0.25, 0.5, 1.0)


def rules(**changes) -> RolloutRules:
    values = {
        "steps": [
            {"weight_pct": 10, "minimum_time_s": 2, "minimum_requests": 40},
            {"weight_pct": 50, "minimum_time_s": 2, "minimum_requests": 40},
        ],
        "service_level": {"maximum_p99_s": 0.5, "maximum_slow_rate": 0.05},
        "interval_s": 1.0,
        "deadline_s": 600.0,
        "keep_warm_s": 5.0,
        "unready_s": 3.0,
        "startup_s": 30.0,
    }
    return RolloutRules.model_validate({**values, **changes})


@dataclass
class Behaviour:
    """How an arm answers: share of errors, of answers slower than each edge, and its score bins."""

    errors: float = 0.0
    refused: float = 0.0
    slow: float = 0.0
    took_s: float = 0.05
    bins: tuple[float, ...] = (0.1,) * 10
    adverse: float = 0.1


@dataclass
class FakeSite:
    rules: RolloutRules
    canary: Behaviour = field(default_factory=Behaviour)
    baseline: Behaviour = field(default_factory=Behaviour)
    per_look: int = 200
    seed: int = 1
    weight: float = 0.0
    mirrored: bool = False
    now: float = 1000.0
    ready: dict = field(default_factory=lambda: {"canary": "ready", "baseline": "ready"})
    commands: Commands = field(default_factory=Commands)
    state: State = field(default_factory=State)
    action: Action = field(default_factory=Action)
    gateway_readable: bool = True
    counters_readable: bool = True

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        history = Counts(requests=10**6, timed=10**6, within=tuple((edge, 10**6) for edge in EDGES))
        self.totals = {"canary": history, "baseline": history}
        self.started = {"canary": "c0", "baseline": "b0"}

    def traffic(self, count: int) -> None:
        """Requests arrive and are answered."""
        canary = int(self.random.binomial(count, self.weight / 100.0))
        self.answer("canary", canary + (count - canary if self.mirrored else 0))
        self.answer("baseline", count - canary)

    def answer(self, arm: str, count: int) -> None:
        how: Behaviour = getattr(self, arm)
        failed = int(self.random.binomial(count, how.errors))
        refused = int(self.random.binomial(count - failed, how.refused))
        slow = int(self.random.binomial(count, how.slow))
        good = count - failed - refused
        adverse = int(self.random.binomial(good, how.adverse))
        self.totals[arm] = add(
            [
                self.totals[arm],
                Counts(
                    requests=count, failed=failed, refused=refused, timed=count,
                    within=tuple((edge, count - slow if edge >= how.took_s else 0) for edge in EDGES),
                    scores=tuple(int(n) for n in self.random.multinomial(good, how.bins)),
                    adverse=adverse, favourable=good - adverse,
                ),
            ]
        )  # fmt: skip

    def observe(self) -> Observation:
        readings = tuple(
            Reading(arm=arm, source="gateway", instance=arm, started=self.started[arm], counts=self.totals[arm])
            for arm in ("canary", "baseline")
        )
        return Observation(
            readings=readings if self.counters_readable else (),
            canary=self.ready["canary"],
            baseline=self.ready["baseline"],
            weight_pct=self.weight if self.gateway_readable else None,
            mirrored=self.mirrored if self.gateway_readable else None,
            commands=self.commands,
        )

    def look(self, *, seconds: float = 1.0, act: bool = True) -> State:
        self.now += seconds
        self.state, self.action = decide(self.state, self.observe(), self.now, rules=self.rules)
        if act:
            self.act()
        return self.state

    def act(self) -> None:
        if self.action.set_weight_pct is not None:
            self.weight = self.action.set_weight_pct
        if self.action.set_mirror is not None:
            self.mirrored = self.action.set_mirror

    def turn(self, count: int = 1) -> State:
        for _ in range(count):
            self.traffic(self.per_look)
            self.look()
        return self.state

    def run(self, looks: int = 400) -> State:
        for _ in range(looks):
            self.turn()
            if self.action.finished:
                break
        return self.state

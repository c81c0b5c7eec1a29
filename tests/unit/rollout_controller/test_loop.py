"""The loop between decisions and the world: what fails outside is tried again, and keeps no rollback waiting."""

from __future__ import annotations

from tallystick.components.rollout_controller.loop import World, run, take_turn
from tallystick.components.rollout_controller.ports import RetryableError
from tallystick.components.rollout_controller.state import Phase, State
from tests.unit.rollout_controller.fake_site import Behaviour, FakeSite, rules


class Outside:
    """All ports over a site in memory; `broken` names those that fail."""

    def __init__(self, site: FakeSite, *broken: str) -> None:
        self.site, self.broken = site, set(broken)
        self.saved: State | None = None
        self.removed: list[str] = []
        self.told: list[Phase] = []
        self.slept: list[float] = []

    def observe(self):
        self.site.traffic(200)
        return self.site.observe()

    def apply(self, *, weight_pct, mirror):
        if "traffic" in self.broken:
            raise RetryableError("the gateway takes nothing")
        self.site.weight, self.site.mirrored = weight_pct, mirror

    def remove(self, arm):
        if "workloads" in self.broken:
            raise RetryableError("no answer")
        self.removed.append(arm)

    def load(self):
        return self.saved

    def save(self, state):
        if "memory" in self.broken:
            raise RetryableError("the disk is full")
        self.saved = state

    def tell(self, state, observation, action, now):
        self.told.append(state.phase)

    def now(self):
        return self.site.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.site.now += seconds

    @property
    def world(self) -> World:
        return World(traffic=self, observer=self, workloads=self, memory=self, events=self, clock=self)


def test_a_release_is_driven_to_its_end_and_the_old_version_removed():
    outside = Outside(FakeSite(rules()))
    assert run(outside.world, outside.site.rules).phase is Phase.PROMOTED
    assert outside.removed == ["baseline"]
    assert outside.told[-1] is Phase.PROMOTED


def test_a_full_disk_keeps_no_rollback_waiting():
    outside = Outside(FakeSite(rules(), canary=Behaviour(errors=1.0)), "memory")
    assert run(outside.world, outside.site.rules).phase is Phase.ROLLED_BACK
    assert outside.site.weight == 0
    assert outside.saved is None


def test_a_gateway_that_takes_nothing_is_written_again_until_it_does():
    outside = Outside(FakeSite(rules(), canary=Behaviour(errors=1.0)))
    state = State()
    while state.phase is not Phase.ROLLING_BACK:
        outside.broken = {"traffic"} if state.weight_pct > 0 and outside.site.weight > 0 else set()
        state, _ = take_turn(state, outside.world, outside.site.rules)
        outside.sleep(1.0)
    for _ in range(5):
        state, action = take_turn(state, outside.world, outside.site.rules)
        assert (state.phase, action.set_weight_pct) == (Phase.ROLLING_BACK, 0)
    outside.broken = set()
    for _ in range(3):
        state, _ = take_turn(state, outside.world, outside.site.rules)
    assert state.phase is Phase.ROLLED_BACK


def test_a_stopped_engine_goes_on_where_it_was():
    outside = Outside(FakeSite(rules()))
    stopped = run(outside.world, outside.site.rules, stop=lambda: outside.saved is not None and outside.saved.step == 1)
    assert (stopped.phase, stopped.step) == (Phase.PROGRESSING, 1)
    assert run(outside.world, outside.site.rules).phase is Phase.PROMOTED
    assert outside.told.count(Phase.PENDING) <= 1


def test_while_traffic_moves_the_looks_are_closer_together():
    outside = Outside(FakeSite(rules(), canary=Behaviour(errors=1.0)))
    run(outside.world, outside.site.rules)
    assert min(outside.slept) == 0.2
    assert max(outside.slept) == 1.0


def test_a_workload_that_cannot_be_removed_does_not_stop_the_end():
    outside = Outside(FakeSite(rules(), canary=Behaviour(errors=1.0)), "workloads")
    assert run(outside.world, outside.site.rules).phase is Phase.ROLLED_BACK
    assert outside.removed == []

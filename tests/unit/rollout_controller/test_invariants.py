"""What must hold whatever happens: hypothesis plays traffic, faults, people and time against the engine."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.components.rollout_controller.decide import decide
from tallystick.components.rollout_controller.observation import Commands, Counts
from tallystick.components.rollout_controller.state import Phase, State
from tests.unit.rollout_controller.fake_site import EDGES, Behaviour, FakeSite, rules

TAKEN_BACK = (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
IN_STEP = (Phase.PROGRESSING, Phase.HOLDING)
behaviours = st.builds(
    Behaviour,
    errors=st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.3, 1.0]),
    refused=st.sampled_from([0.0, 0.0, 0.2]),
    slow=st.sampled_from([0.0, 0.0, 0.0, 0.3]),
    bins=st.sampled_from([(0.1,) * 10, (0.1,) * 10, (0.0,) * 8 + (0.5,) * 2]),
)


def total(counts: Counts) -> tuple[int, ...]:
    return (counts.requests, counts.failed, counts.refused, counts.timed, sum(counts.scores), counts.adverse)


class Rollout(RuleBasedStateMachine):
    @initialize(
        shadow=st.booleans(),
        canary=behaviours,
        baseline=st.sampled_from([Behaviour(), Behaviour(errors=0.01)]),
        on_deadline=st.sampled_from(["hold", "roll_back"]),
        approved=st.booleans(),
    )
    def begin(self, shadow, canary, baseline, on_deadline, approved):
        changes = {"shadow": {"minimum_time_s": 1, "minimum_requests": 20}} if shadow else {}
        self.site = FakeSite(
            rules(on_deadline=on_deadline, deadline_s=60.0, **changes), canary=canary, baseline=baseline
        )
        self.site.commands = Commands(approved=approved)
        self.taken_back = False
        self.highest = 0.0

    def look(self, seconds: float, *, act: bool = True) -> None:
        site, before = self.site, self.site.state
        seen, commands = site.observe(), site.commands
        site.look(seconds=seconds, act=False)
        after, action = site.state, site.action
        # a restart at any point gives the same decision
        again = State.from_json(json.loads(json.dumps(before.to_json(), allow_nan=False)))
        assert decide(again, seen, site.now, rules=site.rules) == (after, action)
        # the same look once more adds nothing to what is known
        repeated, _ = decide(after, seen, site.now, rules=site.rules)
        assert total(repeated.evidence.canary) == total(after.evidence.canary)
        assert repeated.evidence.harm == {**repeated.evidence.harm, **after.evidence.harm}
        assert repeated.trial_s == after.trial_s
        # the share rises only on positive evidence for every required test, or by hand
        if after.weight_pct > before.weight_pct:
            shown = all(result.finding == "good" for result in action.results if result.required)
            first = before.weight_pct == 0 and not before.mirror and commands.approved
            assert shown or first or commands.promote
            assert not any(result.finding == "bad" for result in action.results)
        # never above the step
        if after.phase in IN_STEP:
            assert after.weight_pct <= site.rules.steps[after.step].weight_pct
        # taken back is taken back
        if before.phase in TAKEN_BACK:
            assert after.phase in TAKEN_BACK
        # harm in the trial is answered in the same look
        if before.phase in (Phase.SHADOWING, *IN_STEP) and any(r.finding == "bad" for r in action.results):
            assert after.phase is Phase.ROLLING_BACK
        # what is desired wins
        if seen.weight_pct is not None and seen.weight_pct != after.weight_pct:
            assert action.set_weight_pct == after.weight_pct
        if after.phase in TAKEN_BACK:
            assert after.weight_pct == 0
            assert not after.mirror
        if action.may_remove == "baseline":
            assert after.phase is Phase.PROMOTED
        if act:
            site.act()

    @rule(requests=st.integers(0, 400), seconds=st.floats(0.1, 5.0))
    def traffic_and_a_look(self, requests, seconds):
        self.site.traffic(requests)
        self.look(seconds)

    @rule()
    def many_quiet_looks(self):
        for _ in range(4):
            self.site.traffic(200)
            self.look(1.0)

    @rule(requests=st.integers(0, 300))
    def a_look_whose_action_is_lost(self, requests):
        self.site.traffic(requests)
        self.look(1.0, act=False)

    @rule(seconds=st.floats(-1e6, 1e6))
    def the_clock_jumps(self, seconds):
        self.look(seconds)

    @rule(weight=st.sampled_from([0.0, 5.0, 30.0, 100.0]))
    def others_change_the_gateway(self, weight):
        self.site.weight = weight

    @rule(arm=st.sampled_from(["canary", "baseline"]))
    def a_process_starts_anew(self, arm):
        self.site.started[arm] += "x"
        self.site.totals[arm] = Counts(within=tuple((edge, 0) for edge in EDGES))

    @rule(arm=st.sampled_from(["canary", "baseline"]))
    def a_stale_reading_comes_late(self, arm):
        fresh = self.site.totals[arm]
        self.site.totals[arm] = replace(fresh, requests=max(0, fresh.requests - 50))
        before = self.site.state.evidence.canary
        self.look(1.0)
        assert self.site.state.evidence.canary.requests >= before.requests
        self.site.totals[arm] = fresh

    @rule(
        canary=st.sampled_from(["ready", "ready", "starting", "unready", "unknown"]),
        baseline=st.sampled_from(["ready", "ready", "unready", "dead", "unknown"]),
    )
    def readiness_changes(self, canary, baseline):
        self.site.ready = {"canary": canary, "baseline": baseline}

    @rule()
    def all_is_ready(self):
        self.site.ready = {"canary": "ready", "baseline": "ready"}
        self.site.counters_readable = self.site.gateway_readable = True

    @rule()
    def the_canary_dies(self):
        self.site.ready["canary"] = "dead"
        in_trial = self.site.state.phase in (Phase.SHADOWING, *IN_STEP, Phase.PROMOTING)
        self.look(1.0)
        if in_trial:
            assert self.site.state.phase is Phase.ROLLING_BACK

    @rule(counters=st.booleans(), gateway=st.booleans())
    def telemetry_goes(self, counters, gateway):
        self.site.counters_readable, self.site.gateway_readable = counters, gateway

    @rule(paused=st.booleans(), approved=st.booleans(), abort=st.sampled_from([False] * 9 + [True]))
    def people_command(self, paused, approved, abort):
        self.site.commands = Commands(paused=paused, approved=approved, abort=abort)

    @precondition(lambda self: self.site.state.phase in IN_STEP)
    @rule()
    def promoted_by_hand(self):
        self.site.commands = Commands(promote=True)
        self.look(1.0)
        self.site.commands = Commands()

    @rule(canary=behaviours)
    def the_canary_changes(self, canary):
        self.site.canary = canary

    @invariant()
    def what_is_known_is_finite(self):
        if hasattr(self, "site"):
            json.dumps(self.site.state.to_json(), allow_nan=False)
            for result in self.site.action.results:
                assert 0 <= result.e_bad < float("inf")
                assert 0 <= result.e_good < float("inf")

    def teardown(self):
        """However it went, a rollback comes to its end once the gateway takes it."""
        if hasattr(self, "site") and self.site.state.phase is Phase.ROLLING_BACK:
            self.all_is_ready()
            for _ in range(6):
                self.site.traffic(100)
                self.look(1.0)
            assert self.site.state.phase is Phase.ROLLED_BACK


TestRollout = Rollout.TestCase
TestRollout.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

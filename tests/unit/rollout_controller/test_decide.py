"""Decisions phase by phase, on a site in memory."""

from __future__ import annotations

import json

import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.rollout_controller.decide import decide
from tallystick.components.rollout_controller.observation import Commands, Observation
from tallystick.components.rollout_controller.state import Phase, State
from tests.unit.rollout_controller.fake_site import Behaviour, FakeSite, rules


def test_a_healthy_release_goes_step_by_step_to_promotion_and_the_old_version_may_then_go():
    site = FakeSite(rules())
    weights, phases = [], []
    for _ in range(60):
        site.turn()
        if not weights or weights[-1] != site.state.weight_pct:
            weights.append(site.state.weight_pct)
        if not phases or phases[-1] != site.state.phase:
            phases.append(site.state.phase)
        if site.action.finished:
            break
    assert weights == [10, 50, 100]
    assert phases == [Phase.PROGRESSING, Phase.PROMOTING, Phase.PROMOTED]
    assert site.action.may_remove == "baseline"


def test_without_one_error_in_either_arm_there_is_still_evidence_of_health():
    site = FakeSite(rules())
    assert site.run().phase is Phase.PROMOTED
    assert site.state.evidence.canary.failed == site.state.evidence.baseline.failed == 0


@pytest.mark.parametrize(
    ("canary", "word"),
    [
        (Behaviour(errors=1.0), "errors"),
        (Behaviour(errors=0.2), "errors"),
        (Behaviour(refused=0.5), "errors"),
        (Behaviour(slow=0.5), "slow"),
        (Behaviour(took_s=0.6), "slow"),
        (Behaviour(bins=(0.0,) * 5 + (0.2,) * 5), "scores"),
        (Behaviour(bins=(0.9,) + (0.1 / 9,) * 9), "scores"),
        (Behaviour(adverse=0.6), "decisions"),
    ],
)
def test_each_kind_of_harm_is_taken_back_for_its_own_reason(canary, word):
    site = FakeSite(rules(), canary=canary)
    assert site.run().phase is Phase.ROLLED_BACK
    assert site.state.reason.startswith(word)
    assert site.weight == 0
    assert site.action.may_remove == "canary"


def test_a_healthy_baseline_with_a_few_errors_beside_a_like_canary_is_promoted():
    site = FakeSite(rules(), canary=Behaviour(errors=0.01), baseline=Behaviour(errors=0.01))
    assert site.run().phase is Phase.PROMOTED


def test_a_shift_of_the_population_that_hits_both_arms_changes_nothing():
    shifted = (0.02,) * 5 + (0.18,) * 5
    site = FakeSite(rules(), canary=Behaviour(bins=shifted, adverse=0.4), baseline=Behaviour(bins=shifted, adverse=0.4))
    assert site.run().phase is Phase.PROMOTED


def test_a_difference_of_scores_within_the_tolerated_psi_is_promoted():
    tilted = tuple(0.1 + 0.005 * (j - 4.5) for j in range(10))  # PSI 0.02
    site = FakeSite(rules(), canary=Behaviour(bins=tilted))
    assert site.run().phase is Phase.PROMOTED


def test_a_model_that_is_slower_yet_fast_enough_is_promoted():
    site = FakeSite(rules(service_level={"maximum_p99_s": 1.0, "maximum_slow_rate": 0.05}))
    site.baseline, site.canary = Behaviour(took_s=0.01), Behaviour(took_s=0.2)  # under a quarter of the limit
    assert site.run().phase is Phase.PROMOTED


def test_an_incident_on_both_arms_holds_and_takes_nothing_back():
    site = FakeSite(rules())
    site.turn(4)
    site.canary = site.baseline = Behaviour(errors=0.5)
    for _ in range(60):
        site.turn()
        assert site.state.weight_pct == 10
    assert site.state.phase is Phase.HOLDING
    assert "incident" in site.state.reason
    assert site.action.page


def test_the_absolute_guard_speaks_when_the_baseline_gets_nothing():
    site = FakeSite(rules(), canary=Behaviour(errors=0.3))
    site.turn()
    for _ in range(20):
        site.answer("canary", 20)
        site.look()
    assert site.state.phase is Phase.ROLLING_BACK
    assert site.state.reason.startswith("service_level_errors")


def test_no_traffic_is_a_hold_until_the_deadline_says_otherwise():
    held = FakeSite(rules(deadline_s=20.0, on_deadline="hold"), per_look=0)
    held.turn(40)
    assert (held.state.phase, held.weight) == (Phase.HOLDING, 10)
    returned = FakeSite(rules(deadline_s=20.0), per_look=0)
    returned.turn(40)
    assert returned.state.phase is Phase.ROLLED_BACK
    assert "not enough evidence within 20 s" in returned.state.reason


def test_exposure_is_bounded_in_requests():
    site = FakeSite(rules(maximum_requests=60, comparison={"beta": 1e-9}))
    site.run()
    assert site.state.phase is Phase.ROLLED_BACK
    assert 60 <= site.state.exposed <= 120


def test_missing_counters_hold_and_are_not_taken_for_failure():
    site = FakeSite(rules())
    site.turn(2)
    site.counters_readable = False
    site.turn(30)
    assert (site.state.phase, site.state.weight_pct) == (Phase.HOLDING, 10)
    site.counters_readable = True
    assert site.run().phase is Phase.PROMOTED


def test_a_dead_canary_is_taken_back_at_the_next_look_and_an_unready_one_after_its_time():
    site = FakeSite(rules())
    site.turn(2)
    site.ready["canary"] = "dead"
    assert site.look().phase is Phase.ROLLING_BACK
    site = FakeSite(rules())
    site.turn(2)
    site.ready["canary"] = "unready"
    assert [site.look().phase for _ in range(4)] == [Phase.HOLDING] * 3 + [Phase.ROLLING_BACK]


def test_a_canary_that_never_comes_up_fails_without_having_moved_anything():
    site = FakeSite(rules())
    site.ready["canary"] = "starting"
    assert {site.look().phase for _ in range(31)} == {Phase.PENDING}
    assert site.look().phase is Phase.FAILED
    assert site.weight == 0
    assert site.action.finished


def test_a_rollback_is_confirmed_in_the_data_plane_before_it_is_called_done():
    site = FakeSite(rules())
    site.turn(2)
    site.ready["canary"] = "dead"
    site.look(act=False)  # the gateway does not take the weight
    for _ in range(5):
        site.traffic(100)
        assert site.look(act=False).phase is Phase.ROLLING_BACK
        assert site.action.set_weight_pct == 0
    site.act()
    site.traffic(100)
    site.look()
    assert site.look().phase is Phase.ROLLED_BACK


def test_a_rollback_is_written_even_when_the_gateway_cannot_be_read():
    site = FakeSite(rules())
    site.turn(2)
    site.gateway_readable, site.counters_readable = False, False
    site.ready["canary"] = "dead"
    assert site.look().phase is Phase.ROLLING_BACK
    assert site.action.set_weight_pct == 0


def test_what_others_change_in_the_gateway_is_set_right_and_counts_for_no_step():
    site = FakeSite(rules())
    site.turn(2)
    site.weight = 80.0
    site.look(act=False)
    assert site.action.set_weight_pct == 10
    assert site.state.evidence.step_canary.requests == 0


def test_people_can_pause_resume_promote_and_abort():
    site = FakeSite(rules())
    site.turn(2)
    site.commands = Commands(paused=True)
    site.turn(50)
    assert (site.state.phase, site.weight, site.action.page) == (Phase.HOLDING, 10, False)
    site.commands = Commands()
    site.turn(1)
    assert site.state.phase is Phase.PROGRESSING
    site.commands = Commands(promote=True)
    assert site.look().phase is Phase.PROMOTING
    site.commands = Commands(abort=True)
    assert site.look().phase is Phase.ROLLING_BACK


def test_a_bad_release_cannot_be_promoted_by_hand():
    site = FakeSite(rules(), canary=Behaviour(errors=0.9))
    site.commands = Commands(promote=False)
    site.turn(1)
    site.commands = Commands(promote=True)
    site.turn(2)
    site.turn(3)
    assert site.state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)


def test_approval_is_waited_for():
    site = FakeSite(rules())
    site.commands = Commands(approved=False)
    site.turn(100)
    assert (site.state.phase, site.weight) == (Phase.AWAITING_APPROVAL, 0)
    site.commands = Commands(approved=True)
    site.turn(1)
    assert site.state.phase is Phase.PROGRESSING


def test_the_shadow_comes_first_and_a_bad_one_never_serves():
    shadowed = rules(shadow={"minimum_time_s": 2, "minimum_requests": 50})
    site = FakeSite(shadowed)
    site.turn(1)
    assert (site.state.phase, site.weight, site.mirrored) == (Phase.SHADOWING, 0, True)
    assert site.run().phase is Phase.PROMOTED
    bad = FakeSite(shadowed, canary=Behaviour(bins=(1.0,) + (0.0,) * 9))
    bad.run()
    assert bad.state.phase is Phase.ROLLED_BACK
    assert (bad.state.exposed, bad.mirrored) == (0, False)


def test_a_failure_after_the_promotion_returns_to_the_old_version_while_it_is_warm():
    site = FakeSite(rules(keep_warm_s=30.0))
    while site.turn().phase is not Phase.PROMOTED:
        pass
    site.canary = Behaviour(errors=0.8)
    site.turn(3)
    assert site.state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    assert site.weight == 0


def test_health_is_shown_anew_at_each_step():
    site = FakeSite(rules())
    while site.state.step == 0:
        site.turn()
    assert site.state.evidence.health == {}
    assert site.state.evidence.step_canary.requests == 0
    assert site.state.evidence.canary.requests > 0


def test_a_clock_set_back_or_far_ahead_does_not_end_a_trial():
    site = FakeSite(rules(deadline_s=100.0))
    site.turn(3)
    site.now -= 10_000
    site.turn(3)
    assert site.state.phase is Phase.PROGRESSING
    site.now += 10_000
    site.turn(1)
    assert site.state.phase is not Phase.ROLLING_BACK
    assert site.state.trial_s < 20


def test_state_survives_json_and_garbage_is_refused():
    site = FakeSite(rules(), canary=Behaviour(errors=0.02), baseline=Behaviour(errors=0.01))
    site.turn(6)
    text = json.dumps(site.state.to_json(), allow_nan=False)
    assert State.from_json(json.loads(text)) == site.state
    assert len(text) < 20_000
    for garbage in ({}, {"format": 2}, {**site.state.to_json(), "phase": "Lost"}, {"format": 1, "phase": 3}):
        with pytest.raises(InputError):
            State.from_json(garbage)


def test_an_empty_observation_is_no_trouble_in_any_phase():
    for phase in Phase:
        state, action = decide(State(phase=phase), Observation(), 5.0, rules=rules())
        assert state.weight_pct == 0
        assert not (action.finished and state.phase not in (Phase.PROMOTED, Phase.ROLLED_BACK, Phase.FAILED))


def test_one_look_at_which_the_machine_stood_still_takes_nothing_back_and_three_do():
    stalled = FakeSite(rules())
    stalled.turn(4)
    stalled.canary = Behaviour(slow=0.9)
    stalled.turn()
    stalled.canary = Behaviour()
    assert stalled.run().phase is Phase.PROMOTED
    slow = FakeSite(rules())
    slow.turn(4)
    slow.canary = Behaviour(slow=0.9)
    slow.turn(3)
    assert slow.state.phase is Phase.ROLLING_BACK

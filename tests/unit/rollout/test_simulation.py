"""The simulation judges as the engine does, and its rules are what their tools document."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout import simulate
from tallystick.components.rollout.simulation import (
    FLAGGER,
    FixedRule,
    Scenario,
    Streams,
    draw,
    rolled_back_after_s,
    rolled_back_by_rule_s,
    tuned_rule,
)
from tallystick.components.rollout_controller.decide import decide
from tallystick.components.rollout_controller.observation import Counts, Observation, Reading
from tallystick.components.rollout_controller.state import Phase, State

RULES = RolloutRules.model_validate({"steps": [{"weight_pct": 10}], "comparison": {"beta": 1e-9}, "deadline_s": 1e6})


def scenario(**changes) -> Scenario:
    values = {
        "requests_per_s": 20.0, "weight_pct": 10.0, "baseline_rate": 0.02, "canary_rate": 0.02, "interval_s": 15.0,
        "duration_s": 600.0,
    }  # fmt: skip
    return Scenario(**{**values, **changes})


@pytest.mark.parametrize("canary_rate", [0.02, 0.1, 0.4])
def test_the_simulation_takes_back_when_the_engine_does(canary_rate):
    streams = draw(scenario(canary_rate=canary_rate), 12, np.random.default_rng(3))
    simulated = rolled_back_after_s(streams, RULES)
    for number in range(12):
        state, now, totals = State(), 0.0, {"canary": [0, 0], "baseline": [0, 0]}
        found = np.inf
        for look in range(-1, streams.scenario.looks):
            if look >= 0:
                for arm, n, k in (
                    ("canary", streams.n_canary, streams.k_canary),
                    ("baseline", streams.n_baseline, streams.k_baseline),
                ):
                    totals[arm][0] += int(n[number, look])
                    totals[arm][1] += int(k[number, look])
            readings = tuple(
                Reading(arm=arm, source="g", instance="g", started="1", counts=Counts(requests=n, failed=k))
                for arm, (n, k) in totals.items()
            )
            seen = Observation(
                readings=readings, canary="ready", baseline="ready", weight_pct=state.weight_pct, mirrored=False
            )
            now += 15.0
            state, _ = decide(state, seen, now, rules=RULES)
            if state.phase is Phase.ROLLING_BACK:
                found = (look + 1) * 15.0
                break
        assert found == simulated[number]


def streams_of(k_canary, n_canary) -> Streams:
    n, k = np.array([n_canary]), np.array([k_canary])
    return Streams(
        scenario=scenario(duration_s=15.0 * n.shape[1]), n_canary=n, k_canary=k, n_baseline=n, k_baseline=0 * k
    )


def test_flaggers_default_needs_one_bad_minute_and_one_more_tick():
    healthy_minute, bad_minute = [0, 0, 1, 0], [0, 2, 3, 0]  # of 100 each: 0.25 % and 1.25 %
    found = rolled_back_by_rule_s(streams_of(healthy_minute + bad_minute, [100] * 8), FLAGGER)
    assert found.tolist() == [180.0]
    assert rolled_back_by_rule_s(streams_of([0, 0, 4, 0], [100] * 4), FLAGGER).tolist() == [np.inf]  # 1 % itself
    assert rolled_back_by_rule_s(streams_of([0] * 4, [0] * 4), FLAGGER).tolist() == [120.0]  # no traffic: a failure


def test_a_rule_is_tuned_to_its_share_of_false_alarms():
    healthy = draw(scenario(), 4000, np.random.default_rng(5))
    rule = tuned_rule(healthy, window_s=60.0, false_rate=0.01)
    assert np.isfinite(rolled_back_by_rule_s(healthy, rule)).mean() <= 0.01
    sharper = FixedRule(name="", maximum_rate=rule.maximum_rate * 0.8, window_s=60.0, failures=1)
    assert np.isfinite(rolled_back_by_rule_s(healthy, sharper)).mean() > 0.01


def test_healthy_releases_are_rarely_taken_back_and_bad_ones_soon():
    random = np.random.default_rng(7)
    healthy = np.isfinite(rolled_back_after_s(draw(scenario(duration_s=1800.0), 2000, random), RULES)).mean()
    assert healthy <= 0.01
    broken = rolled_back_after_s(draw(scenario(canary_rate=1.0), 200, random), RULES)
    assert np.median(broken) == 15.0
    both = rolled_back_after_s(draw(scenario(canary_rate=0.3, baseline_rate=0.3), 500, random), RULES)
    assert np.isfinite(both).mean() < 0.01


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return parser.parse_args(given)


def test_the_command_answers_in_a_table_in_json_and_in_a_plot(tmp_path, capsys):
    from tests.support.documents import POLICY_YAML

    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY_YAML.replace("rollout:", "rollout:\n  deadline_s: 600"))
    chosen = (str(policy), "--trials", "50", "--fault", "0.5")
    assert simulate.run(options(*chosen, "--plot", str(tmp_path / "p.svg"))) == 0
    shown = capsys.readouterr().out
    assert "A healthy release is taken back" in shown
    assert shown.count("50 %") >= 3
    assert (tmp_path / "p.svg").read_text().startswith("<svg")
    assert simulate.run(options(*chosen, "--json")) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["weight_pct"] for row in answer["healthy"]] == [5.0, 25.0, 50.0]
    assert all(row["found"] == 1.0 for row in answer["faults"])


@pytest.mark.parametrize("wrong", [("--error-rate", "2"), ("--trials", "1"), ("--fault", "0")])
def test_impossible_settings_are_named(tmp_path, wrong):
    with pytest.raises(InputError, match=wrong[0]):
        simulate.run(options(str(tmp_path / "policy.yaml"), *wrong))
    with pytest.raises(InputError, match="cannot be read"):
        simulate.run(options(str(tmp_path / "policy.yaml")))

"""What a person sees: every step once it ends, in words, in a pipe as in a terminal."""

import io

import pytest
from rich.console import Console

from tallystick.pipelines.view import View

FAIL = {"summary": "fairness_gate_plain: fail: ratio 0.71 for Black applicants", "outcome": "fail"}


def event(step, kind, time, **values):
    return {"step": step, "kind": kind, "time": time, **values}


def shown(events, *, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)
    view = View(console, ("training", "fairness_gate_plain", "rollout"), "a release")
    with view:
        for one in events:
            view(one)
        if terminal:
            console.print(view)
    return console.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_refusal_is_shown_with_its_reason(terminal):
    text = shown(
        [
            event("fairness_gate_plain", "started", 1.0),
            event("fairness_gate_plain", "verdict", 2.0, verdict=FAIL),
            event("fairness_gate_plain", "finished", 3.5),
        ],
        terminal=terminal,
    )
    assert "✘" in text
    assert "0.71 for Black applicants" in text
    assert "2.5 s" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_failure_is_shown_with_its_message(terminal):
    text = shown(
        [event("training", "started", 1.0), event("training", "failed", 2.0, message="no room on the disk")],
        terminal=terminal,
    )
    assert "✖" in text
    assert "no room on the disk" in text


def test_the_split_of_the_traffic_is_drawn_while_a_trial_runs():
    traffic = {
        "rollout": "rollout",
        "phase": "Progressing",
        "weight_desired_pct": 25,
        "weight_observed_pct": 24.0,
        "canary_requests": 40,
        "baseline_requests": 120,
        "canary_errors": 1,
        "baseline_errors": 0,
        "reason": "waiting for evidence",
    }
    text = shown([event("rollout", "traffic", 2.0, **traffic)], terminal=True)
    assert "wanted 25 %" in text
    assert "seen 24 %" in text
    assert "waiting for evidence" in text


def test_in_a_pipe_traffic_is_told_only_when_it_changes():
    first = {"phase": "Progressing", "weight_desired_pct": 10, "weight_observed_pct": 9.0, "rollout": "rollout"}
    text = shown(
        [event("rollout", "traffic", t, **first) for t in (1.0, 2.0)]
        + [event("rollout", "traffic", 3.0, **{**first, "weight_desired_pct": 25})],
        terminal=False,
    )
    assert text.count("wanted 10 %") == 1
    assert text.count("wanted 25 %") == 1


def test_unknown_steps_are_left_out():
    assert "telemetry" not in shown([event("telemetry", "started", 1.0)], terminal=False)

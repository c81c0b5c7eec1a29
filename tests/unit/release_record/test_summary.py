"""The summary of runs that ended in every way, against its schema and against what was stated."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from tallystick.components import release_record
from tallystick.components.core.errors import ExitCode
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.storage import FolderStore
from tallystick.components.core.verdicts import Check, Outcome
from tallystick.components.release_record.logic import build_summary, write_record
from tests.support.schema import problems
from tests.support.statements import CHOSEN, DATA, RUN, digest, rollout, sample_statements, statement, verdict_statement

SCHEMA = json.loads((Path(release_record.__file__).parent / "summary.schema.json").read_text(encoding="utf-8"))
ORDER = (
    "data_validation",
    "training",
    "fairness_gate_plain",
    "alternatives",
    "fairness_gate",
    "evaluation",
    "explainability",
    "registration",
    "rollout",
    "rollout-errors",
)


def summary_of(statements, **options):
    summary = build_summary(statements, run_id=RUN, **options)
    assert problems(summary, SCHEMA) == []
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    return summary


def until(step: str):
    """The statements of a run that stopped after `step`."""
    statements = sample_statements()
    return {name: statements[name] for name in ORDER[: ORDER.index(step) + 1]}


def with_outcome(statements, step, outcome):
    changed = copy.deepcopy(statements)
    changed[step]["predicate"]["checks"][0]["outcome"] = outcome
    return changed


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"outcome": "fine"}, "$.outcome"),
        ({"exit_code": 7}, "$.exit_code"),
        ({"extra": 1}, "'extra'"),
        ({"seconds": "long"}, "$.seconds"),
        ({"rollouts": [{"name": "rollout"}]}, "$.rollouts[0]"),
        (
            {"digests": {**dict.fromkeys(("data", "dataset", "contract", "policy", "pipeline")), "model": "ab"}},
            "digests",
        ),
    ],
)
def test_the_schema_refuses_what_no_summary_may_be(change, named):
    found = problems({**summary_of(sample_statements()), **change}, SCHEMA)
    assert found
    assert named in found[0]


def test_a_promoted_run_tells_what_was_released_and_what_was_refused():
    summary = summary_of(sample_statements(), seconds=71.23456)
    assert (summary["outcome"], summary["exit_code"], summary["seconds"]) == ("promoted", 0, 71.235)
    assert "“boosting-fewer-features” passed every gate" in summary["headline"]
    assert "“boosting”, was refused: its adverse impact ratio for Black applicants is 0.73" in summary["headline"]
    assert summary["model"] == {"name": "boosting-fewer-features", "kind": "hist_gradient_boosting", "sha256": CHOSEN}
    assert summary["digests"] == {
        "data": DATA,
        "dataset": None,
        "contract": digest("contract"),
        "policy": digest("policy"),
        "model": CHOSEN,
        "pipeline": None,
    }
    assert [v["step"] for v in summary["verdicts"]] == [
        "data_validation",
        "fairness_gate_plain",
        "evaluation",
        "fairness_gate",
        "explainability",
    ]
    assert [(r["name"], r["phase"]) for r in summary["rollouts"]] == [
        ("rollout", "Promoted"),
        ("rollout-errors", "RolledBack"),
    ]


def test_figures_of_the_verdicts_are_those_that_were_stated():
    statements = sample_statements()
    summary = summary_of(statements)
    for verdict in summary["verdicts"]:
        assert verdict["checks"] == json.loads(json.dumps(statements[verdict["step"]]["predicate"]["checks"]))


@pytest.mark.parametrize("gate", ["data_validation", "evaluation", "fairness_gate", "explainability"])
@pytest.mark.parametrize("outcome", ["fail", "insufficient evidence"])
def test_a_shut_gate_is_a_refusal_with_its_reason(gate, outcome):
    summary = summary_of(with_outcome(until("explainability"), gate, outcome))
    assert (summary["outcome"], summary["exit_code"]) == ("refused", 3)
    detail = sample_statements()[gate]["predicate"]["checks"][0]["detail"]
    assert detail.lower() in summary["headline"].lower()


def test_an_unfair_plain_model_alone_refuses_nothing():
    assert summary_of(sample_statements())["outcome"] == "promoted"


def test_an_outcome_that_its_checks_do_not_bear_out_is_not_believed():
    statements = with_outcome(until("explainability"), "fairness_gate", "fail")
    statements["fairness_gate"]["predicate"]["outcome"] = "pass"
    assert summary_of(statements)["outcome"] == "refused"


def test_a_refused_registration_is_a_refusal_in_its_own_words():
    message = "home-loans has no champion to try the candidate against"
    summary = summary_of(until("explainability"), exit_code=ExitCode.GATE_REFUSED, message=message)
    assert (summary["outcome"], summary["exit_code"]) == ("refused", 3)
    assert message in summary["headline"]


def test_a_refusal_that_registration_stated_is_one_although_the_pipeline_only_says_that_it_failed():
    reason = "home-loans has no champion to try the candidate against"
    refused = {"registration_refused": statement("refusal", "home-loans", CHOSEN, {"reason": reason})}
    summary = summary_of(until("explainability") | refused, exit_code=ExitCode.BROKE, message="registration failed")
    assert (summary["outcome"], summary["exit_code"]) == ("refused", 3)
    assert reason in summary["headline"]
    assert summary_of(sample_statements() | refused)["outcome"] == "promoted"  # a later try registered it


def test_a_release_that_was_taken_back_is_rolled_back():
    statements = until("registration") | {"rollout": rollout("rollout", fault="answering errors")}
    summary = summary_of(statements)
    assert (summary["outcome"], summary["exit_code"]) == ("rolled_back", 4)
    assert "after 7.3 s" in summary["headline"]
    assert "12 customers got a bad answer" in summary["headline"]


def test_a_trial_that_could_not_be_held_broke():
    statements = until("rollout")
    statements["rollout"]["predicate"].update(phase="Failed", reason="the gateway did not come up")
    summary = summary_of(statements)
    assert (summary["outcome"], summary["exit_code"]) == ("broke", 1)
    assert "the gateway did not come up" in summary["headline"]


def test_a_bad_build_that_was_promoted_is_no_good_run():
    statements = sample_statements()
    statements["rollout-errors"]["predicate"]["phase"] = "Promoted"
    summary = summary_of(statements)
    assert (summary["outcome"], summary["exit_code"]) == ("broke", 1)
    assert "rollout-errors" in summary["headline"]


def test_a_run_that_ended_without_a_trial_and_without_a_refusal_broke():
    assert summary_of(until("registration"))["outcome"] == "broke"


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(ExitCode.BROKE, "broke"), (ExitCode.BAD_INPUT, "bad_input"), (ExitCode.INTERRUPTED, "interrupted")],
)
@pytest.mark.parametrize("step", [*ORDER, None])
def test_whatever_was_stated_the_processes_end_comes_first(code, outcome, step):
    statements = until(step) if step else {}
    summary = summary_of(statements, exit_code=code, message="loans.csv: no such file")
    assert (summary["outcome"], summary["exit_code"]) == (outcome, int(code))
    if code is not ExitCode.INTERRUPTED:
        assert "loans.csv: no such file" in summary["headline"]


def test_a_run_without_any_statement_has_a_summary():
    summary = summary_of({})
    assert summary["outcome"] == "broke"
    assert summary["model"] is None
    assert summary["verdicts"] == []


def test_timings_are_in_the_order_of_time_whatever_the_order_of_the_store():
    statements = sample_statements()
    timings = summary_of(dict(sorted(statements.items(), reverse=True)))["timings"]
    assert [t["at"] for t in timings] == sorted(t["at"] for t in timings)
    assert timings[0] == {"step": "data_validation", "at": "2026-11-23T15:00:03+00:00", "seconds": None}
    assert timings[1] == {"step": "training", "at": "2026-11-23T15:00:14+00:00", "seconds": 11.0}


def test_details_of_a_rollout_may_stand_under_details():
    statements = sample_statements()
    predicate = statements["rollout"]["predicate"]
    own = {key: predicate.pop(key) for key in list(predicate) if key not in ("run", "at")}
    predicate["details"] = own
    assert summary_of(statements)["rollouts"][0]["phase"] == "Promoted"


def test_a_gate_without_any_check_is_no_evidence():
    statements = until("data_validation")
    statements["data_validation"] = verdict_statement(
        "data_validation", "loans.csv", DATA, [], {"rows": 0, "source": ""}
    )
    assert summary_of(statements)["outcome"] == "refused"


def test_the_exit_handler_keeps_the_record_beside_the_statements_and_not_among_them(tmp_path):
    store = EvidenceStore(FolderStore(tmp_path / "evidence"), "run")
    check = Check(name="rows", outcome=Outcome.FAIL, detail="80 rows, 500 are needed", figure=80, threshold=500)
    predicate = verdict_statement("data_validation", "x", DATA, [check], {"rows": 80, "source": "x"})["predicate"]
    store.record("data_validation", "verdict", subject_name="x", subject_sha256=DATA, predicate=predicate)
    record = {"run_id": "run", "evidence": str(tmp_path / "evidence"), "report": tmp_path / "report"}
    summary = write_record(**record, state="SUCCEEDED", error_message="")
    assert summary["outcome"] == "refused"
    kept = json.loads((tmp_path / "evidence" / "records" / "run" / "summary.json").read_text(encoding="utf-8"))
    assert kept == summary
    assert (tmp_path / "report").read_bytes() == (tmp_path / "evidence/records/run/report.html").read_bytes()
    assert set(store.statements()) == {"data_validation"}
    failed = write_record(**record, state="FAILED", error_message="training: out of memory")
    assert (failed["outcome"], failed["message"]) == ("broke", "training: out of memory")

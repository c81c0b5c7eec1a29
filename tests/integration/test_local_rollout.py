"""Trials on the real local runtime: real model servers, a real Envoy, real requests, and real faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.journal import Journal, read_events
from tallystick.components.core.policy import Policy, RolloutRules, parse_policy
from tallystick.components.core.storage import FolderStore
from tallystick.components.rollout.applications import request_bodies
from tallystick.components.rollout.logic import Release, build_of, record_trial, run_rollout, try_release
from tallystick.components.rollout.rehearsal import rehearse
from tallystick.components.rollout.replay import Replay
from tallystick.components.rollout.site import INFER_PATH, Build, LocalSite
from tallystick.components.rollout.trial import FileMemory, Trial, run_trial
from tallystick.components.rollout_controller.state import Phase
from tests.support.candidates import LENDING_POLICY_YAML, write_candidate
from tests.support.documents import LENDING_CONTRACT_YAML
from tests.support.packages import lending

ROLLOUT = """
rollout:
  steps:
    - {weight_pct: 20, minimum_time_s: 0.5, minimum_requests: 30}
    - {weight_pct: 50, minimum_time_s: 0.5, minimum_requests: 30}
  service_level: {maximum_error_rate: 0.05, maximum_p99_s: 0.5, maximum_slow_rate: 0.1, minimum_requests: 20}
  comparison: {alpha: 0.01, beta: 0.1, maximum_score_psi: 0.6}
  interval_s: 0.4
  deadline_s: 40
  keep_warm_s: 0.5
  unready_s: 3
  replay_requests_per_s: 150
"""
POLICY_YAML = LENDING_POLICY_YAML[: LENDING_POLICY_YAML.index("\nrollout:")] + ROLLOUT
BUILDS = "tallystick.components.rollout.faulty_build"


@dataclass(frozen=True)
class Models:
    champion: Path
    candidate: Path
    dataset: Path

    @property
    def policy(self) -> Policy:
        return parse_policy(POLICY_YAML)

    @property
    def rules(self) -> RolloutRules:
        return self.policy.rollout


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    _, table = write_candidate(folder / "champion", "logistic_regression")
    write_candidate(folder / "candidate", "random_forest")
    table.to_parquet(folder / "dataset.parquet")
    return Models(folder / "champion", folder / "candidate", folder / "dataset.parquet")


def play(models: Models, folder: Path, *, canary_arguments=(), hook=None, rules=None, rate=None) -> tuple[Trial, float]:
    """A trial of the champion's own model against itself; `hook(site, look)` may do harm after each look."""
    from tallystick.components.core.model_package import read_package

    rules = rules or models.rules
    package = read_package(models.champion / "model")
    data = lending(rows=200, seed=11)
    rows = data.rows(200)
    canary = Build(package=package, module=BUILDS, arguments=tuple(canary_arguments))
    looks = 0
    harmed = 0.0
    with LocalSite(folder, rules) as site:
        site.open(Build(package=package), canary)
        replay = Replay(
            port=site.files.port, path=INFER_PATH, bodies=request_bodies(data.features, rows),
            rate=rate or rules.replay_requests_per_s, slow_after_s=rules.service_level.maximum_p99_s, seed=3,
        )  # fmt: skip

        def after_look() -> bool:
            nonlocal looks, harmed
            looks += 1
            if hook is None:
                return False
            answer = hook(site, FileMemory(folder / "state.json").load())
            if answer == "harmed":
                harmed = time.time()
            return answer == "stop"

        replay.start()
        try:
            trial = run_trial(
                site, replay, rules, name="rollout", story="a test", journal=Journal(folder / "journal.jsonl"),
                memory=folder / "state.json", stop=after_look,
            )  # fmt: skip
        finally:
            replay.stop()
        last = replay.experience.last_canary or 0.0
    return trial, last - harmed if harmed else 0.0


def once_in_step(act):
    """A hook that acts at the second look with canary traffic."""
    seen = []

    def hook(site, state):
        if state.weight_pct > 0 and state.phase is Phase.PROGRESSING:
            seen.append(1)
            if len(seen) == 2:
                act(site)
                return "harmed"
        return ""

    return hook


def test_a_good_release_is_promoted_and_leaves_its_statement_page_and_events(models, tmp_path):
    release = Release(
        candidate=models.candidate, champion=models.champion, dataset=models.dataset, folder=tmp_path / "trial",
        rules=models.rules, seed=1,
    )  # fmt: skip
    trial = try_release(release, name="rollout", story="a test", journal=Journal(tmp_path / "journal.jsonl"))
    assert trial.promoted, trial.reason
    details = trial.details
    assert [step["weight_pct"] for step in details["steps"] if step["phase"] == "Progressing"] == [20.0, 50.0]
    assert details["requests"]["canary_failed"] == details["requests"]["baseline_failed"] == 0
    assert details["requests"]["unanswered"] == 0
    assert details["traffic_back_s"] is None
    assert details["canary"]["sha256"] != details["baseline"]["sha256"]
    record_trial(EvidenceStore(FolderStore(tmp_path / "evidence"), "r1"), trial)
    statement = json.loads((tmp_path / "evidence/r1/rollout.json").read_text())
    assert statement["subject"][0]["digest"]["sha256"] == details["canary"]["sha256"]
    events = [event for event in read_events(tmp_path / "journal.jsonl") if event["kind"] == "traffic"]
    assert len(events) == len(details["timeline"])
    assert {"phase", "weight_desired_pct", "weight_observed_pct", "canary_requests", "reason"} <= set(events[0])
    # the shares were observed in Envoy's own counters, not assumed
    shares = [e["weight_observed_pct"] for e in events if e["weight_desired_pct"] == 50.0][1:]
    assert 30 < np.mean(shares) < 70


@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::sqlalchemy.exc.SADeprecationWarning")
def test_the_step_moves_the_registrys_champion_only_on_promotion(models, tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri, registry_uri=uri)
    client.create_registered_model("lending")
    for _ in range(2):
        client.create_model_version("lending", source=str(models.candidate / "model"))
    client.set_registered_model_alias("lending", "champion", "1")
    arguments = {
        "dataset": models.dataset, "model_version": "2", "contract_yaml": LENDING_CONTRACT_YAML,
        "evidence": str(tmp_path / "evidence"), "mlflow_tracking_uri": uri, "journal": Journal(tmp_path / "journal"),
    }  # fmt: skip
    impossible = POLICY_YAML.replace("deadline_s: 40", "deadline_s: 1.1")
    refused = run_rollout(
        models.candidate, models.champion, policy_yaml=impossible, run_id="r1", timeline=tmp_path / "1" / "t",
        **arguments,
    )  # fmt: skip
    assert refused.phase is Phase.ROLLED_BACK
    assert str(client.get_model_version_by_alias("lending", "champion").version) == "1"
    tried = run_rollout(
        models.candidate, models.champion, policy_yaml=POLICY_YAML, run_id="r2", timeline=tmp_path / "2" / "t",
        **arguments,
    )  # fmt: skip
    assert tried.promoted, tried.reason
    assert str(client.get_model_version_by_alias("lending", "champion").version) == "2"
    assert "<svg" in (tmp_path / "2" / "t").read_text()
    assert (tmp_path / "evidence/r2/rollout.json").exists()


def test_three_bad_builds_are_taken_back_each_with_its_own_statement(models, tmp_path):
    store = EvidenceStore(FolderStore(tmp_path / "evidence"), "r1")
    trials = rehearse(
        models.champion / "model", models.dataset,
        policy=models.policy, store=store, folder=tmp_path / "logs",
    )  # fmt: skip
    assert [trial.phase for trial in trials] == [Phase.ROLLED_BACK] * 3
    statements = store.statements()
    assert set(statements) == {"rollout-errors", "rollout-slow", "rollout-shifted"}
    details = {name: statement["predicate"]["details"] for name, statement in statements.items()}
    assert "errors" in details["rollout-errors"]["reason"]
    assert "slow" in details["rollout-slow"]["reason"]
    assert details["rollout-shifted"]["reason"].startswith(("scores", "decisions"))
    assert details["rollout-errors"]["requests"]["canary_failed"] > 0
    assert details["rollout-slow"]["requests"]["canary_slow"] > 0
    assert details["rollout-shifted"]["requests"]["canary_wrong"] > 0
    for detail in details.values():
        assert detail["requests"]["baseline_failed"] == 0
        assert detail["timeline"][-1]["weight_desired_pct"] == 0
        assert detail["traffic_back_s"] <= detail["confirmed_s"]


def test_two_models_with_different_inputs_answer_the_same_requests(models, tmp_path):
    from tallystick.components.core.encoding import Feature
    from tallystick.components.core.model_package import read_package

    package = read_package(models.champion / "model")
    extra = Feature(
        name="other_income", type="number", minimum=None, maximum=None, nullable=False, missing_codes=(),
        categories=(), impute=0.0, monotonic=None, reason_code="R01",
    )  # fmt: skip
    wider = replace(package, interface=replace(package.interface, features=(*package.interface.features, extra)))
    build = build_of(package, wider)
    assert build.arguments == ("--others", "other_income")
    assert build_of(wider, package).arguments == ()
    data = lending(rows=50, seed=2)
    rows = [{**row, "other_income": 10.0} for row in data.rows(50)]
    with LocalSite(tmp_path, models.rules) as site:
        site.open(build, build)
        site.wait_for_arm("canary")
        replay = Replay(
            port=site.files.port, path=INFER_PATH, bodies=request_bodies((*data.features, extra), rows), rate=100,
            slow_after_s=1.0,
        )  # fmt: skip
        replay.start()
        time.sleep(0.6)
        replay.stop()
        assert replay.experience.tally("baseline").requests > 20
        assert replay.experience.tally("baseline").failed == 0


def test_a_canary_that_is_killed_costs_under_two_seconds(models, tmp_path):
    trial, seconds = play(models, tmp_path, hook=once_in_step(lambda site: site.servers["canary"].process.kill()))
    assert trial.phase is Phase.ROLLED_BACK
    assert seconds < 2.0
    assert trial.details["requests"]["baseline_failed"] == 0


def test_a_canary_that_hangs_is_taken_back(models, tmp_path):
    def freeze(site):
        os.kill(site.servers["canary"].process.pid, signal.SIGSTOP)

    trial, seconds = play(models, tmp_path, hook=once_in_step(freeze))
    assert trial.phase is Phase.ROLLED_BACK
    assert seconds < 5.0
    assert trial.details["requests"]["baseline_failed"] == 0


def test_total_failure_is_taken_back_within_three_seconds_of_the_first_bad_answer(models, tmp_path):
    trial, _ = play(models, tmp_path, canary_arguments=("--fail-every", "1"))
    assert trial.phase is Phase.ROLLED_BACK
    assert trial.details["traffic_back_s"] - trial.details["first_bad_answer_s"] < 3.0
    assert 0 < trial.details["customers_hit"] < 150


def test_scores_that_are_no_numbers_are_taken_back(models, tmp_path):
    trial, _ = play(models, tmp_path, canary_arguments=("--no-number",))
    assert trial.phase is Phase.ROLLED_BACK
    assert trial.reason.startswith(("errors", "scores"))


def test_a_metrics_endpoint_that_answers_garbage_is_no_evidence_against_the_release(models, tmp_path):
    rules = models.rules.model_copy(update={"deadline_s": 3.0, "on_deadline": "hold"})
    looks = []

    def hook(site, state):
        looks.append(state.phase)
        return "stop" if len(looks) > 14 else ""

    trial, _ = play(models, tmp_path, canary_arguments=("--garbage",), rules=rules, hook=hook)
    assert trial.phase is Phase.HOLDING
    assert "a person must decide" in trial.reason
    assert trial.details["requests"]["canary_failed"] == 0


def test_a_baseline_that_dies_holds_the_trial_and_raises_nothing(models, tmp_path):
    rules = models.rules.model_copy(update={"deadline_s": 4.0})
    trial, _ = play(
        models, tmp_path, rules=rules, hook=once_in_step(lambda site: site.servers["baseline"].process.kill())
    )
    phases = [step["phase"] for step in trial.details["steps"]]
    assert "Holding" in phases
    assert trial.phase is Phase.ROLLED_BACK  # by the deadline, as the policy says
    assert "not enough evidence" in trial.reason
    assert max(entry["weight_desired_pct"] for entry in trial.details["timeline"]) == 20


def test_envoy_is_started_again_with_the_share_that_was_in_force(models, tmp_path):
    pids = []

    def kill(site):
        pids.append(site.envoy.process.pid)
        site.envoy.process.kill()
        site.envoy.process.wait(timeout=5)

    trial, _ = play(models, tmp_path, hook=once_in_step(kill))
    assert trial.promoted, trial.reason
    assert pids and not psutil.pid_exists(pids[0])


def test_no_traffic_is_no_evidence_for_either_side(models, tmp_path):
    rules = models.rules.model_copy(update={"deadline_s": 3.0, "on_deadline": "hold"})
    looks = []

    def hook(site, state):
        looks.append(state)
        return "stop" if len(looks) > 12 else ""

    trial, _ = play(models, tmp_path, rules=rules, hook=hook, rate=0.001)
    assert trial.phase is Phase.HOLDING
    assert "a person must decide" in trial.reason
    assert max(state.weight_pct for state in looks) == 20


def test_an_engine_that_was_killed_goes_on_from_its_file(models, tmp_path):
    """The first engine stops in the middle; a second one takes the same site and state up and ends the trial."""
    from tallystick.components.core.model_package import read_package

    package = read_package(models.champion / "model")
    data = lending(rows=200, seed=11)
    with LocalSite(tmp_path, models.rules) as site:
        site.open(Build(package=package), Build(package=package))
        replay = Replay(
            port=site.files.port, path=INFER_PATH, bodies=request_bodies(data.features, data.rows(200)), rate=150,
            slow_after_s=0.5, seed=3,
        )  # fmt: skip
        replay.start()

        def engine(stop) -> Trial:
            return run_trial(
                site, replay, models.rules, name="rollout", story="", journal=Journal(tmp_path / "journal.jsonl"),
                memory=tmp_path / "state.json", stop=stop,
            )  # fmt: skip

        try:
            first = engine(lambda: FileMemory(tmp_path / "state.json").load().step == 1)
            assert first.phase is Phase.PROGRESSING
            before = FileMemory(tmp_path / "state.json").load()
            second = engine(lambda: False)
        finally:
            replay.stop()
    assert second.promoted, second.reason
    assert before.step == 1
    assert second.details["timeline"][0]["weight_desired_pct"] == 50  # not from the start again


def test_a_killed_component_leaves_no_process_behind(models, tmp_path):
    source = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tallystick.components.core.model_package import read_package
from tallystick.components.rollout.site import Build, LocalSite
from tallystick.components.core.policy import parse_policy
import time
package = read_package(Path({str(models.champion)!r}) / "model")
rules = parse_policy(Path({str(tmp_path / "policy.yaml")!r}).read_text()).rollout
site = LocalSite(Path({str(tmp_path / "site")!r}), rules)
site.open(Build(package=package), Build(package=package))
print(site.envoy.process.pid, *(c.process.pid for c in site.servers.values()), flush=True)
time.sleep(60)
"""
    (tmp_path / "policy.yaml").write_text(POLICY_YAML)
    component = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    children = [int(pid) for pid in component.stdout.readline().split()]
    assert len(children) == 3
    component.kill()
    component.wait(timeout=10)
    component.stdout.close()
    deadline = time.monotonic() + 5
    while any(psutil.pid_exists(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in children)

"""The parts of a local trial that need no process: applications, what customers got, bad builds, the command."""

from __future__ import annotations

import argparse
import http.server
import json
import threading
import time

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.encoding import encode
from tallystick.components.core.ensembles import score
from tallystick.components.core.errors import InputError
from tallystick.components.model_server.protocol import RequestReader
from tallystick.components.model_server.refusals import RefusedRequestError
from tallystick.components.rollout import command
from tallystick.components.rollout.applications import all_features, held_out_rows, inputs_of, request_bodies
from tallystick.components.rollout.builds import OtherInputsReader
from tallystick.components.rollout.faulty_build import BreakingScorer, WrongUnitReader
from tallystick.components.rollout.rehearsal import rehearsals, wrong_unit
from tallystick.components.rollout.replay import Answer, Experience, Replay
from tallystick.components.rollout.trial import FileMemory, p99_s
from tallystick.components.rollout_controller.observation import Counts
from tallystick.components.rollout_controller.state import Phase, State
from tests.support.packages import lending, lending_features, write_lending_package
from tests.unit.rollout_controller.fake_site import rules


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_lending_package(tmp_path_factory.mktemp("p") / "model", "logistic_regression", data=lending(rows=400))


def test_only_held_out_rows_are_replayed_in_the_order_of_the_data(tmp_path):
    table = pd.DataFrame(lending(rows=8).columns)
    table.to_parquet(tmp_path / "dataset")  # an artifact has no ending
    pd.DataFrame({"row": [1, 5, 2], "sample": ["holdout", "holdout", "out_of_fold"]}).to_parquet(tmp_path / "p")
    rows = held_out_rows(tmp_path / "dataset", tmp_path / "p", lending_features())
    assert [row["income"] for row in rows] == table["income"].iloc[[1, 5]].tolist()
    table.to_csv(tmp_path / "d.csv", index=False)
    assert len(held_out_rows(tmp_path / "d.csv", tmp_path / "none", lending_features())) == 8


def test_data_that_cannot_be_replayed_is_named(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        held_out_rows(tmp_path / "broken.parquet", tmp_path / "none", lending_features())
    pd.DataFrame({"income": [1.0]}).to_csv(tmp_path / "narrow.csv", index=False)
    with pytest.raises(InputError, match="has no column 'loan_ratio'"):
        held_out_rows(tmp_path / "narrow.csv", tmp_path / "none", lending_features())


def test_the_server_reads_every_replayed_application(package):
    data = lending(rows=60, seed=3)
    reader = RequestReader(package, maximum_rows=1)
    for row, body in zip(data.rows(60), request_bodies(data.features, data.rows(60)), strict=True):
        read = dict(zip(data.columns, reader.read(body).columns, strict=True))
        assert read["purpose"] == [row["purpose"]]
        assert read["income"] == [row["income"]]


def test_features_of_two_models_are_joined_once():
    narrow, wide = lending_features()[:2], lending_features()
    assert [f.name for f in all_features(narrow, wide)] == [f.name for f in wide]


def test_inputs_that_only_the_other_model_takes_are_read_past_and_no_others(package):
    rows = lending(rows=1).rows(1)
    inputs = [
        *inputs_of(package.interface.features, rows),
        {"name": "other", "datatype": "FP64", "shape": [1], "data": [1.0]},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    with pytest.raises(RefusedRequestError):
        RequestReader(package, maximum_rows=1).read(body)
    tolerant = OtherInputsReader(package, maximum_rows=1, others=frozenset({"other"}))
    assert tolerant.read(body).rows == 1
    for broken in (b"", b"{}", b"[1]", b'{"inputs": [3]}', body.replace(b'"other"', b'"another"')):
        with pytest.raises(RefusedRequestError):
            tolerant.read(broken)


def test_a_wrong_unit_changes_the_named_numbers_alone(package):
    rows = lending(rows=5, seed=9).rows(5)
    body = json.dumps({"inputs": inputs_of(package.interface.features, rows)}).encode()
    names = [feature.name for feature in package.interface.features]
    right = RequestReader(package, maximum_rows=5).read(body).columns
    wrong = WrongUnitReader(
        package, maximum_rows=5, others=frozenset(), columns=("income", "years_employed"), factor=10.0
    )
    for name, before, after in zip(names, right, wrong.read(body).columns, strict=True):
        times = 10.0 if name in ("income", "years_employed") else 1.0
        assert after == [value if times == 1.0 or value is None else value * times for value in before]


def test_the_wrong_unit_that_is_chosen_shifts_the_scores_far_beyond_what_is_tolerated(package):
    rows = lending(rows=300, seed=21).rows(300)
    columns, factor = wrong_unit(package, rows)
    names = [feature.name for feature in package.interface.features]
    by_name = {name: [row[name] for row in rows] for name in names}
    wrong = {**by_name, **{c: [None if v is None else v * factor for v in by_name[c]] for c in columns}}
    shares = [
        np.histogram(score(package.arithmetic, encode(package.interface.features, values)), [0, 0.05, 0.2, 1])[0]
        for values in (by_name, wrong)
    ]
    assert np.abs(shares[0] - shares[1]).sum() / 600 > 0.2
    assert [plan.name for plan in rehearsals(package, rows, rules())] == [
        "rollout-errors", "rollout-slow", "rollout-shifted",
    ]  # fmt: skip


def test_a_breaking_build_breaks_on_every_third_request_and_says_it_is_ready():
    class Fine:
        def ready(self):
            return True

        def answer(self, columns, reasons, *, deadline):
            return "answered"

    scorer, got = BreakingScorer(Fine(), 3), []
    for _ in range(6):
        try:
            got.append(scorer.answer([], "never"))
        except RuntimeError:
            got.append("broke")
    assert got == ["answered", "answered", "broke"] * 2
    assert scorer.ready()


def test_each_customer_is_hit_once_by_the_worst_that_happened():
    seen = Experience(slow_after_s=0.5)
    for status, took, wrong in (
        (200, 0.1, False),
        (500, 0.9, False),
        (200, 0.5, False),
        (200, 0.51, True),
        (200, 0.1, True),
    ):
        seen.note(Answer(sent_s=10.0, took_s=took, arm="canary", status=status, wrong=wrong))
    tally = seen.tally("canary")
    assert (tally.requests, tally.failed, tally.slow, tally.wrong, tally.hit) == (5, 1, 1, 1, 3)
    assert seen.first_bad == pytest.approx(10.9)
    seen.note(Answer(sent_s=20.0, took_s=1.0, arm="baseline", status=500, wrong=False))
    assert seen.last_canary == 10.0
    assert seen.tally("nobody").requests == 0


class Answering(http.server.BaseHTTPRequestHandler):
    """Says who it is and gives no score."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("X-Tallystick-Arm", "canary")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def test_the_replay_keeps_its_rate_and_notes_who_answered_what():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        replay = Replay(port=server.server_port, path="/x", bodies=[b"{}"], rate=200, slow_after_s=1.0, expected=[0.5])
        replay.start()
        time.sleep(1.0)
        replay.stop()
        server.shutdown()
        thread.join()
    tally = replay.experience.tally("canary")
    assert 80 < tally.requests < 320
    assert tally.wrong == tally.requests  # `{}` holds no score


def test_requests_that_nobody_answers_are_noted_as_such():
    replay = Replay(port=1, path="/x", bodies=[b"{}"], rate=100, slow_after_s=1.0)  # nobody listens on port 1
    replay.start()
    time.sleep(0.3)
    replay.stop()
    nobody = replay.experience.tally("")
    assert nobody.requests == nobody.failed > 5


def test_the_99th_percentile_is_a_buckets_upper_edge():
    within = ((0.1, 98), (0.5, 99), (1.0, 100))
    assert p99_s(Counts(timed=100, within=within)) == 0.5
    assert p99_s(Counts(timed=100, within=((0.1, 98),))) is None
    assert p99_s(Counts()) is None


def test_the_engines_memory_is_kept_in_a_file(tmp_path):
    memory = FileMemory(tmp_path / "state.json")
    assert memory.load() is None
    state = State(phase=Phase.HOLDING, step=1, weight_pct=25.0, reason="paused by hand")
    memory.save(state)
    assert memory.load() == state


def options(**values) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    return parser.parse_args(given)


def test_the_command_names_what_is_missing(tmp_path, package):
    (tmp_path / "policy.yaml").write_text("x")
    base = {"candidate": tmp_path, "champion": tmp_path, "policy": tmp_path / "policy.yaml", "output": tmp_path / "o"}
    with pytest.raises(InputError, match="--data"):
        command.run(options(**base, data=tmp_path / "none.csv"))
    with pytest.raises(InputError, match=r"policy\.yaml"):
        command.run(options(**base, data=tmp_path / "policy.yaml"))


def test_a_look_is_one_line():
    look = {
        "t": 3.0, "phase": "Progressing", "weight_desired_pct": 10.0, "weight_observed_pct": None, "canary_errors": 1,
        "canary_requests": 9, "baseline_errors": 0, "baseline_requests": 80, "harm_of_needed": 0.5,
        "health_of_needed": 0.0, "reason": "errors: 1 of 9",
    }  # fmt: skip
    text = command.line(look)
    assert "\n" not in text
    assert "10 % wanted" in text
    assert "failed 1/9 new, 0/80 old" in text
    assert text.endswith("errors: 1 of 9")

"""What a run tells while it runs, and how a step's end becomes an exit code."""

import json
import multiprocessing
from pathlib import Path

import pytest

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.journal import JOURNAL_VARIABLE, Journal, read_events, step
from tallystick.components.core.verdicts import Check, Outcome, Verdict


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(JOURNAL_VARIABLE, str(tmp_path / "journal.jsonl"))
    return tmp_path / "journal.jsonl"


def _write(path: Path, name: str) -> None:
    for number in range(200):
        Journal(path, name).event("line", number=number, padding="x" * 500)


def test_step_tells_its_start_progress_verdict_and_end(path: Path) -> None:
    check = Check(name="c", outcome=Outcome.PASS, detail="d")
    with step("evaluation") as journal:
        journal.progress(0.5, "half")
        journal.verdict(Verdict(gate="g", subject_name="s", subject_sha256="0", checks=(check,)))
    events = read_events(path)
    assert [event["kind"] for event in events] == ["started", "progress", "verdict", "finished"]
    assert {event["step"] for event in events} == {"evaluation"}
    assert events[1]["done"] == 0.5
    assert events[2]["verdict"]["outcome"] == "pass"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [(InputError("a.csv", "is empty", "rows"), 2, "bad_input"), (StorageError("disk full"), 1, "broke")],
)
def test_known_error_is_one_line_and_an_exit_code(
    path: Path, error: Exception, code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, step("training"):
        raise error
    assert caught.value.code == code
    assert capsys.readouterr().err == f"training: {error}\n"
    last = read_events(path)[-1]
    assert (last["kind"], last["reason"], last["exit_code"], last["message"]) == ("failed", reason, code, str(error))


def test_unexpected_error_keeps_its_traceback(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), step("training"):
        raise ZeroDivisionError("ours")
    last = read_events(path)[-1]
    assert (last["kind"], last["reason"]) == ("failed", "broke")
    assert "ZeroDivisionError: ours" in last["message"]


def test_without_a_journal_the_lines_go_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(JOURNAL_VARIABLE, raising=False)
    Journal.of_this_process("s").event("hello", value=1)
    line = json.loads(capsys.readouterr().out)
    assert (line["step"], line["kind"], line["value"]) == ("s", "hello", 1)


def test_line_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert read_events(path) == []
    path.write_text('{"kind": "a"}\n{"kind": "b"')
    assert read_events(path) == [{"kind": "a"}]


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    events = read_events(path)
    assert len(events) == 400
    assert {name: sum(event["step"] == name for event in events) for name in ("a", "b")} == {"a": 200, "b": 200}

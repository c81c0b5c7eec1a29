"""Processes of a run: their events are passed on, their failures become exit codes, none is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime

import psutil
import pytest

from tallystick.components.core.errors import ExitCode, StepError
from tallystick.pipelines.local_run import run_process
from tallystick.pipelines.run_folder import run_folder

STEP = """
import sys
from tallystick.components.core.errors import InputError
from tallystick.components.core.journal import step
with step("training") as journal:
    journal.progress(0.5, "half")
    if sys.argv[1] == "input": raise InputError("data.csv: row 3", "is odd", "what is even")
    if sys.argv[1] == "bug": raise RuntimeError("a bug")
    if sys.argv[1] == "vanish": import os; os._exit(7)
"""


@pytest.fixture
def folder(tmp_path):
    with run_folder(tmp_path / "runs", now=datetime.now(UTC)) as made:
        yield made


def run(folder, how):
    events = []
    code = run_process(folder, [sys.executable, "-c", STEP, how], events.append)
    return code, events


def test_events_of_a_step_reach_the_listener_in_order(folder):
    code, events = run(folder, "well")
    assert code is ExitCode.DONE
    assert [event["kind"] for event in events] == ["started", "progress", "finished"]


def test_bad_input_in_a_step_becomes_exit_code_2_without_a_traceback(folder):
    code, events = run(folder, "input")
    assert code is ExitCode.BAD_INPUT
    assert events[-1]["message"] == "data.csv: row 3: is odd; allowed: what is even"
    assert "Traceback" not in folder.log.read_text()


def test_a_bug_in_a_step_becomes_exit_code_1_and_its_traceback_is_in_the_log(folder):
    code, _ = run(folder, "bug")
    assert code is ExitCode.BROKE
    assert "RuntimeError: a bug" in folder.log.read_text()


def test_a_step_that_vanishes_is_told_with_the_log(folder):
    with pytest.raises(StepError, match=r"status 7.*pipeline\.log"):
        run(folder, "vanish")


LONG_RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tallystick.pipelines.local_run import Interrupted, interruptible, run_process
from tallystick.pipelines.run_folder import run_folder
child = '''
import subprocess, sys, time
from tallystick.components.core.journal import step
with step("rollout"):
    # a shell in between, as KFP's runner has one, and a grandchild that ignores SIGTERM
    subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 300 & echo $! >> pids; wait"])
    time.sleep(300)
'''
with run_folder(Path("runs"), now=datetime.now(UTC)) as folder:
    try:
        with interruptible():
            run_process(folder, [sys.executable, "-c", child], lambda event: print(event["kind"], flush=True))
    except Interrupted:
        sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_however_the_command_line_ends(tmp_path, number):
    command = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LONG_RUN)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert command.stdout.readline().strip() == "started"
        deadline = time.monotonic() + 10
        while not (tmp_path / "pids").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.1)
        family = [psutil.Process(command.pid), *psutil.Process(command.pid).children(recursive=True)]
        family.append(psutil.Process(int((tmp_path / "pids").read_text())))
        os.kill(command.pid, number)
        command.wait(timeout=15)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
        if number != signal.SIGKILL:
            assert command.returncode == 130
    finally:
        command.stdout.close()
        command.kill()

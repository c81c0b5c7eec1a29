"""Runs steps on this machine as processes that never outlive the command line, and tells what they tell.

The command line stays the one parent: it reads the run's journal, hands each event to a listener (the live
view), and ends everything below it on Ctrl-C, on SIGTERM and at the end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tallystick.components.core.errors import ExitCode, StepError
from tallystick.components.core.files import write_json, write_text
from tallystick.components.core.journal import JOURNAL_VARIABLE, Journal, read_events
from tallystick.components.core.processes import (
    ANCESTOR_VARIABLE,
    adopt_orphans,
    end_descendants,
    identity,
    stop,
)
from tallystick.components.core.receipts.local_keys import local_keys
from tallystick.pipelines.run_folder import RunFolder

Listener = Callable[[dict[str, Any]], None]
_POLL_S = 0.1


class Interrupted(KeyboardInterrupt):
    """The user or the system asked the run to end."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into the same orderly end as Ctrl-C, and leave no process behind."""

    def interrupt(number: int, _frame: object) -> None:
        raise Interrupted(signal.Signals(number).name)

    adopt_orphans()
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not cut the clearing-up short
        end_descendants()
        for number, handler in before.items():
            signal.signal(number, handler)


def run_pipeline(folder: RunFolder, compiled: str, arguments: Mapping[str, Any], listener: Listener) -> ExitCode:
    """Run a compiled pipeline to its end.

    Returns
    -------
    ExitCode
        DONE when every step ran (gates may have said no); otherwise the exit code of the step that failed.
    """
    write_text(folder.compiled, compiled)
    arguments_file = folder.path / "arguments.json"
    write_json(arguments_file, dict(arguments))
    return run_process(
        folder,
        [
            sys.executable,
            "-m",
            "tallystick.pipelines.execute",
            *map(str, (folder.compiled, arguments_file, folder.artifacts)),
        ],
        listener,
    )


def run_process(folder: RunFolder, command: Sequence[str], listener: Listener) -> ExitCode:
    """Run one process of the run, passing on what its steps write to the journal meanwhile.

    Raises
    ------
    StepError
        It ended badly and no step said why; the message names the log.
    """
    seen = len(read_events(folder.journal))
    process = _start(folder, command)
    failures: list[dict[str, Any]] = []
    try:
        ended = False
        while not ended:
            ended = process.poll() is not None
            events = read_events(folder.journal)
            for event in events[seen:]:
                listener(event)
                if event["kind"] == "failed":
                    failures.append(event)
            seen = len(events)
            if not ended:
                _wait(process)
    finally:
        stop([process])
    if process.returncode == 0:
        return ExitCode.DONE
    if not failures:
        raise StepError(f"the run ended with status {process.returncode} and no step said why: see {folder.log}")
    return ExitCode(failures[0]["exit_code"])


def _start(folder: RunFolder, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process that follows this one by itself (`step` and `execute` do) and so ends its own children first.

    It has a session of its own: Ctrl-C in a terminal reaches the command line alone, which ends the rest in order.
    """
    with folder.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(folder),
            start_new_session=True,
        )


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return


def _environment(folder: RunFolder) -> dict[str, str]:
    """What the steps get: the journal, whom to follow, the key to sign with, a folder for temporary files.

    One thread a library: two steps' pools on two cores only get in each other's way.
    """
    return {
        **os.environ,
        **local_keys(folder.root).environment(os.environ),
        JOURNAL_VARIABLE: str(folder.journal.resolve()),
        ANCESTOR_VARIABLE: identity(),
        "TMPDIR": str(folder.temporary.resolve()),
        "OMP_NUM_THREADS": "2",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str((folder.root / ".matplotlib").resolve()),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning",
    }


def journal_of(folder: RunFolder, step: str) -> Journal:
    """A journal for what the command line itself has to tell."""
    journal = Journal(folder.journal, step)
    journal.event("opened", at=time.time())
    return journal

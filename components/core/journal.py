"""What a run tells while it runs: one line of JSON an event, appended to one file by all its processes.

A line is written by a single `write` to a file opened for appending, so lines of several processes do not
mix. On a cluster there is no journal file and the same lines go to standard output, the pod's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tallystick.components.core.errors import InputError, TallystickError
from tallystick.components.core.processes import follow_command_line
from tallystick.components.core.receipts.identity import acting_as, identity_of
from tallystick.components.core.verdicts import Verdict, finite

JOURNAL_VARIABLE = "TALLYSTICK_JOURNAL"


class Journal:
    """Appends events to `path`, or prints them where there is none."""

    def __init__(self, path: Path | None, step: str = "") -> None:
        self.path, self.step = path, step

    @classmethod
    def of_this_process(cls, step: str) -> Journal:
        """The journal that the run's parent named in the environment."""
        path = os.environ.get(JOURNAL_VARIABLE)
        return cls(Path(path) if path else None, step)

    def event(self, kind: str, **values: Any) -> None:
        """Append one event: time (seconds since the epoch), step, kind, and the values given."""
        line = json.dumps({"time": time.time(), "step": self.step, "kind": kind, **values}, default=str) + "\n"
        if self.path is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def progress(self, done: float, text: str = "") -> None:
        """How far the step is, from 0 to 1."""
        self.event("progress", done=finite(done), text=text)

    def verdict(self, verdict: Verdict) -> None:
        """A gate has spoken."""
        self.event("verdict", verdict=verdict.to_json())


def read_events(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a journal; a last line that is still being written is left for later."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if line]


@contextlib.contextmanager
def step(name: str) -> Iterator[Journal]:
    """Run one step: tell when it starts and ends, and turn an error into one line and an exit code.

    On one machine the step also ends when the command line that started the run is gone. What the step states is
    signed with the key that the environment names.
    A user's mistake ends the process with its exit code and without a traceback; anything unexpected keeps
    its traceback, for us.
    """
    follow_command_line(os.environ)
    journal = Journal.of_this_process(name)
    journal.event("started")
    try:
        with acting_as(identity_of(os.environ)):
            yield journal
    except TallystickError as error:
        kind = "bad_input" if isinstance(error, InputError) else "broke"
        journal.event("failed", reason=kind, message=str(error), exit_code=int(error.exit_code))
        sys.stderr.write(f"{name}: {error}\n")
        raise SystemExit(int(error.exit_code)) from None
    except BaseException as error:
        journal.event("failed", reason="broke", message=f"{type(error).__name__}: {error}", exit_code=1)
        raise
    journal.event("finished")

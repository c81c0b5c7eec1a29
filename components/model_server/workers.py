"""Several processes on one port: starts them, starts a new one where one ended, and ends them all.

The parent loads what is the same for all before it forks (the package, the counters, the modules), so that a
worker is there again within a tenth of a second and shares that memory. It answers no request itself. The
counters' block is shared, so a worker that was killed loses none that it had counted.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from tallystick.components.model_server.counters import Counters
from tallystick.components.model_server.logs import Log

_POLL_S = 0.2
_SOON_S = 1.0
_PAUSES_S = (0.0, 0.1, 0.5, 2.0, 5.0)
_GRACE_S = 5.0


class Workers:
    """The processes of one server.

    Parameters
    ----------
    run
        What a worker does with its number; returns its exit code. Runs in the child.
    limit_s
        How long workers may take to end after SIGTERM before they are killed.
    """

    def __init__(self, count: int, *, run: Callable[[int], int], counters: Counters, log: Log, limit_s: float) -> None:
        self._count, self._run, self._counters, self._log = count, run, counters, log
        self._limit_s = limit_s
        self._processes: dict[int, tuple[int, float]] = {}
        self._failures = [0] * count
        self._due: dict[int, float] = dict.fromkeys(range(count), 0.0)
        self._ending = False
        self._alive_read, self._alive_write = os.pipe()

    def supervise(self) -> int:
        """Keep all workers running until SIGTERM or SIGINT; the exit code is 0 when all ended in time."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        while not self._ending:
            self._start_due()
            self._reap()
            time.sleep(_POLL_S if not self._due else 0.02)
        return self._end_all()

    def _end(self, number: int, _: FrameType | None) -> None:
        self._ending = True

    def _start_due(self) -> None:
        now = time.monotonic()
        for worker, when in list(self._due.items()):
            if when <= now and not self._ending:
                del self._due[worker]
                self._start(worker)

    def _start(self, worker: int) -> None:
        sys.stdout.flush()
        process = os.fork()
        if process:
            self._processes[process] = (worker, time.monotonic())
            return
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._alive_write)
            threading.Thread(target=_end_with_parent, args=(self._alive_read,), daemon=True).start()
            self._counters.use_line(worker)
            code = self._run(worker)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while self._processes:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            worker, started = self._processes.pop(process)
            if self._ending:
                continue
            lived_s = time.monotonic() - started
            self._failures[worker] = self._failures[worker] + 1 if lived_s < _SOON_S else 0
            pause_s = _PAUSES_S[min(self._failures[worker], len(_PAUSES_S) - 1)]
            self._due[worker] = time.monotonic() + pause_s
            self._counters.worker_restarted()
            code = os.waitstatus_to_exitcode(status)
            self._log.line("error", "worker_ended", worker=worker, process=process, code=code, again_in_s=pause_s)

    def _end_all(self) -> int:
        self._signal_all(signal.SIGTERM)
        limit = time.monotonic() + self._limit_s + _GRACE_S
        while self._processes and time.monotonic() < limit:
            self._reap()
            time.sleep(0.02)
        late = bool(self._processes)
        self._signal_all(signal.SIGKILL)
        return int(late)

    def _signal_all(self, number: signal.Signals) -> None:
        for process in list(self._processes):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue


def _end_with_parent(alive: int) -> None:
    """A worker whose parent is gone would be supervised by nobody: it drains and ends."""
    select.select([alive], [], [])
    os.kill(os.getpid(), signal.SIGTERM)

"""Child processes that never outlive the run, however it ends: normally, by Ctrl-C, by an exception or by kill -9.

Three nets, because none reaches everywhere:

1. A child started here dies with its parent (:func:`start`): the kernel does it (``PR_SET_PDEATHSIG``), so it
   works even when the parent gets SIGKILL.
2. KFP's local runner puts a shell between the command line and a component, and a shell passes nothing on. So a
   component *follows* the command line (:func:`follow`): when that is gone it ends its descendants and itself.
3. Whoever ends in good order ends what is below it (:func:`end_descendants`); a process that called
   :func:`adopt_orphans` finds grandchildren there whose own parent has died.

This module must not know what the processes are, nor reap children that it did not start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

ANCESTOR_VARIABLE = "TALLYSTICK_ANCESTOR"
"""Environment variable in which the command line says who it is (:func:`identity`)."""

_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.2
_LINUX = bool(sys.platform == "linux")
_ENDED_BY_WATCHDOG = 128 + signal.SIGTERM

# Run by `python -I -S -c` in the child before the real program takes its place. Not a `preexec_fn`: that runs Python
# between fork and exec, which may deadlock in a process with threads (and warns from Python 3.12 on).
_ENTRY_LINUX = """
import ctypes, os, sys
ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""

# Other systems have no such signal: a keeper stays between, passes SIGTERM on and looks whether its parent lives.
_ENTRY_OTHERS = """
import os, signal, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: child.send_signal(number))
while True:
    try:
        sys.exit(child.wait(timeout=0.3) & 0xff)
    except subprocess.TimeoutExpired:
        if os.getppid() != int(sys.argv[1]):
            child.kill()
"""


def start(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that dies with this process.

    The kernel ties the child to the *thread* that starts it: call this from a thread that lives as long as the
    child should, usually the main thread.

    Parameters
    ----------
    command
        Program and arguments; no shell.
    log
        File that receives both output streams; appended to.
    environment
        The whole environment of the child; None passes this process's on.

    Raises
    ------
    OSError
        The log cannot be opened or no process can be made.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    entry = _ENTRY_LINUX if _LINUX else _ENTRY_OTHERS
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", entry, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
        )


def stop(processes: Iterable[subprocess.Popen[bytes]], *, grace_s: float = 3.0) -> None:
    """End children together: SIGTERM, a common grace, then SIGKILL; returns within `grace_s` and about a second.

    A child that is stopped (SIGSTOP) or deaf to SIGTERM is gone as well; one that has ended already is left alone.
    """
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + grace_s
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
    for process in running:
        if process.poll() is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # only uninterruptible I/O outlives SIGKILL
                process.wait(timeout=1.0)


def end_descendants(*, grace_s: float = 3.0) -> int:
    """End everything below this process: SIGTERM, a common grace, SIGKILL.

    Returns
    -------
    int
        How many were found. Processes that start new ones while they are being ended are caught in further
        rounds; the time is bounded by `grace_s` and about two seconds.
    """
    import psutil

    def below() -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [p for p in psutil.Process().children(recursive=True) if p.is_running()]
        return []

    found: set[int] = set()
    deadline = time.monotonic() + grace_s
    round_grace_s = grace_s
    while (descendants := below()) and time.monotonic() < deadline + 2.0:
        found.update(process.pid for process in descendants)
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(descendants, timeout=max(0.0, round_grace_s))
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=0.5)
        round_grace_s = min(round_grace_s, deadline - time.monotonic())
    return len(found)


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent dies (Linux); True when the system can do it.

    Only then does :func:`end_descendants` find them: otherwise the system's first process adopts them.
    """
    if not _LINUX:
        return False
    return int(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0


def identity(pid: int | None = None) -> str:
    """``<pid>:<start>`` of a process (this one by default): a reused pid has another start.

    Raises
    ------
    ProcessLookupError
        There is no such process.
    """
    number = os.getpid() if pid is None else pid
    return f"{number}:{_started(number)}"


def follow(ancestor: str, *, grace_s: float = 3.0, at_end: Callable[[], None] | None = None) -> threading.Thread:
    """End this process and all below it once `ancestor` is gone.

    Parameters
    ----------
    ancestor
        An :func:`identity`. One that is gone already, or whose pid now belongs to another process, counts as gone.
    grace_s
        What the descendants get between SIGTERM and SIGKILL.
    at_end
        What to do in place of ending this process (tests).

    Raises
    ------
    ValueError
        `ancestor` is not an identity.
    """
    pid_text, separator, began = ancestor.partition(":")
    if not (pid_text.isdigit() and separator and began):
        raise ValueError(f"{ancestor!r} is not <pid>:<start>")

    def watch() -> None:
        _wait_until_gone(int(pid_text), began)
        if at_end is not None:
            at_end()
            return
        try:
            end_descendants(grace_s=grace_s)
        finally:
            os._exit(_ENDED_BY_WATCHDOG)

    thread = threading.Thread(target=watch, name="follow", daemon=True)
    thread.start()
    return thread


def follow_command_line(environment: Mapping[str, str]) -> bool:
    """Follow whoever `environment` names in ``TALLYSTICK_ANCESTOR``; False where nobody is named (on a cluster)."""
    ancestor = environment.get(ANCESTOR_VARIABLE, "")
    if not ancestor:
        return False
    adopt_orphans()
    follow(ancestor)
    return True


def _started(pid: int) -> str:
    """When a process started, in a form that no later change of the clock alters; empty for a zombie."""
    if _LINUX:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError as error:
            raise ProcessLookupError(f"there is no process {pid}") from error
        return "" if fields[0] in "ZX" else fields[19]
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error as error:
        raise ProcessLookupError(f"there is no process {pid}") from error


def _is(pid: int, began: str) -> bool:
    try:
        return _started(pid) == began
    except ProcessLookupError:
        return False


def _wait_until_gone(pid: int, began: str) -> None:
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # no such process, or a kernel that has no pidfd: look again below
            handle = os.pidfd_open(pid)
            try:
                if _is(pid, began):  # asked after opening: the handle cannot come to mean another process
                    select.select([handle], [], [])
                    return
            finally:
                os.close(handle)
    while _is(pid, began):
        time.sleep(_POLL_S)

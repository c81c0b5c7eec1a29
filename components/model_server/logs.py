"""Structured log lines: JSON on standard output, with a request's id and never an applicant's value."""

from __future__ import annotations

import os
import time
from typing import Any, Literal

import orjson

Level = Literal["info", "warning", "error"]


class Log:
    """Writes one JSON object a line to a file descriptor, whole lines only."""

    def __init__(self, descriptor: int = 1, **always: Any) -> None:
        self._descriptor, self._always = descriptor, always

    def line(self, level: Level, event: str, **values: Any) -> None:
        """Write one line; a log that cannot be written (closed pipe, full disk) stops no answer."""
        content = {"time": round(time.time(), 3), "level": level, "event": event, **self._always, **values}
        try:
            os.write(self._descriptor, orjson.dumps(content, default=str) + b"\n")
        except OSError:
            return

"""What was answered, kept so that outcomes can be joined later: off unless asked for, and without features.

An entry holds the request's id, the model's digest, and each row's score, decision and reasons. What an
applicant sent is never in it. A log that cannot be written is counted and stops no answer.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.reasons import PrincipalReason

_ALLOWED = "a file's path or kafka://host:port/topic"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One answered request."""

    request_id: str
    model: str
    version: str
    digest: str
    scores: list[float]
    decisions: list[str]
    reasons: list[tuple[PrincipalReason, ...]]

    def line(self) -> bytes:
        """JSON, ending in a newline; `time` is seconds since the epoch."""
        return orjson.dumps({"time": time.time(), **{name: getattr(self, name) for name in self.__slots__}}) + b"\n"


class PredictionLog(Protocol):
    """Where entries go."""

    def write(self, entry: Entry) -> bool:
        """Keep one entry; whether that went well as far as can be told at once."""

    def close(self) -> None:
        """Wait for what is still on its way, and let go."""


class FileLog:
    """One line an entry, appended by single writes: workers may share the file.

    Raises
    ------
    StorageError
        The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            raise StorageError(f"{path}: the prediction log cannot be opened ({error.strerror})") from error

    def write(self, entry: Entry) -> bool:
        """Append one line."""
        line = entry.line()
        try:
            return os.write(self._descriptor, line) == len(line)
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class KafkaLog:
    """One message an entry, keyed by the request's id; librdkafka sends them in the background.

    Parameters
    ----------
    producer
        A `confluent_kafka.Producer`.
    failed
        Called for each entry that a broker did not take.
    """

    def __init__(self, producer: Any, topic: str, *, failed: Callable[[], None]) -> None:
        self._producer, self._topic, self._failed = producer, topic, failed

    def write(self, entry: Entry) -> bool:
        """Hand one entry to the producer; False when its queue is full."""
        try:
            self._producer.produce(
                self._topic, entry.line(), key=entry.request_id.encode(), on_delivery=self._delivered
            )
            self._producer.poll(0)
        except (BufferError, RuntimeError):
            return False
        return True

    def close(self) -> None:
        """Wait up to five seconds for what is on its way."""
        self._producer.flush(5.0)

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failed()


def open_prediction_log(where: str, *, failed: Callable[[], None]) -> PredictionLog | None:
    """The log that a setting names; None for an empty setting.

    Raises
    ------
    InputError
        An unknown scheme, or Kafka's client is not installed.
    StorageError
        The file cannot be opened.
    """
    parts = urlsplit(where)
    if not where:
        return None
    if parts.scheme == "kafka":
        topic = parts.path.strip("/")
        if not parts.netloc or not topic:
            raise InputError("prediction log", f"is {where!r}", _ALLOWED)
        try:
            client: Any = importlib.import_module("confluent_kafka")
        except ImportError as error:
            raise InputError(where, "needs confluent-kafka, which is not installed", _ALLOWED) from error
        settings = {"bootstrap.servers": parts.netloc, "enable.idempotence": True, "linger.ms": 20}
        return KafkaLog(client.Producer(settings), topic, failed=failed)
    if len(parts.scheme) > 1 and parts.scheme != "file":
        raise InputError("prediction log", f"unknown scheme {parts.scheme}:", _ALLOWED)
    return FileLog(Path(parts.path if parts.scheme == "file" else where))

"""The prediction log: whole lines, failures told, Kafka through a producer of librdkafka's shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.reasons import PrincipalReason
from tallystick.components.model_server.prediction_log import Entry, FileLog, KafkaLog, open_prediction_log

ENTRY = Entry(
    request_id="call-1",
    model="credit",
    version="credit-1",
    digest="sha256:00",
    scores=[0.75],
    decisions=["adverse"],
    reasons=[(PrincipalReason(code="R01", text="The income is low", contribution=0.5),)],
)


def test_entries_are_whole_lines(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "deep" / "log.jsonl")
    assert log.write(ENTRY)
    assert log.write(ENTRY)
    log.close()
    entries = [json.loads(line) for line in (tmp_path / "deep" / "log.jsonl").read_text().splitlines()]
    assert [entry["request_id"] for entry in entries] == ["call-1", "call-1"]
    assert entries[0]["reasons"] == [[{"code": "R01", "text": "The income is low", "contribution": 0.5}]]
    assert set(entries[0]) == {"time", *Entry.__slots__}


def test_a_closed_log_says_that_it_did_not_write(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "log.jsonl")
    log.close()
    assert log.write(ENTRY) is False


def test_no_log_unless_one_is_named() -> None:
    assert open_prediction_log("", failed=lambda: None) is None


@pytest.mark.parametrize("where", ["http://host/topic", "kafka://", "kafka://host", "kafka:///topic"])
def test_an_unknown_place_is_refused(where: str) -> None:
    with pytest.raises(InputError, match="kafka://host:port/topic"):
        open_prediction_log(where, failed=lambda: None)


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        open_prediction_log(str(tmp_path), failed=lambda: None)


class Broker:
    """A producer that delivers when polled, and refuses as librdkafka does."""

    def __init__(self, *, room: int = 100, error: str | None = None) -> None:
        self.room, self.error = room, error
        self.waiting: list[tuple[str, bytes, bytes, Callable[..., None]]] = []
        self.flushed = False

    def produce(self, topic: str, value: bytes, *, key: bytes, on_delivery: Callable[..., None]) -> None:
        if len(self.waiting) >= self.room:
            raise BufferError("Local: Queue full")
        self.waiting.append((topic, value, key, on_delivery))

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        for *_, delivered in self.waiting:
            delivered(self.error, None)
        self.flushed = True
        return 0


def test_kafka_gets_one_message_an_entry_keyed_by_request() -> None:
    broker = Broker()
    log = KafkaLog(broker, "answers", failed=lambda: None)
    assert log.write(ENTRY)
    topic, value, key, _ = broker.waiting[0]
    assert (topic, key) == ("answers", b"call-1")
    assert json.loads(value)["scores"] == [0.75]


@pytest.mark.parametrize(("error", "failures"), [(None, 0), ("broker down", 2)])
def test_what_a_broker_did_not_take_is_counted(error: Any, failures: int) -> None:
    broker, counted = Broker(error=error), []
    log = KafkaLog(broker, "answers", failed=lambda: counted.append(1))
    log.write(ENTRY)
    log.write(ENTRY)
    log.close()
    assert broker.flushed
    assert len(counted) == failures


def test_a_full_queue_is_told_at_once() -> None:
    log = KafkaLog(Broker(room=1), "answers", failed=lambda: None)
    assert log.write(ENTRY) is True
    assert log.write(ENTRY) is False

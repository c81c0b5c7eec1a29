"""Plays held-out applications as live traffic, at a set rate, and notes what each customer got.

The load is open: requests leave on time whether or not earlier ones have been answered, as customers do. A thin
HTTP/1.1 client on asyncio, since a full one costs more than the servers it is to try. Everything goes to 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_PATIENCE_S = 10.0
_MAXIMUM_OPEN = 512
_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one customer got.

    Attributes
    ----------
    arm
        Who answered; empty where nobody did.
    status
        HTTP status; 0 where there was no answer.
    wrong
        The score is not the one expected for this application (where that is known).
    """

    sent_s: float
    took_s: float
    arm: str
    status: int
    wrong: bool


@dataclass
class Tally:
    """Answers of one arm, added up."""

    requests: int = 0
    failed: int = 0
    slow: int = 0
    wrong: int = 0

    @property
    def hit(self) -> int:
        """Customers who got no good answer; each of them counted once by the worst that happened."""
        return self.failed + self.slow + self.wrong


@dataclass
class Experience:
    """What all customers got so far; times are seconds since the epoch.

    Attributes
    ----------
    slow_after_s
        An answer that took longer is a bad one.
    first_bad, last_canary
        When the first bad answer of the canary arrived; when the last request left that the canary answered.
    """

    slow_after_s: float
    arms: dict[str, Tally] = field(default_factory=dict)
    first_bad: float | None = None
    last_canary: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: Answer) -> None:
        """Add one answer."""
        with self.lock:
            tally = self.arms.setdefault(answer.arm, Tally())
            tally.requests += 1
            bad = True
            if answer.status != 200:
                tally.failed += 1
            elif answer.took_s > self.slow_after_s:
                tally.slow += 1
            elif answer.wrong:
                tally.wrong += 1
            else:
                bad = False
            if answer.arm == "canary":
                self.last_canary = max(self.last_canary or 0.0, answer.sent_s)
                if bad and self.first_bad is None:
                    self.first_bad = answer.sent_s + answer.took_s

    def tally(self, arm: str) -> Tally:
        """A copy of one arm's figures."""
        with self.lock:
            found = self.arms.get(arm, Tally())
            return Tally(found.requests, found.failed, found.slow, found.wrong)


class Replay:
    """Traffic from a thread of its own, from `start` until `stop`.

    Parameters
    ----------
    port
        The gateway's, on 127.0.0.1.
    path
        The infer path of the model.
    bodies
        One request body an application; drawn at random with replacement.
    rate
        Requests a second; the gaps between them are exponential, as arrivals of strangers are.
    expected
        The score that each application must get; empty where it is not known.
    """

    def __init__(
        self,
        *,
        port: int,
        path: str,
        bodies: Sequence[bytes],
        rate: float,
        slow_after_s: float,
        expected: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        self._requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self._port, self._rate, self._expected = port, rate, expected
        self._random = random.Random(seed)  # noqa: S311 - traffic, no secret
        self.experience = Experience(slow_after_s=slow_after_s)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="replay", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more and wait for the open answers, a second at most."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)

    async def _run(self) -> None:
        pending: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not self._ended.is_set():
            due += self._random.expovariate(self._rate)
            if due < time.monotonic() - 1.0:
                due = time.monotonic()  # the machine stood still: no burst to make up for it
            while (ahead := due - time.monotonic()) > 0 and not self._ended.is_set():
                await asyncio.sleep(min(ahead, 0.2))
            if len(pending) < _MAXIMUM_OPEN:
                task = asyncio.create_task(self._send(self._random.randrange(len(self._requests))))
                pending.add(task)
                task.add_done_callback(pending.discard)
            else:
                await asyncio.sleep(0.01)
        if pending:
            await asyncio.wait(pending, timeout=1.0)
        for task in pending:
            task.cancel()
        for _, writer in self._idle:
            writer.close()

    async def _send(self, row: int) -> None:
        sent, began = time.time(), time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status, arm, body = await self._exchange(self._requests[row])
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            status, arm, body = 0, "", b""
        took_s = time.monotonic() - began
        wrong = status == 200 and bool(self._expected) and not _is_score(body, self._expected[row])
        self.experience.note(Answer(sent_s=sent, took_s=took_s, arm=arm, status=status, wrong=wrong))

    async def _exchange(self, request: bytes) -> tuple[int, str, bytes]:
        if self._idle:
            reader, writer = self._idle.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            headers = _headers(head)
            body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        except BaseException:
            writer.close()
            raise
        if headers.get(b"connection") == b"close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return status, headers.get(b"x-tallystick-arm", b"").decode(), body


def _headers(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    return {name.lower(): value.strip() for name, value in pairs}


def _is_score(body: bytes, expected: float) -> bool:
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
        return bool(abs(outputs["probability"][0] - expected) <= _TOLERANCE)
    return False

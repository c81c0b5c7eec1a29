"""Reads the counters of pods from their own /metrics, all at once and each with a short limit of time.

A pod that does not answer, or answers what is no metrics, is absent: that says nothing against a release.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import aiohttp

from tallystick.components.rollout_controller.adapters.exposition import NotMetricsError
from tallystick.components.rollout_controller.adapters.pods import Pod
from tallystick.components.rollout_controller.adapters.scraping import ServerMetrics, read_metrics
from tallystick.components.rollout_controller.observation import Arm, Reading, References

_LARGEST_BYTES = 8 << 20
_AT_ONCE = 64


class PodMetrics:
    """Scrapes pods; one session for all rollouts."""

    def __init__(self, *, timeout_s: float = 2.0) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Let the connections go."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self, arms: Iterable[tuple[Arm, Pod]]) -> tuple[tuple[Reading, ...], References]:
        """Counters of all pods that answer, and the score shares that each arm's profile expects."""
        wanted = [(arm, pod) for arm, pod in arms if pod.running and pod.address]
        answers = await asyncio.gather(*(self._one(pod) for _, pod in wanted))
        readings, expected = [], {"canary": (), "baseline": ()}  # type: tuple[list[Reading], dict[str, tuple[float, ...]]]
        for (arm, pod), metrics in zip(wanted, answers, strict=True):
            if metrics is None:
                continue
            readings.append(
                Reading(arm=arm, source="server", instance=pod.uid, started=pod.started, counts=metrics.counts)
            )
            expected[arm] = metrics.reference
        return tuple(readings), References(canary=expected["canary"], baseline=expected["baseline"])

    async def _one(self, pod: Pod) -> ServerMetrics | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        try:
            async with self._at_once, self._session.get(f"http://{host}:{pod.port}/metrics") as answer:
                if answer.status != 200:
                    return None
                content = await answer.content.read(_LARGEST_BYTES)
            return read_metrics(content.decode())
        except (aiohttp.ClientError, TimeoutError, OSError, NotMetricsError, UnicodeDecodeError):
            return None

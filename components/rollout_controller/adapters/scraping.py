"""Reads the counters of a model server from its own /metrics: raw counts per instance, nothing extrapolated.

What cannot be read, or is not metrics, is absent: an endpoint that is gone, slow or answers garbage is not a
reason to take a release back.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from tallystick.components.rollout_controller.adapters.exposition import NotMetricsError, Sample, count, parse
from tallystick.components.rollout_controller.observation import Arm, Counts, Readiness, Reading

REQUESTS = "tallystick_requests_total"
BUCKETS = "tallystick_request_duration_seconds_bucket"
SCORES = "tallystick_score_bin_total"
DECISIONS = "tallystick_decisions_total"
REFERENCE = "tallystick_reference_bin_ratio"
_WANTED = frozenset({REQUESTS, BUCKETS, SCORES, DECISIONS, REFERENCE})
_FAILED = frozenset({"error", "timeout"})
_REFUSED = frozenset({"invalid", "too_large"})
_LARGEST_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class ServerMetrics:
    """One server's counters, and the shares that its profile expects in each score bin."""

    counts: Counts
    reference: tuple[float, ...]


def read_metrics(text: str, *, traffic: bool = True) -> ServerMetrics:
    """Turn an exposition into counts.

    Parameters
    ----------
    traffic
        False leaves out requests and durations, where a gateway counts them nearer to the customer.

    Raises
    ------
    NotMetricsError
        It is no exposition, or lacks the server's counters.
    """
    samples = parse(text, _WANTED)
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    if REQUESTS not in by_name:
        raise NotMetricsError(f"{REQUESTS} is missing")
    outcomes = _sums(by_name[REQUESTS], "outcome")
    within = {_number(edge): n for edge, n in _sums(by_name.get(BUCKETS, []), "le").items()}
    timed = within.pop(float("inf"), 0)
    decisions = _sums(by_name.get(DECISIONS, []), "decision")
    scores = {int(_number(bin_)): n for bin_, n in _sums(by_name.get(SCORES, []), "bin").items()}
    expected = {
        int(_number(sample.labels["bin"])): sample.value
        for sample in by_name.get(REFERENCE, [])
        if sample.labels.get("feature") == "__score__"
    }
    counts = Counts(
        requests=sum(outcomes.values()) if traffic else 0,
        failed=sum(n for outcome, n in outcomes.items() if outcome in _FAILED) if traffic else 0,
        refused=sum(n for outcome, n in outcomes.items() if outcome in _REFUSED) if traffic else 0,
        timed=timed if traffic else 0,
        within=tuple(sorted(within.items())) if traffic else (),
        scores=tuple(scores.get(j, 0) for j in range(max(scores, default=-1) + 1)),
        adverse=decisions.get("adverse", 0),
        favourable=decisions.get("favourable", 0),
    )
    return ServerMetrics(counts=counts, reference=tuple(expected.get(j, 0.0) for j in range(len(counts.scores))))


def _sums(samples: list[Sample], label: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for sample in samples:
        key = sample.labels.get(label, "")
        sums[key] = sums.get(key, 0) + count(sample.value)
    return sums


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise NotMetricsError(f"not a number: {text[:30]!r}") from error


@dataclass(frozen=True, kw_only=True)
class ServerScraper:
    """Looks at one server instance of one arm.

    Attributes
    ----------
    address
        ``http://host:port``.
    started
        When its process started, as an opaque text; empty where it is not known.
    """

    client: httpx.Client
    arm: Arm
    instance: str
    address: str
    started: str
    timeout_s: float
    traffic: bool = False

    def ready(self) -> Readiness:
        """What the server says of itself; one that does not answer in time is unready."""
        try:
            answer = self.client.get(f"{self.address}/v2/health/ready", timeout=self.timeout_s)
        except httpx.HTTPError:
            return "unready"
        return "ready" if answer.status_code == httpx.codes.OK else "unready"

    def read(self) -> tuple[Reading, tuple[float, ...]] | None:
        """Counters and expected score shares, or None where they cannot be had."""
        try:
            answer = self.client.get(f"{self.address}/metrics", timeout=self.timeout_s)
            if answer.status_code != httpx.codes.OK or len(answer.content) > _LARGEST_BYTES:
                return None
            metrics = read_metrics(answer.text, traffic=self.traffic)
        except (httpx.HTTPError, NotMetricsError, UnicodeDecodeError):
            return None
        reading = Reading(
            arm=self.arm, source="server", instance=self.instance, started=self.started, counts=metrics.counts
        )
        return reading, metrics.reference

"""Turns raw counters into what happened since the last look, whatever happened to the instances in between.

A first sight only sets the mark (a baseline has served for months); an instance that started anew is counted
from zero; a stale or repeated reading adds nothing. Missing readings lose nothing: the next one covers the gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tallystick.components.rollout_controller.observation import ARMS, Arm, Counts, Reading


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The last counters of one instance."""

    started: str
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What was added in both arms since the last look.

    Attributes
    ----------
    concurrent
        Sources that were read for both arms, now and the time before: only their counts cover the same span in
        both arms, and only those may be compared with each other.
    """

    canary: Mapping[str, Counts]
    baseline: Mapping[str, Counts]
    concurrent: frozenset[str]

    def arm(self, name: Arm) -> Mapping[str, Counts]:
        """Counts of one arm by source."""
        return self.canary if name == "canary" else self.baseline

    def total(self, name: Arm) -> Counts:
        """Counts of one arm over all sources (each fills fields of its own)."""
        return add(list(self.arm(name).values()))

    def compared(self, name: Arm) -> Counts:
        """Counts of one arm over the sources whose spans agree."""
        return add([counts for source, counts in self.arm(name).items() if source in self.concurrent])


def since(
    marks: Mapping[str, Mark], seen: frozenset[str], readings: Sequence[Reading]
) -> tuple[dict[str, Mark], frozenset[str], Interval]:
    """Compare readings with the last marks.

    Parameters
    ----------
    marks
        Last counters by :attr:`Reading.key`.
    seen
        ``source/arm`` pairs that the last look could read.
    readings
        This look's readings.

    Returns
    -------
    tuple
        The new marks, what was seen, and the interval.
    """
    new_marks = dict(marks)
    added: dict[Arm, dict[str, list[Counts]]] = {arm: {} for arm in ARMS}
    now_seen = set()
    for reading in readings:
        now_seen.add(f"{reading.source}/{reading.arm}")
        before = new_marks.get(reading.key)
        difference, mark = _difference(before, reading)
        new_marks[reading.key] = mark
        added[reading.arm].setdefault(reading.source, []).append(difference)
    sources = {reading.source for reading in readings}
    concurrent = frozenset(
        source for source in sources if all(f"{source}/{arm}" in now_seen and f"{source}/{arm}" in seen for arm in ARMS)
    )
    interval = Interval(
        canary={source: add(counts) for source, counts in added["canary"].items()},
        baseline={source: add(counts) for source, counts in added["baseline"].items()},
        concurrent=concurrent,
    )
    return new_marks, frozenset(now_seen), interval


def _difference(before: Mark | None, reading: Reading) -> tuple[Counts, Mark]:
    now = Mark(started=reading.started, counts=reading.counts)
    if before is None:
        return Counts(), now
    if before.started != reading.started:
        return reading.counts, now
    if _fell(before.counts, reading.counts):
        return (Counts(), before) if reading.started else (reading.counts, now)
    return subtract(reading.counts, before.counts), now


def _fell(before: Counts, now: Counts) -> bool:
    within = dict(now.within)
    return (
        any(
            getattr(now, name) < getattr(before, name)
            for name in ("requests", "failed", "refused", "timed", "adverse", "favourable")
        )
        or any(within.get(edge, 0) < count for edge, count in before.within)
        or any(b > a for b, a in zip(before.scores, _padded(now.scores, len(before.scores)), strict=False))
    )


def subtract(now: Counts, before: Counts) -> Counts:
    """What was added between two readings of one process."""
    earlier = dict(before.within)
    return Counts(
        requests=now.requests - before.requests,
        failed=now.failed - before.failed,
        refused=now.refused - before.refused,
        timed=now.timed - before.timed,
        within=tuple((edge, count - earlier.get(edge, 0)) for edge, count in now.within),
        scores=tuple(a - b for a, b in zip(now.scores, _padded(before.scores, len(now.scores)), strict=True)),
        adverse=now.adverse - before.adverse,
        favourable=now.favourable - before.favourable,
    )


def add(parts: Sequence[Counts]) -> Counts:
    """Sum over instances or sources; bucket edges that not all timed parts have are left out."""
    timed = [part for part in parts if part.within]
    edges = set.intersection(*({edge for edge, _ in part.within} for part in timed)) if timed else set()
    bins = max((len(part.scores) for part in parts), default=0)
    return Counts(
        requests=sum(part.requests for part in parts),
        failed=sum(part.failed for part in parts),
        refused=sum(part.refused for part in parts),
        timed=sum(part.timed for part in parts),
        within=tuple((edge, sum(dict(part.within)[edge] for part in timed)) for edge in sorted(edges)),
        scores=tuple(sum(_padded(part.scores, bins)[j] for part in parts) for j in range(bins)),
        adverse=sum(part.adverse for part in parts),
        favourable=sum(part.favourable for part in parts),
    )


def _padded(values: tuple[int, ...], length: int) -> tuple[int, ...]:
    return values + (0,) * (length - len(values))

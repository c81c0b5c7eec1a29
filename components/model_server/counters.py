"""Counters in memory that all workers share, and their text form for Prometheus.

Each worker adds to its own line of one shared block, so no worker waits for another and a worker that is
killed leaves its counts behind; a scrape, by whichever worker, adds the lines up. The set of series is fixed
when the model is loaded: nothing a caller sends can add one.

References
----------
Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tallystick.components.core.model_package import Bins, ModelPackage
from tallystick.components.model_server.inputs import Values
from tallystick.components.model_server.refusals import ErrorKind, Outcome

OUTCOMES: tuple[Outcome, ...] = ("ok", "invalid", "too_large", "timeout", "error")
KINDS: tuple[ErrorKind, ...] = (
    "invalid_json",
    "invalid_request",
    "invalid_input",
    "too_large",
    "timeout",
    "additivity",
    "internal",
    "prediction_log",
)
DECISIONS = ("adverse", "favourable")
DURATION_EDGES_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
SCORE = "__score__"


class BinPlaces:
    """Where a feature's checked values fall among its frozen bins.

    Bins of numbers are labelled "0", "1", ... from the lowest; those of categories and booleans "=value";
    beside them stand "missing" and "out_of_range".
    """

    def __init__(self, bins: Bins, first: int) -> None:
        self._edges, self.first = bins.edges, first
        self._by_value = {value: first + place for place, value in enumerate(bins.values)}
        own = [f"={value}" for value in bins.values] if bins.values else [str(n) for n in range(len(bins.edges) + 1)]
        self.labels = (*own, "missing", "out_of_range")
        self.missing, self.out_of_range = first + len(own), first + len(own) + 1
        counts = (*bins.counts, bins.missing, bins.out_of_range)
        total = max(sum(counts), 1)
        self.reference = tuple(count / total for count in counts)

    def place(self, value: Any) -> int:
        """Position in the block of one value; bin j holds edges[j-1] < x <= edges[j]."""
        if value is None:
            return self.missing
        if self._by_value:
            return self._by_value.get(value, self.out_of_range)
        return self.first + bisect_left(self._edges, value)


class Counters:
    """The block of counts; make it before workers are forked, then give each its own `line`.

    Parameters
    ----------
    package
        Its profile fixes the bins; its name, version and digest label every series.
    workers
        Number of lines.
    """

    def __init__(self, package: ModelPackage, *, workers: int = 1) -> None:
        self._labels = f'model="{_escaped(package.name)}",version="{_escaped(package.version)}"'
        self._digest = package.digest
        place = 0
        self._outcome, place = _positions(OUTCOMES, place)
        self._kind, place = _positions(KINDS, place)
        self._decision, place = _positions(DECISIONS, place)
        self._duration, self._duration_sum = place, place + len(DURATION_EDGES_S) + 1
        self._restarts = self._duration_sum + 1
        place = self._restarts + 1
        self._score = BinPlaces(package.profile.score, place)
        place = self._score.out_of_range + 1
        profiled = {bins.name: bins for bins in package.profile.features}
        self._features: list[BinPlaces | None] = []
        self._names = [feature.name for feature in package.interface.features]
        for name in self._names:
            bins = BinPlaces(profiled[name], place) if name in profiled else None
            self._features.append(bins)
            place = bins.out_of_range + 1 if bins else place
        self._by_name = dict(zip(self._names, self._features, strict=True))
        self._size = place
        shared = mmap.mmap(-1, workers * place * 8)
        self._block: npt.NDArray[np.uint64] = np.frombuffer(shared, dtype=np.uint64).reshape(workers, place)
        self._cells = memoryview(shared).cast("Q")
        self._first = 0

    def use_line(self, worker: int) -> None:
        """Count in this worker's line from now on; a restarted worker goes on where the last one ended."""
        self._first = worker * self._size

    def request(self, outcome: Outcome, duration_s: float) -> None:
        """One request to `infer` has its answer."""
        self._add(self._outcome[outcome])
        self._add(self._duration + bisect_left(DURATION_EDGES_S, duration_s))
        self._add(self._duration_sum, int(duration_s * 1e9))

    def error(self, kind: ErrorKind, *, feature: str = "", out_of_range: bool = False) -> None:
        """One error of a kind; a value out of range is counted in its feature's bin as well."""
        self._add(self._kind[kind])
        bins = self._by_name.get(feature)
        if out_of_range and bins:
            self._add(bins.out_of_range)

    def worker_restarted(self) -> None:
        """A worker ended by itself and was started again."""
        self._add(self._restarts)

    def answered(self, columns: Sequence[Values], scores: Sequence[float], decisions: Sequence[str]) -> None:
        """The rows of an answered request: a bin for each feature, the score and the decision."""
        cells, first = self._cells, self._first
        for value in scores:
            cells[first + self._score.place(value)] += 1
        for choice in decisions:
            cells[first + self._decision[choice]] += 1
        for bins, values in zip(self._features, columns, strict=True):
            if bins:
                for value in values:
                    cells[first + bins.place(value)] += 1

    def _add(self, place: int, amount: int = 1) -> None:
        self._cells[self._first + place] += amount

    def exposition(self) -> bytes:
        """All series of all workers in Prometheus' text format."""
        total = self._block.sum(axis=0, dtype=np.uint64).tolist()
        lines = [*_family("tallystick_requests_total", "counter", "Requests to infer, by outcome.")]
        lines += self._labelled("tallystick_requests_total", "outcome", self._outcome, total)
        lines += self._histogram(total)
        lines += _family("tallystick_errors_total", "counter", "Refused or failed requests, by kind of error.")
        lines += self._labelled("tallystick_errors_total", "kind", self._kind, total)
        lines += _family("tallystick_decisions_total", "counter", "Rows answered, by decision.")
        lines += self._labelled("tallystick_decisions_total", "decision", self._decision, total)
        lines += _family("tallystick_score_bin_total", "counter", "Rows answered, by the profile's score bins.")
        for place, label in enumerate(self._score.labels[:-2], start=self._score.first):
            lines.append(f'tallystick_score_bin_total{{{self._labels},bin="{label}"}} {total[place]}')
        lines += _family("tallystick_feature_bin_total", "counter", "Values, by the profile's bins of each feature.")
        for name, bins in self._by_name.items():
            for place, label in enumerate(bins.labels, start=bins.first) if bins else ():
                where = f'{self._labels},feature="{_escaped(name)}",bin="{_escaped(label)}"'
                lines.append(f"tallystick_feature_bin_total{{{where}}} {total[place]}")
        lines += self._reference()
        lines += _family("tallystick_worker_restarts_total", "counter", "Workers that ended by themselves.")
        lines.append(f"tallystick_worker_restarts_total{{{self._labels}}} {total[self._restarts]}")
        lines += _family("tallystick_model_info", "gauge", "The model that is served, by its digest.")
        lines.append(f'tallystick_model_info{{{self._labels},digest="sha256:{self._digest}"}} 1')
        return ("\n".join(lines) + "\n").encode()

    def _labelled(self, name: str, label: str, places: dict[Any, int], total: list[int]) -> list[str]:
        return [f'{name}{{{self._labels},{label}="{key}"}} {total[place]}' for key, place in places.items()]

    def _histogram(self, total: list[int]) -> list[str]:
        name = "tallystick_request_duration_seconds"
        lines = [*_family(name, "histogram", "Time from a request's head to its answer, in the server.")]
        running = 0
        for place, edge in enumerate((*DURATION_EDGES_S, float("inf")), start=self._duration):
            running += total[place]
            shown = "+Inf" if edge == float("inf") else f"{edge:g}"
            lines.append(f'{name}_bucket{{{self._labels},le="{shown}"}} {running}')
        lines.append(f"{name}_sum{{{self._labels}}} {total[self._duration_sum] / 1e9:.9f}")
        lines.append(f"{name}_count{{{self._labels}}} {running}")
        return lines

    def _reference(self) -> list[str]:
        name = "tallystick_reference_bin_ratio"
        lines = [*_family(name, "gauge", "Share of the training sample in each bin, 0 to 1.")]
        profiles = [(SCORE, self._score.labels[:-2], self._score.reference)]
        profiles += [(key, bins.labels, bins.reference) for key, bins in self._by_name.items() if bins]
        for feature, labels, shares in profiles:
            for label, share in zip(labels, shares, strict=False):
                where = f'{self._labels},feature="{_escaped(feature)}",bin="{_escaped(label)}"'
                lines.append(f"{name}{{{where}}} {share:.9g}")
        return lines


def _positions(names: Sequence[Any], first: int) -> tuple[dict[Any, int], int]:
    return {name: first + place for place, name in enumerate(names)}, first + len(names)


def _family(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

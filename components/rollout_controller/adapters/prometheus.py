"""An alternative to scraping: the same raw counters, asked of a Prometheus server's query API.

For clusters in which only Prometheus may reach the pods. Counters are asked for as they are (no rate, no increase:
those extrapolate) and per pod; a Prometheus that is down, slow or behind gives no reading, which is a hold and never a
failure. A sample older than `stale_s` is left out: it would say that nothing happened since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tallystick.components.rollout_controller.adapters.exposition import NotMetricsError
from tallystick.components.rollout_controller.adapters.scraping import (
    BUCKETS,
    DECISIONS,
    REQUESTS,
    SCORES,
    read_metrics,
)
from tallystick.components.rollout_controller.observation import ARMS, Arm, Reading

_NAMES = (REQUESTS, BUCKETS, SCORES, DECISIONS)


@dataclass(frozen=True, kw_only=True)
class PrometheusSource:
    """Counters of both arms by label selectors.

    Attributes
    ----------
    address
        ``http://host:port`` of the server, without ``/api``.
    selectors
        Labels of an arm's series, e.g. ``{"canary": {"version": "v4", "namespace": "credit"}}``.
    instance_label
        The label that names a pod.
    """

    client: httpx.Client
    address: str
    selectors: Mapping[Arm, Mapping[str, str]]
    instance_label: str = "pod"
    timeout_s: float = 2.0
    stale_s: float = 60.0

    def read(self, now: float) -> tuple[Reading, ...]:
        """Counters per pod of both arms; an arm that could not be asked for is left out.

        Parameters
        ----------
        now
            Seconds since the epoch, by which a sample's age is judged.
        """
        return tuple(reading for arm in ARMS for reading in self._arm(arm, now))

    def _arm(self, arm: Arm, now: float) -> list[Reading]:
        labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(self.selectors[arm].items()))
        query = f'{{__name__=~"{"|".join(_NAMES)}",{labels}}}'
        try:
            answer = self.client.get(
                f"{self.address}/api/v1/query", params={"query": query, "time": f"{now:.3f}"}, timeout=self.timeout_s
            )
            content = answer.json() if answer.status_code == httpx.codes.OK else {}
            return self._readings(arm, content["data"]["result"], now) if content["status"] == "success" else []
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
            return []

    def _readings(self, arm: Arm, series: list[dict[str, Any]], now: float) -> list[Reading]:
        """Put each pod's series into the text form that the scraper reads, so that both mean the same."""
        pods: dict[str, list[str]] = {}
        for entry in series:
            labels = dict(entry["metric"])
            taken_at, value = entry["value"]
            if now - float(taken_at) > self.stale_s:
                continue
            name, pod = labels.pop("__name__"), labels.get(self.instance_label, "")
            shown = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in labels.items())
            pods.setdefault(pod, []).append(f"{name}{{{shown}}} {value}")
        readings = []
        for pod, lines in pods.items():
            try:
                counts = read_metrics("\n".join(lines)).counts
            except NotMetricsError:
                continue
            readings.append(Reading(arm=arm, source="prometheus", instance=pod, started="", counts=counts))
        return readings

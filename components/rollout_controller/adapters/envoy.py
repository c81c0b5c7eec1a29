"""A local Envoy: weights and mirror through its xDS files, read back and counted at its admin address.

Files are moved into place whole, Envoy watches their folder, and no connection is broken by a change. What is
read back is what Envoy says it runs, never what was written.

References
----------
Envoy 1.40: dynamic configuration from the file system (`path_config_source`), admin interface, cluster statistics.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tallystick.components.core.errors import StorageError
from tallystick.components.core.files import canonical_json, sha256_of_bytes, write_bytes
from tallystick.components.rollout_controller.adapters.exposition import NotMetricsError, Sample, count, parse
from tallystick.components.rollout_controller.observation import ARMS, Arm, Counts, Reading
from tallystick.components.rollout_controller.ports import RetryableError

ARM_HEADER = "x-tallystick-arm"
ROUTE_NAME = "trial"
_PARTS = 1000  # weights are whole numbers in Envoy: thousandths of the whole
_RESPONSES = "envoy_cluster_upstream_rq_xx"
_DURATIONS = "envoy_cluster_upstream_rq_time_bucket"
_WANTED = frozenset({_RESPONSES, _DURATIONS})
_FILTER = r"^cluster\.(canary|baseline)\.upstream_rq_(.xx|time)$"
_EDGES_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)


@dataclass(frozen=True, kw_only=True)
class EnvoyFiles:
    """The configuration of one local Envoy.

    Attributes
    ----------
    folder
        Where bootstrap, routes and endpoints are; Envoy watches it.
    port, admin_port
        On 127.0.0.1.
    timeout_s
        An answer that takes longer is a 504 for the customer.
    """

    folder: Path
    port: int
    admin_port: int
    timeout_s: float

    @property
    def bootstrap(self) -> Path:
        """What Envoy is started with."""
        return self.folder / "bootstrap.json"

    def write_bootstrap(self, *, edges_s: tuple[float, ...] = ()) -> None:
        """Write all that never changes while Envoy runs.

        Parameters
        ----------
        edges_s
            Bucket edges (seconds) that the latency histogram must have besides its usual ones.
        """
        edges = sorted({*_EDGES_MS, *(edge * 1000.0 for edge in edges_s)})
        value = {
            "node": {"id": "trial", "cluster": "tallystick"},
            "admin": {"address": _address(self.admin_port)},
            "stats_flush_interval": "0.1s",
            "stats_config": {
                "histogram_bucket_settings": [{"match": {"suffix": "upstream_rq_time"}, "buckets": list(edges)}]
            },
            "static_resources": {
                "listeners": [self._listener()],
                "clusters": [self._cluster(arm) for arm in ARMS],
            },
        }
        _write(self.bootstrap, value)

    def write_endpoint(self, arm: Arm, port: int) -> None:
        """Where an arm's server listens."""
        host = {"endpoint": {"address": _address(port)}}
        resource = {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": arm,
            "endpoints": [{"lb_endpoints": [host]}],
        }
        self._write_response(f"endpoints-{arm}.json", resource)

    def write_route(self, *, weight_pct: float, mirror: bool) -> None:
        """The canary's share, and whether the rest is mirrored to it."""
        parts = round(weight_pct / 100.0 * _PARTS)
        weights = {"canary": parts, "baseline": _PARTS - parts}
        arms = [
            {
                "name": arm,
                "weight": weights[arm],
                "response_headers_to_add": [{"header": {"key": ARM_HEADER, "value": arm}}],
            }
            for arm in ARMS
        ]
        route: dict[str, Any] = {
            "weighted_clusters": {"clusters": arms},
            "timeout": f"{self.timeout_s:g}s",
        }
        if mirror:
            route["request_mirror_policies"] = [
                {"cluster": "canary", "runtime_fraction": {"default_value": {"numerator": 100}}}
            ]
        resource = {
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": ROUTE_NAME,
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
            ],
        }
        self._write_response("routes.json", resource)

    def _write_response(self, name: str, resource: dict[str, Any]) -> None:
        version = sha256_of_bytes(canonical_json(resource))[:12]
        _write(self.folder / name, {"version_info": version, "resources": [resource]})

    def _watched(self, name: str) -> dict[str, Any]:
        return {
            "resource_api_version": "V3",
            "path_config_source": {
                "path": str(self.folder / name),
                "watched_directory": {"path": str(self.folder)},
            },
        }

    def _cluster(self, arm: Arm) -> dict[str, Any]:
        return {
            "name": arm,
            "type": "EDS",
            "connect_timeout": "0.5s",
            "eds_cluster_config": {"eds_config": self._watched(f"endpoints-{arm}.json")},
        }

    def _listener(self) -> dict[str, Any]:
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
            ".HttpConnectionManager",
            "stat_prefix": "trial",
            "rds": {"route_config_name": ROUTE_NAME, "config_source": self._watched("routes.json")},
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                        "suppress_envoy_headers": True,
                    },
                }
            ],
        }
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        return {"name": "trial", "address": _address(self.port), "filter_chains": [chain]}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _write(path: Path, value: dict[str, Any]) -> None:
    try:
        write_bytes(path, json.dumps(value).encode())
    except StorageError as error:
        raise RetryableError(f"Envoy's configuration: {error}") from error


@dataclass(frozen=True, kw_only=True)
class EnvoyTraffic:
    """The Traffic port over the xDS files."""

    files: EnvoyFiles

    def apply(self, *, weight_pct: float, mirror: bool) -> None:
        """Write the route; Envoy takes it within milliseconds."""
        self.files.write_route(weight_pct=weight_pct, mirror=mirror)


@dataclass(frozen=True, kw_only=True)
class GatewayState:
    """What Envoy says it does; parts that could not be read are None or empty."""

    weight_pct: float | None
    mirrored: bool | None
    readings: tuple[Reading, ...]


@dataclass(frozen=True, kw_only=True)
class EnvoyAdmin:
    """Reads a local Envoy's configuration and counters.

    Attributes
    ----------
    started
        When the Envoy process started, as an opaque text.
    """

    client: httpx.Client
    port: int
    started: str
    timeout_s: float

    def ready(self) -> bool:
        """Whether it serves, with a route."""
        return self._get("/ready") is not None and self.read_route() is not None

    def look(self) -> GatewayState:
        """Share, mirror and counters of both arms."""
        route = self.read_route()
        weight, mirrored = route if route is not None else (None, None)
        return GatewayState(weight_pct=weight, mirrored=mirrored, readings=self.read_counters())

    def read_route(self) -> tuple[float, bool] | None:
        """The canary's share and the mirror in the route that is in force, or None."""
        text = self._get("/config_dump", resource="dynamic_route_configs")
        if text is None:
            return None
        try:
            (entry,) = json.loads(text)["configs"]
            (route,) = entry["route_config"]["virtual_hosts"][0]["routes"]
            action = route["route"]
            weights = {
                cluster["name"]: int(cluster.get("weight", 0)) for cluster in action["weighted_clusters"]["clusters"]
            }
            return 100.0 * weights["canary"] / sum(weights.values()), bool(action.get("request_mirror_policies"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError):
            return None

    def read_counters(self) -> tuple[Reading, ...]:
        """Answers by class and their durations, per arm; empty where they could not be read."""
        text = self._get("/stats/prometheus", filter=_FILTER)
        if text is None:
            return ()
        try:
            samples = parse(text, _WANTED)
            return tuple(
                Reading(arm=arm, source="gateway", instance="envoy", started=self.started, counts=_counts(samples, arm))
                for arm in ARMS
            )
        except (NotMetricsError, KeyError):
            return ()

    def _get(self, path: str, **query: str) -> str | None:
        try:
            answer = self.client.get(f"http://127.0.0.1:{self.port}{path}", params=query, timeout=self.timeout_s)
        except httpx.HTTPError:
            return None
        return answer.text if answer.status_code == httpx.codes.OK else None


def _counts(samples: list[Sample], arm: Arm) -> Counts:
    """Envoy counts what the customer got: a refused connection or a timeout is a 5xx of the arm's cluster."""
    own = [sample for sample in samples if sample.labels.get("envoy_cluster_name") == arm]
    classes = {s.labels["envoy_response_code_class"]: count(s.value) for s in own if s.name == _RESPONSES}
    buckets = {float(s.labels["le"]): count(s.value) for s in own if s.name == _DURATIONS}
    timed = buckets.pop(float("inf"), 0)
    return Counts(
        requests=sum(classes.values()),
        failed=classes.get("5", 0),
        refused=classes.get("4", 0),
        timed=timed,
        within=tuple((edge / 1000.0, n) for edge, n in sorted(buckets.items())),
    )

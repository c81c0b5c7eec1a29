"""Reads and rewrites the weights in the VirtualService that Seldon Core writes; nothing is sent from here.

Seldon writes one route per protocol with a destination per predictor, host ``<deployment>-<predictor>``. A weight
of 0 is left out of the JSON, and so is the weight of a single destination, which gets everything.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

API = "networking.istio.io/v1beta1"


def service(deployment: str, predictor: str) -> str:
    """Name of a predictor's Service and DestinationRule, and host of its destination."""
    return f"{deployment}-{predictor}"


def weight_pct(virtual_service: Mapping[str, Any] | None, *, deployment: str, canary: str) -> float | None:
    """The canary's share in percent: the largest over all routes, since each is a way to reach it.

    None where there is no VirtualService or no route that belongs to the deployment.
    """
    found = [
        share
        for route in _routes(virtual_service)
        if (share := _share(route, deployment, service(deployment, canary))) is not None
    ]
    return max(found, default=None)


def _routes(virtual_service: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return list(((virtual_service or {}).get("spec") or {}).get("http") or [])


def _host(destination: Mapping[str, Any]) -> str:
    return str((destination.get("destination") or {}).get("host", "")).split(".")[0]


def _share(route: Mapping[str, Any], deployment: str, host: str) -> float | None:
    destinations = route.get("route") or []
    if not any(_host(destination).startswith(f"{deployment}-") for destination in destinations):
        return None
    if len(destinations) == 1:
        return 100.0 if _host(destinations[0]) == host else 0.0
    total = sum(destination.get("weight") or 0 for destination in destinations)
    mine = sum(destination.get("weight") or 0 for destination in destinations if _host(destination) == host)
    return 100.0 * mine / total if total else None


def with_weight(
    virtual_service: Mapping[str, Any], *, deployment: str, canary: str, baseline: str, weight_pct: float
) -> list[dict[str, Any]]:
    """The ``http`` list with this split on every route of the deployment.

    A destination that is missing is added by the pattern of the one that is there, so that a rollback also works
    where somebody has taken the baseline out.
    """
    shares = {service(deployment, canary): round(weight_pct), service(deployment, baseline): 100 - round(weight_pct)}
    routes = copy.deepcopy(_routes(virtual_service))
    rewritten = []
    for route in routes:
        changed = dict(route)
        if _share(route, deployment, "") is not None:
            changed["route"] = _split(changed["route"], shares, deployment)
        rewritten.append(changed)
    return rewritten


def _split(destinations: list[dict[str, Any]], shares: Mapping[str, int], deployment: str) -> list[dict[str, Any]]:
    present = {_host(destination) for destination in destinations}
    pattern = next(destination for destination in destinations if _host(destination).startswith(f"{deployment}-"))
    added = []
    for host, share in shares.items():
        if host not in present and share > 0:
            destination = {**pattern["destination"], "host": host}
            if "subset" in destination:
                destination["subset"] = host.removeprefix(f"{deployment}-")
            added.append({**pattern, "destination": destination})
    kept = [*destinations, *added]
    return [{**destination, "weight": shares.get(_host(destination), 0)} for destination in kept]

"""What a SeldonDeployment must look like: predictors named after versions, ports declared, traffic that sums to 100.

Only arithmetic on the object; nothing is sent from here. Why it is shaped so:

- The metrics port's default depends on a predictor's position, so that removing the first restarts the second,
  unless each container declares its ports. Declared, the pods that were analysed are the pods that serve.
- A predictor is never renamed: its name is its pods' identity.
- What another wrote beside the predictors is not ours and is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick.components.rollout_controller.release import Release

API = "machinelearning.seldon.io/v1"
MANAGED = "tallystick.dev/managed"
BREAK_GLASS = "tallystick.dev/break-glass"
HTTP_PORT, GRPC_PORT, METRICS_PORT = 9000, 9500, 6000
_USER = 10001
_GRACE_S = 40
_PROBE = {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3}

Object = dict[str, Any]


def predictors(deployment: Mapping[str, Any] | None) -> list[Object]:
    """The predictors as they stand."""
    return list(((deployment or {}).get("spec") or {}).get("predictors") or [])


def traffic(deployment: Mapping[str, Any] | None) -> dict[str, int]:
    """Share of each predictor in percent; a single one that says nothing has all of it."""
    found = predictors(deployment)
    if len(found) == 1 and not found[0].get("traffic"):
        return {found[0]["name"]: 100}
    return {predictor["name"]: int(predictor.get("traffic") or 0) for predictor in found}


def predictor(release: Release, image: str) -> Object:
    """The new version as a predictor with no traffic."""
    server = release.server
    container: Object = {
        "name": release.version,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "TALLYSTICK_MODEL", "value": release.uri},
            {"name": "TALLYSTICK_MODEL_DIGEST", "value": release.digest},
        ],
        "ports": [
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
        ],
        "resources": dict(server.resources),
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": "http"}, **_PROBE},
        "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": "http"}, "initialDelaySeconds": 30, **_PROBE},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }
    if server.environment_secret:
        container["envFrom"] = [{"secretRef": {"name": server.environment_secret}}]
    return {
        "name": release.version,
        "replicas": server.replicas,
        "traffic": 0,
        "labels": {"version": release.version, "tallystick.dev/rollout": release.name},
        "annotations": {"seldon.io/no-engine": "true"},
        "graph": {"name": release.version, "type": "MODEL", "children": []},
        "componentSpecs": [{"spec": _pod(release, container)}],
    }


def _pod(release: Release, container: Object) -> Object:
    pod: Object = {
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": _GRACE_S,
    }
    if release.server.service_account:
        pod["serviceAccountName"] = release.server.service_account
    return pod


def applied(live: Mapping[str, Any] | None, release: Release, wanted: list[Object]) -> Object:
    """What to send by server-side apply, so that the deployment has these predictors and stays ours.

    The live object's resourceVersion goes with it: whoever changed it in between is not overwritten unseen.
    """
    metadata: Object = {"name": release.target, "namespace": release.namespace, "labels": {MANAGED: "true"}}
    spec: Object = {"predictors": wanted}
    if live is None:
        spec["protocol"] = "v2"
    else:
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
        if _is_ours(live) and "protocol" in live["spec"]:
            spec["protocol"] = live["spec"]["protocol"]
    return {"apiVersion": API, "kind": "SeldonDeployment", "metadata": metadata, "spec": spec}


def _is_ours(live: Mapping[str, Any]) -> bool:
    return MANAGED in (live["metadata"].get("labels") or {})


def with_canary(live: Mapping[str, Any] | None, canary: Object) -> list[Object]:
    """The predictors with the new one beside them; the first one of all gets all traffic."""
    others = [dict(found) for found in predictors(live) if found["name"] != canary["name"]]
    if not others:
        return [{**canary, "traffic": 100}]
    if len(others) == 1:
        others[0]["traffic"] = 100
    return [*others, canary]


def with_traffic(live: Mapping[str, Any], *, canary: str, baseline: str, weight_pct: float) -> list[Object]:
    """The predictors with this split between two of them; the others get nothing."""
    shares = {canary: round(weight_pct), baseline: 100 - round(weight_pct)}
    return [{**found, "traffic": shares.get(found["name"], 0)} for found in predictors(live)]


def without(live: Mapping[str, Any], name: str) -> list[Object]:
    """The predictors without one that has no traffic; the last one left has all of it."""
    left = [dict(found) for found in predictors(live) if found["name"] != name]
    if len(left) == 1:
        left[0]["traffic"] = 100
    return left

"""What pods say about an arm: ready, starting, unready or dead; and where their counters are.

A canary that has ended by itself once is dead: restarting is what Kubernetes does with a crash, and waiting for
the crash loop's back-off only serves customers worse. The version in service gets no such verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.components.rollout_controller.observation import Readiness

_HOPELESS = frozenset(
    {"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
     "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pod:
    """As much of a pod as a decision needs.

    Attributes
    ----------
    started
        When its container started, as an opaque text; a change means that its counters began at zero.
    fault
        Why it will not serve, in one sentence; empty when nothing says so.
    """

    namespace: str
    name: str
    uid: str
    deployment: str
    version: str
    address: str
    port: int
    started: str
    ready: bool
    running: bool
    leaving: bool
    fault: str


def read_pod(body: Mapping[str, Any]) -> Pod:
    """Reduce a pod to what is needed."""
    metadata, status = body["metadata"], body.get("status") or {}
    labels = metadata.get("labels") or {}
    containers = status.get("containerStatuses") or []
    started = [(c.get("state") or {}).get("running", {}).get("startedAt", "") for c in containers]
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        deployment=labels.get("seldon-deployment-id", ""),
        version=labels.get("version", ""),
        address=status.get("podIP", ""),
        port=_port(body),
        started="|".join(f"{c.get('restartCount', 0)}@{start}" for c, start in zip(containers, started, strict=True)),
        ready=conditions.get("Ready") == "True",
        running=any(started),
        leaving="deletionTimestamp" in metadata,
        fault="" if "deletionTimestamp" in metadata else _fault(metadata["name"], status, containers),
    )


def _port(body: Mapping[str, Any]) -> int:
    ports = {p.get("name"): p["containerPort"] for c in body["spec"]["containers"] for p in c.get("ports") or []}
    return int(ports.get("http") or ports.get("metrics") or 9000)


def _fault(name: str, status: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> str:
    if status.get("phase") == "Failed":
        return f"pod {name} has failed ({status.get('reason') or 'its containers ended'})"
    for container in containers:
        state = container.get("state") or {}
        waiting = (state.get("waiting") or {}).get("reason", "")
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
        if ended and (container.get("restartCount", 0) or state.get("terminated")):
            return f"pod {name} has ended ({ended.get('reason', 'Error')}, exit code {ended.get('exitCode')})"
        if waiting in _HOPELESS:
            return f"pod {name} cannot run ({waiting})"
    return ""


def canary_readiness(pods: Sequence[Pod], replicas: int) -> tuple[Readiness, str]:
    """How the new version is, and the sentence that says why it is dead."""
    here = [pod for pod in pods if not pod.leaving]
    fault = next((pod.fault for pod in here if pod.fault), "")
    if fault:
        return "dead", fault
    if sum(pod.ready for pod in here) >= replicas:
        return "ready", ""
    return ("unready" if any(pod.running for pod in here) else "starting"), ""


def baseline_readiness(pods: Sequence[Pod]) -> Readiness:
    """How the version in service is: one ready pod serves."""
    here = [pod for pod in pods if not pod.leaving]
    if any(pod.ready for pod in here):
        return "ready"
    return "unready" if here else "starting"

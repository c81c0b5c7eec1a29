"""What the controller knows without asking: watched objects in reduced form, and whose turn it is at each target.

It holds no decisions. Objects come from watches and may be a moment old; whatever must be certain is asked for anew
by the driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.components.rollout_controller.adapters.pods import Pod, read_pod
from tallystick.components.rollout_controller.consent import Approval
from tallystick.components.rollout_controller.release import Release, place_of, seconds

Place = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A rollout as others see it."""

    name: str
    uid: str
    place: Place
    created_s: float
    when_busy: str
    phase: str
    claimed: bool
    finished: bool


class Desk:
    """Watched objects by what they belong to. All of it is called from one event loop."""

    def __init__(self) -> None:
        self._pods: dict[Place, dict[str, Pod]] = {}
        self._deployments: dict[Place, Mapping[str, Any]] = {}
        self._routes: dict[Place, Mapping[str, Any]] = {}
        self._approvals: dict[str, dict[str, Approval]] = {}
        self._rivals: dict[Place, dict[str, Rival]] = {}
        self._claims: dict[Place, str] = {}
        self._bells: dict[str, tuple[Place, asyncio.Event]] = {}

    # What the watches bring.

    def pod(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A pod of some SeldonDeployment."""
        pod = read_pod(body)
        place = (pod.namespace, pod.deployment)
        here = self._pods.setdefault(place, {})
        before = here.get(pod.name)
        if gone:
            if before is not None and before.uid == pod.uid:
                del here[pod.name]
        else:
            here[pod.name] = pod
        if gone or before is None or (before.ready, before.fault, before.uid) != (pod.ready, pod.fault, pod.uid):
            self.ring(place)

    def deployment(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A SeldonDeployment; of its spec only what is looked at."""
        place = _place(body)
        if gone:
            self._deployments.pop(place, None)
        else:
            kept = [{key: p.get(key) for key in ("name", "traffic")} for p in body["spec"].get("predictors") or []]
            annotations = dict(body["metadata"].get("annotations") or {})
            self._deployments[place] = {"metadata": {"annotations": annotations}, "spec": {"predictors": kept}}
        self.ring(place)

    def virtual_service(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A VirtualService; only those that share a name with something of ours are ever asked for."""
        place = _place(body)
        if gone:
            self._routes.pop(place, None)
        else:
            kept = [{"route": [dict(d) for d in r.get("route") or []]} for r in body["spec"].get("http") or []]
            self._routes[place] = {"spec": {"http": kept}}
        self.ring(place)

    def approval(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A ModelApproval."""
        metadata, spec = body["metadata"], body.get("spec") or {}
        here = self._approvals.setdefault(metadata["namespace"], {})
        if gone:
            here.pop(metadata["name"], None)
            return
        here[metadata["name"]] = Approval(
            name=metadata["name"],
            rollout=spec.get("rollout", ""),
            digest=spec.get("digest", ""),
            approver=spec.get("approver", ""),
            decision=spec.get("decision", ""),
            created_s=seconds(metadata["creationTimestamp"]),
        )
        for place, rivals in self._rivals.items():
            if place[0] == metadata["namespace"] and any(r.name == spec.get("rollout") for r in rivals.values()):
                self.ring(place)

    def rollout(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A ModelRollout, as the others at its target see it."""
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        place = place_of(body)
        if place is None:
            return
        here = self._rivals.setdefault(place, {})
        before = here.get(metadata["uid"])
        if gone:
            here.pop(metadata["uid"], None)
            self.leave(metadata["uid"], place)
            return
        here[metadata["uid"]] = Rival(
            name=metadata["name"],
            uid=metadata["uid"],
            place=place,
            created_s=seconds(metadata["creationTimestamp"]),
            when_busy=spec.get("whenBusy", "Wait"),
            phase=status.get("phase", "Pending"),
            claimed=bool(status.get("engine")),
            finished=bool(status.get("finished")),
        )
        if before is None:
            self.ring(place)

    # What the drivers ask.

    def pods(self, place: Place) -> Sequence[Pod]:
        """Pods of a target."""
        return list(self._pods.get(place, {}).values())

    def known_deployment(self, place: Place) -> Mapping[str, Any] | None:
        """The SeldonDeployment, reduced."""
        return self._deployments.get(place)

    def known_routes(self, place: Place) -> Mapping[str, Any] | None:
        """The VirtualService, reduced."""
        return self._routes.get(place)

    def approvals_in(self, namespace: str) -> Iterable[Approval]:
        """All approvals of a namespace."""
        return list(self._approvals.get(namespace, {}).values())

    def failed_first(self, namespace: str, rollout: str) -> bool:
        """Whether a rollout of this name has ended as Failed."""
        return any(
            rival.name == rollout and rival.phase == "Failed"
            for place, rivals in self._rivals.items()
            if place[0] == namespace
            for rival in rivals.values()
        )

    def claim(self, release: Release) -> str:
        """Take the target for a rollout: the one that has begun goes on, else the oldest begins."""
        place = release.place
        if self._claims.get(place) == release.uid:
            return ""
        others = [rival for rival in self._rivals.get(place, {}).values() if rival.uid != release.uid]
        holder = self._claims.get(place)
        for rival in others:
            if rival.uid == holder or (rival.claimed and not rival.finished):
                return f"{rival.name} is under way at {place[1]} (phase {rival.phase})"
        older = [r for r in others if not r.finished and (r.created_s, r.name) < (release.created_s, release.name)]
        if older:
            return f"{older[0].name} is before it at {place[1]}"
        self._claims[place] = release.uid
        return ""

    def superseded_by(self, release: Release) -> str:
        """Name of a younger rollout of the same target that is to supersede this one."""
        here = self._rivals.get(release.place, {}).values()
        younger = [r for r in here if r.uid != release.uid and r.when_busy == "Supersede" and not r.finished
                   and (r.created_s, r.name) > (release.created_s, release.name)]  # fmt: skip
        return min(younger, key=lambda r: r.created_s).name if younger else ""

    def leave(self, uid: str, place: Place) -> None:
        """The rollout has ended or is gone: the next one may begin."""
        if self._claims.get(place) == uid:
            del self._claims[place]
        self._bells.pop(uid, None)
        self.ring(place)

    def bell(self, uid: str, place: Place) -> asyncio.Event:
        """Rung when something about the target changes that a driver should look at now."""
        return self._bells.setdefault(uid, (place, asyncio.Event()))[1]

    def ring(self, place: Place) -> None:
        """Wake the drivers of a target."""
        for at, bell in self._bells.values():
            if at == place:
                bell.set()


def _place(body: Mapping[str, Any]) -> Place:
    return body["metadata"]["namespace"], body["metadata"]["name"]

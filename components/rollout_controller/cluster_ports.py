"""What a driver needs of a cluster, as Protocols: the local runtime's ports made asynchronous.

One process drives hundreds of rollouts, so nothing here may block. The adapters know kinds and calls; the drivers know
only this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from tallystick.components.rollout_controller.adapters.pods import Pod
from tallystick.components.rollout_controller.consent import Approval
from tallystick.components.rollout_controller.observation import Arm, Reading, References
from tallystick.components.rollout_controller.release import Release

Object = dict[str, Any]


class Cluster(Protocol):
    """The calls that change or confirm something."""

    async def deployment(self, namespace: str, name: str) -> Object | None:
        """A SeldonDeployment as it is."""

    async def apply_deployment(self, manifest: Mapping[str, Any]) -> Object:
        """Server-side apply."""

    async def virtual_service(self, namespace: str, name: str) -> Object | None:
        """A VirtualService as it is."""

    async def set_routes(self, virtual_service: Mapping[str, Any], routes: list[Object]) -> Object:
        """Replace its HTTP routes."""

    async def delete_destination_rule(self, namespace: str, name: str) -> None:
        """Remove it, or find it gone."""

    async def rollout(self, namespace: str, name: str) -> Object | None:
        """The ModelRollout as it is."""

    async def write_status(self, namespace: str, name: str, version: str, status: Mapping[str, Any]) -> Object:
        """Write its status, if it is still at this resourceVersion."""


class Views(Protocol):
    """What is known without asking, because it is watched."""

    def pods(self, place: tuple[str, str]) -> Sequence[Pod]:
        """Pods of a target."""

    def deployment(self, place: tuple[str, str]) -> Mapping[str, Any] | None:
        """The SeldonDeployment."""

    def virtual_service(self, place: tuple[str, str]) -> Mapping[str, Any] | None:
        """The VirtualService."""

    def approvals(self, namespace: str) -> Iterable[Approval]:
        """All approvals of a namespace."""

    def failed_first(self, namespace: str, rollout: str) -> bool:
        """Whether this rollout was a first version that never served."""


class Queue(Protocol):
    """Who may touch a target."""

    def claim(self, release: Release) -> str:
        """Take the target, or say in a sentence who has it."""

    def superseded_by(self, release: Release) -> str:
        """Name of the rollout that wants this one out of its way; empty for none."""


class Scraper(Protocol):
    """Reads pods' counters."""

    async def read(self, arms: Iterable[tuple[Arm, Pod]]) -> tuple[tuple[Reading, ...], References]:
        """Whatever can be read now."""

"""One controller at a time: leadership as a Lease that must be renewed, like every Kubernetes component's.

A leader that cannot renew stops before another may start: its time runs from the moment before it asked, and the
others' from the moment they saw the last renewal, on their own clocks, so that clocks need not agree.

References
----------
kubernetes/client-go, tools/leaderelection.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tallystick.components.core.errors import TallystickError
from tallystick.components.rollout_controller.adapters.kubernetes import KubernetesApi
from tallystick.components.rollout_controller.settings import Settings

_MARGIN = 0.7


class Leadership:
    """This process's candidacy."""

    def __init__(self, api: KubernetesApi, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._observed: tuple[str, float] = ("", 0.0)

    async def acquire(self) -> None:
        """Wait until this process leads."""
        while not await self._try():
            await asyncio.sleep(self._settings.renew_s / 2.0)

    async def hold(self) -> None:
        """Renew until that fails for too long; returns when leadership is lost."""
        renewed = time.monotonic()
        while time.monotonic() - renewed < self._settings.lease_s * _MARGIN:
            await asyncio.sleep(self._settings.renew_s)
            asked = time.monotonic()
            try:
                mine = await asyncio.wait_for(self._try(), self._settings.renew_s)
            except TimeoutError:
                continue
            if mine:
                renewed = asked

    async def release(self) -> None:
        """Give leadership up, so that the next one need not wait."""
        try:
            lease = await self._api.lease(self._settings.lease_namespace, self._settings.lease_name)
            if lease is not None and lease["spec"].get("holderIdentity") == self._settings.identity:
                lease["spec"]["holderIdentity"] = ""
                await self._api.write_lease(lease)
        except TallystickError:
            return

    async def _try(self) -> bool:
        try:
            lease = await self._api.lease(self._settings.lease_namespace, self._settings.lease_name)
            if lease is not None and not self._free(lease):
                return False
            await self._api.write_lease(self._claim(lease))
        except TallystickError:
            return False
        return True

    def _free(self, lease: Mapping[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") in (None, "", self._settings.identity):
            return True
        seen = lease["metadata"]["resourceVersion"]
        if self._observed[0] != seen:
            self._observed = (seen, time.monotonic())
        return time.monotonic() - self._observed[1] > float(spec.get("leaseDurationSeconds") or self._settings.lease_s)

    def _claim(self, lease: Mapping[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        claimed: dict[str, Any] = copy.deepcopy(dict(lease)) if lease else {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._settings.lease_name, "namespace": self._settings.lease_namespace},
        }  # fmt: skip
        spec = claimed.setdefault("spec", {})
        if spec.get("holderIdentity") != self._settings.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        spec["holderIdentity"] = self._settings.identity
        spec["leaseDurationSeconds"] = round(self._settings.lease_s)
        spec["renewTime"] = now
        return claimed

"""Brings a version to a target and moves its traffic: through Seldon Core, and past it where that is not enough.

What is written is read back. Each call may be made again at any time; whatever is already so is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from tallystick.components.core.errors import TallystickError
from tallystick.components.rollout_controller.adapters import istio, seldon
from tallystick.components.rollout_controller.cluster_ports import Cluster, Views
from tallystick.components.rollout_controller.ports import RetryableError
from tallystick.components.rollout_controller.release import Release

_TRIES = 3


class Delivery:
    """Writes to one target.

    Parameters
    ----------
    tell
        Takes an event: its type, reason and message.
    server_image
        Image of the model server where a release names none.
    """

    def __init__(
        self, cluster: Cluster, views: Views, tell: Callable[[str, str, str], None], *, server_image: str
    ) -> None:
        self._cluster, self._views, self._tell, self._server_image = cluster, views, tell, server_image

    async def install(self, release: Release, baseline: str) -> None:
        """Start the new version beside the one in service, or as the first."""
        watched = self._views.deployment(release.place)
        if baseline and release.version in seldon.traffic(watched):
            return
        live = await self._cluster.deployment(release.namespace, release.target)
        canary = seldon.predictor(release, release.server.image or self._server_image)
        if not baseline:
            live_ours = None if live is None else {**live, "spec": {**live["spec"], "predictors": []}}
            wanted = seldon.with_canary(live_ours, canary)
        elif live is None or release.version in seldon.traffic(live):
            return
        else:
            wanted = seldon.with_canary(live, canary)
        if live is None or [p["name"] for p in seldon.predictors(live)] != [p["name"] for p in wanted]:
            await self._cluster.apply_deployment(seldon.applied(live, release, wanted))
            self._tell("Normal", "Started", f"predictor {release.version} added to {release.target}")

    async def set_traffic(self, release: Release, baseline: str, *, weight_pct: float, urgent: bool) -> None:
        """First what Seldon writes the gateway's routes from, then the routes themselves where that is not enough.

        A rollback never relies on Seldon: while any pod is not ready it writes no route.
        """
        changed = False
        failure: TallystickError | None = None
        for _ in range(_TRIES):  # Seldon writes its status all the time: a conflict is no reason to wait
            try:
                changed, failure = await self._set_seldon_traffic(release, baseline, weight_pct), None
                break
            except TallystickError as error:
                failure = error
        if urgent or (not changed and failure is None):
            await self._set_routes(release, baseline, weight_pct)
        if failure is not None:
            raise RetryableError(str(failure)) from failure

    async def _set_seldon_traffic(self, release: Release, baseline: str, weight_pct: float) -> bool:
        live = await self._cluster.deployment(*release.place)
        if live is None:
            return False
        shares = seldon.traffic(live)
        wanted = seldon.with_traffic(live, canary=release.version, baseline=baseline, weight_pct=weight_pct)
        if release.version not in shares or {p["name"]: p["traffic"] for p in wanted} == shares:
            return False
        await self._cluster.apply_deployment(seldon.applied(live, release, wanted))
        return True

    async def _set_routes(self, release: Release, baseline: str, weight_pct: float) -> None:
        live = await self._cluster.virtual_service(*release.place)
        if live is None:
            return
        found = istio.weight_pct(live, deployment=release.target, canary=release.version)
        if found is None or found == weight_pct:
            return
        routes = istio.with_weight(
            live,
            deployment=release.target,
            canary=release.version,
            baseline=baseline,
            weight_pct=weight_pct,
        )
        await self._cluster.set_routes(live, routes)
        again = await self._cluster.virtual_service(*release.place)
        read_back = istio.weight_pct(again, deployment=release.target, canary=release.version)
        if read_back != weight_pct:
            raise RetryableError(
                f"the VirtualService {release.target} says {read_back} % after {weight_pct:g} % was written"
            )

    async def remove(self, release: Release, version: str) -> None:
        """Take a predictor out, and the DestinationRule that Seldon would leave behind."""
        live = await self._cluster.deployment(*release.place)
        if live is not None and version in seldon.traffic(live) and len(seldon.predictors(live)) > 1:
            await self._cluster.apply_deployment(seldon.applied(live, release, seldon.without(live, version)))
            self._tell("Normal", "Removed", f"predictor {version} removed from {release.target}")
        with contextlib.suppress(TallystickError):
            await self._cluster.delete_destination_rule(release.namespace, istio.service(release.target, version))

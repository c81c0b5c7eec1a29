"""Joins kopf to the driver: which objects are watched, one task a rollout, and what happens when one is deleted.

Nothing is decided here. The handlers are registered by a function, so that importing this module does nothing and
two controllers in one process share nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import kopf

from tallystick.components.core.errors import InputError
from tallystick.components.rollout_controller.adapters.kubernetes import ClusterError, KubernetesApi
from tallystick.components.rollout_controller.adapters.pod_metrics import PodMetrics
from tallystick.components.rollout_controller.desk import Desk
from tallystick.components.rollout_controller.driver import Driver, OvertakenError, World
from tallystick.components.rollout_controller.ports import RetryableError
from tallystick.components.rollout_controller.release import place_of, read_release
from tallystick.components.rollout_controller.settings import Settings

ROLLOUTS = ("tallystick.dev", "v1alpha1", "modelrollouts")
APPROVALS = ("tallystick.dev", "v1alpha1", "modelapprovals")
DEPLOYMENTS = ("machinelearning.seldon.io", "v1", "seldondeployments")
ROUTES = ("networking.istio.io", "v1beta1", "virtualservices")
_PODS_OF_SELDON = "seldon-deployment-id"
_SHORTEST_S = 0.3
_MALFORMED_S = 60.0
_log = logging.getLogger("tallystick.controller")


def log_in(**_: Any) -> kopf.ConnectionInfo:
    """Credentials of this pod's service account, or of the kubeconfig.

    Raises
    ------
    ClusterError
        There are neither.
    """
    settings = kopf.OperatorSettings()
    found: kopf.ConnectionInfo | None = kopf.login_with_service_account(settings=settings)
    found = found or kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise ClusterError("no service account and no kubeconfig: cannot log in to a cluster")
    return found


class Controller:
    """One controller's handlers and what they share."""

    def __init__(self, api: KubernetesApi, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._desk = Desk()
        self._metrics = PodMetrics(timeout_s=settings.scrape_timeout_s)
        self._drivers: dict[str, Driver] = {}

    def registry(self) -> kopf.OperatorRegistry:
        """All handlers of this controller."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(log_in)
        kopf.on.startup(registry=registry)(self._configure)
        kopf.on.cleanup(registry=registry)(self._close)
        watched: list[tuple[tuple[str, ...], Callable[..., None], dict[str, Any]]] = [
            (("pods",), self._desk.pod, {"labels": {_PODS_OF_SELDON: kopf.PRESENT}}),
            (DEPLOYMENTS, self._desk.deployment, {}),
            (ROUTES, self._desk.virtual_service, {}),
            (APPROVALS, self._desk.approval, {}),
            (ROLLOUTS, self._desk.rollout, {}),
        ]
        for resource, enter, options in watched:
            name = resource[-1]
            # The index is filled before anything is driven; it keeps nothing, the desk does.
            kopf.index(*resource, id=f"known-{name}", registry=registry, **options)(_indexer(enter))
            kopf.on.event(*resource, id=f"seen-{name}", registry=registry, **options)(_watcher(enter))
        kopf.daemon(
            *ROLLOUTS, id="drive", registry=registry, backoff=5.0, cancellation_backoff=4.0, cancellation_timeout=5.0
        )(self._drive)
        kopf.on.delete(*ROLLOUTS, id="give-back", registry=registry)(self._give_back)
        return registry

    def _configure(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.finalizer = "tallystick.dev/give-back"
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="controller.tallystick.dev")
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="controller.tallystick.dev")
        settings.watching.label_selectors["pods"] = _PODS_OF_SELDON
        settings.watching.server_timeout = 300
        settings.watching.connect_timeout = 10
        settings.networking.request_timeout = 30
        settings.networking.error_backoffs = (1, 1, 2, 3, 5, 5, 5, 5, 10, 10, 10, 10, 20, 20, 30, 60, 60)
        settings.posting.loggers = False

    async def _close(self, **_: Any) -> None:
        await self._metrics.close()
        await self._api.close()

    async def _drive(self, stopped: kopf.DaemonStopped, body: kopf.Body, uid: str, **_: Any) -> None:
        """Drive one rollout until it is finished, deleted or another controller has taken over."""
        while not stopped:
            try:
                driver = Driver(body, self._world(body))
                if driver.finished:
                    return
                self._drivers[uid] = driver
                await self._until_finished(driver, stopped, body, uid)
                return
            except OvertakenError as error:
                _log.warning("%s", error)
                await asyncio.sleep(_SHORTEST_S * 10)
            except InputError as error:  # a memory that cannot be read: nothing is done in its place
                _log.error("%s", error)
                await asyncio.sleep(_MALFORMED_S)

    async def _until_finished(self, driver: Driver, stopped: kopf.DaemonStopped, body: kopf.Body, uid: str) -> None:
        namespace, name = str(body["metadata"]["namespace"]), str(body["metadata"]["name"])
        place = place_of(body) or (namespace, "")
        bell = self._desk.bell(uid, place)
        while not stopped:
            bell.clear()
            generation = int(body["metadata"].get("generation", 0))
            try:
                wait_s = await driver.look(read_release(body))
            except InputError as error:
                await driver.refuse(error, generation, namespace, name)
                wait_s = _MALFORMED_S
            if driver.finished:
                self._drivers.pop(uid, None)
                self._desk.leave(uid, place)
                return
            await _pause(bell, stopped, wait_s, body, generation)

    async def _give_back(self, body: kopf.Body, uid: str, **_: Any) -> None:
        try:
            release = read_release(body)
            driver = self._drivers.get(uid) or Driver(body, self._world(body))
        except InputError as error:  # nothing of it was ever started, or nobody can say what
            _log.error("deleted without being given back: %s", error)
            return
        try:
            await driver.give_back(release)
        except RetryableError as error:
            raise kopf.TemporaryError(str(error), delay=1.0) from error
        self._drivers.pop(uid, None)
        self._desk.leave(uid, release.place)

    def _world(self, body: kopf.Body) -> World:
        def tell(kind: str, reason: str, message: str) -> None:
            _log.info("%s/%s %s: %s", body["metadata"]["namespace"], body["metadata"]["name"], reason, message)
            kopf.event(body, type=kind, reason=reason, message=message[:1000])

        return World(
            cluster=self._api,
            views=_Views(self._desk),
            queue=self._desk,
            scraper=self._metrics,
            now=time.time,
            tell=tell,
            server_image=self._settings.server_image,
        )


class _Views:
    """The desk under the names that a driver uses."""

    def __init__(self, desk: Desk) -> None:
        self.pods, self.deployment, self.virtual_service = desk.pods, desk.known_deployment, desk.known_routes
        self.approvals, self.failed_first = desk.approvals_in, desk.failed_first


def _indexer(enter: Callable[..., None]) -> Callable[..., None]:
    def known(body: kopf.Body, **_: Any) -> None:
        enter(body, gone=False)

    return known


def _watcher(enter: Callable[..., None]) -> Callable[..., None]:
    def seen(event: Mapping[str, Any], **_: Any) -> None:
        if event["type"] == "DELETED":
            enter(event["object"], gone=True)

    return seen


async def _pause(
    bell: asyncio.Event, stopped: kopf.DaemonStopped, wait_s: float, body: kopf.Body, generation: int
) -> None:
    """Wait for the next look: until it is due, the bell rings, the spec changes or the controller stops."""
    await asyncio.sleep(_SHORTEST_S)
    left = wait_s - _SHORTEST_S
    while left > 0 and not stopped and not bell.is_set() and body["metadata"].get("generation") == generation:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), min(left, 1.0))
        left -= 1.0

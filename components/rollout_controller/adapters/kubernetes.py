"""A small client of the Kubernetes API: the dozen calls that the controller makes, and its errors in our own tree.

What may be tried again is a :class:`RetryableError`; what was refused for good is a :class:`ClusterError`. There is
no cache and no retrying here: who calls knows whether waiting is right.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp

from tallystick.components.core.errors import TallystickError
from tallystick.components.rollout_controller.adapters import istio, seldon
from tallystick.components.rollout_controller.ports import RetryableError

FIELD_MANAGER = "tallystick"
_LOGIN_LASTS_S = 300.0
_JSON = "application/json"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_RETRYABLE = frozenset({401, 408, 429, 500, 502, 503, 504})

Object = dict[str, Any]


class ClusterError(TallystickError):
    """The API server refused it, and will again."""


class ConflictError(RetryableError):
    """The object has changed since it was read."""


class Credentials(Protocol):
    """What a login gives."""

    server: str

    def as_http_headers(self) -> dict[str, str]:
        """Authorisation."""

    def as_ssl_context(self) -> Any:
        """Trust and client certificate."""


class KubernetesApi:
    """Calls to one API server.

    Parameters
    ----------
    login
        Gives credentials; asked again every few minutes, as the tokens of pods are short-lived.
    timeout_s
        For one call.
    """

    def __init__(self, login: Callable[[], Credentials], *, timeout_s: float = 10.0) -> None:
        self._login, self._timeout = login, aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._credentials: Credentials | None = None
        self._logged_in = 0.0
        self.calls = 0

    async def close(self) -> None:
        """Let the connections go."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def deployment(self, namespace: str, name: str) -> Object | None:
        """A SeldonDeployment, or None."""
        return await self._get(_path(seldon.API, namespace, "seldondeployments", name))

    async def apply_deployment(self, manifest: Mapping[str, Any]) -> Object:
        """Server-side apply under our own field manager; ConflictError when it has changed since it was read."""
        metadata = manifest["metadata"]
        path = _path(seldon.API, metadata["namespace"], "seldondeployments", metadata["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("PATCH", path, query=query, content=_APPLY, body=manifest)

    async def virtual_service(self, namespace: str, name: str) -> Object | None:
        """A VirtualService, or None."""
        return await self._get(_path(istio.API, namespace, "virtualservices", name))

    async def set_routes(self, virtual_service: Mapping[str, Any], routes: list[Object]) -> Object:
        """Replace the HTTP routes; ConflictError when it has changed since it was read."""
        metadata = virtual_service["metadata"]
        path = _path(istio.API, metadata["namespace"], "virtualservices", metadata["name"])
        change = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": {"http": routes}}
        return await self._call("PATCH", path, query={"fieldManager": FIELD_MANAGER}, content=_MERGE, body=change)

    async def delete_destination_rule(self, namespace: str, name: str) -> None:
        """Remove a DestinationRule that Seldon left behind; it may be gone already."""
        path = _path(istio.API, namespace, "destinationrules", name)
        try:
            await self._call("DELETE", path)
        except _MissingError:
            return

    async def rollout(self, namespace: str, name: str) -> Object | None:
        """A ModelRollout, or None."""
        return await self._get(_path("tallystick.dev/v1alpha1", namespace, "modelrollouts", name))

    async def write_status(self, namespace: str, name: str, version: str, status: Mapping[str, Any]) -> Object:
        """Replace fields of a ModelRollout's status; ConflictError when it is no longer at this resourceVersion."""
        path = _path("tallystick.dev/v1alpha1", namespace, "modelrollouts", name) + "/status"
        change = {"metadata": {"resourceVersion": version}, "status": status}
        return await self._call("PATCH", path, query={"fieldManager": FIELD_MANAGER}, content=_MERGE, body=change)

    async def lease(self, namespace: str, name: str) -> Object | None:
        """A Lease, or None."""
        return await self._get(_path("coordination.k8s.io/v1", namespace, "leases", name))

    async def write_lease(self, lease: Mapping[str, Any]) -> Object:
        """Create a Lease, or replace the one that was read; ConflictError when another was faster."""
        metadata = lease["metadata"]
        folder = _path("coordination.k8s.io/v1", metadata["namespace"], "leases")
        if "resourceVersion" in metadata:
            return await self._call("PUT", f"{folder}/{metadata['name']}", content=_JSON, body=lease)
        return await self._call("POST", folder, content=_JSON, body=lease)

    async def _get(self, path: str) -> Object | None:
        try:
            return await self._call("GET", path)
        except _MissingError:
            return None

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: str = _JSON,
        body: Mapping[str, Any] | None = None,
    ) -> Object:
        self.calls += 1
        credentials, session = self._open()
        try:
            answer = await session.request(
                method,
                credentials.server.rstrip("/") + path,
                params=dict(query or {}),
                data=None if body is None else json.dumps(body),
                headers={**credentials.as_http_headers(), "Content-Type": content, "Accept": _JSON},
            )
            async with answer:
                return _checked(answer.status, await answer.text(), f"{method} {path}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RetryableError(f"{method} {path}: the API server did not answer ({type(error).__name__})") from error
        except RetryableError:
            self._logged_in = 0.0  # a token may have expired
            raise

    def _open(self) -> tuple[Credentials, aiohttp.ClientSession]:
        now = time.monotonic()
        if self._credentials is None or now - self._logged_in > _LOGIN_LASTS_S:
            self._credentials, self._logged_in = self._login(), now
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(ssl=self._credentials.as_ssl_context(), limit=32)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._credentials, self._session


class _MissingError(ClusterError):
    """404."""


def _checked(status: int, text: str, what: str) -> Object:
    if status < 300:
        answer: Object = json.loads(text)
        return answer
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        message = text[:200]
    said = f"{what}: {status} {message}"
    if status == 404:
        raise _MissingError(said)
    if status == 409:
        raise ConflictError(said)
    if status in _RETRYABLE:
        raise RetryableError(said)
    raise ClusterError(said)


def _path(api: str, namespace: str, kind: str, name: str = "") -> str:
    return f"/apis/{api}/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")

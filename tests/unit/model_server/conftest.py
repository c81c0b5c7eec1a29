"""One model of each kind, and a service around one, without a socket."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server.app import Service, make_app
from tallystick.components.model_server.counters import Counters
from tallystick.components.model_server.logs import Log
from tallystick.components.model_server.scoring import Scorer, load_session
from tallystick.components.model_server.settings import Settings
from tests.support.packages import Lending, lending, write_lending_package


@pytest.fixture(scope="session")
def data() -> Lending:
    return lending()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, data: Lending) -> ModelPackage:
    return write_lending_package(tmp_path_factory.mktemp("packages") / "boosted", data=data)


@dataclass(repr=False)
class Served:
    """A service, its application, and what it logged."""

    service: Service
    app: ASGIApp
    log_read: int

    async def post(self, body: Any, path: str = "", **others: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else None
        async with self._client() as client:
            target = path or f"/v2/models/{self.service.name}/infer"
            return await client.post(target, content=content, json=None if content is not None else body, **others)

    async def get(self, path: str) -> httpx.Response:
        async with self._client() as client:
            return await client.get(path)

    def _client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://server")

    def logged(self) -> str:
        os.set_blocking(self.log_read, False)
        try:
            return os.read(self.log_read, 1 << 20).decode()
        except BlockingIOError:
            return ""


@pytest.fixture
def serve_package() -> Callable[..., Served]:
    descriptors: list[int] = []

    def make(package: ModelPackage, predictions: Any = None, **settings: Any) -> Served:
        read, write = os.pipe()
        descriptors.extend((read, write))
        scorer = Scorer(package, load_session(package))
        chosen = Settings(model=str(package.folder), **settings)
        service = Service(package, scorer, Counters(package), chosen, Log(write), predictions)
        return Served(service, make_app(service), read)

    yield make  # type: ignore[misc]
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.fixture
def served(package: ModelPackage, serve_package: Callable[..., Served]) -> Served:
    return serve_package(package)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"

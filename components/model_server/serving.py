"""One process that serves: loads the model, listens, and ends without failing a request.

uvicorn speaks HTTP; what is added here is how it ends. On SIGTERM a load balancer has not yet heard that this
server goes away, so the server stays: not ready, answering, and closing each connection after its answer.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Sequence
from types import FrameType

import uvicorn

from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server.app import Service, make_app
from tallystick.components.model_server.counters import Counters
from tallystick.components.model_server.logs import Log
from tallystick.components.model_server.prediction_log import open_prediction_log
from tallystick.components.model_server.scoring import Scorer, load_session
from tallystick.components.model_server.settings import Settings

_POLL_S = 0.05
_KEEP_ALIVE_S = 75
_BACKLOG = 1024
_MAXIMUM_CONNECTIONS = 4096


class DrainingServer(uvicorn.Server):
    """uvicorn's server that goes on answering after SIGTERM until callers have gone elsewhere."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._drained: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: end at once."""
        if self._service.draining or not self.started:
            super().handle_exit(sig, frame)
            return
        self._service.draining = True
        self._service.log.line("info", "draining", signal=signal.Signals(sig).name)

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn asks ten times a second whether to end."""
        ending = await super().on_tick(counter)
        if self._service.draining and self._drained is None:
            self._drained = asyncio.create_task(self._drain())
        return ending

    async def _drain(self) -> None:
        settings, began = self._service.settings, time.monotonic()
        while True:
            now = time.monotonic()
            quiet_since = max(self._service.last_request, began)
            if now - quiet_since >= settings.drain_quiet_s or now - began >= settings.drain_limit_s:
                self.should_exit = True
                return
            await asyncio.sleep(_POLL_S)


def listen(host: str, port: int) -> socket.socket:
    """A listening address; OSError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.set_inheritable(True)
    return bound


def load_service(package: ModelPackage, counters: Counters, settings: Settings, log: Log) -> Service:
    """The model in memory, its stored examples scored right."""
    predictions = open_prediction_log(settings.prediction_log, failed=lambda: counters.error("prediction_log"))
    return Service(package, Scorer(package, load_session(package)), counters, settings, log, predictions)


def serve(service: Service, sockets: Sequence[socket.socket]) -> None:
    """Serve until told to end."""
    config = uvicorn.Config(
        make_app(service),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        limit_concurrency=_MAXIMUM_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=int(service.settings.drain_limit_s) + 1,
    )
    DrainingServer(config, service).run(sockets=list(sockets))
    if service.predictions:
        service.predictions.close()

"""Starts the controller: reads arguments and the environment, waits for leadership, runs kopf until told to end.

python -m tallystick.components.rollout_controller
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

import kopf

from tallystick.components.core import images
from tallystick.components.core.errors import ExitCode, TallystickError
from tallystick.components.rollout_controller.adapters.kubernetes import KubernetesApi
from tallystick.components.rollout_controller.adapters.leadership import Leadership
from tallystick.components.rollout_controller.handlers import Controller, log_in
from tallystick.components.rollout_controller.settings import Settings

_log = logging.getLogger("tallystick.controller")


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from arguments and, for what the pod's manifest sets, the environment."""
    parser = argparse.ArgumentParser(prog="rollout_controller", description="Drives ModelRollouts on a cluster.")
    add = parser.add_argument
    default = environment.get("TALLYSTICK_SERVER_IMAGE") or images.reference("model_server")
    add("--server-image", default=default, help="image of the model server where a ModelRollout names none")
    add("--identity", default=environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}")
    add("--lease-namespace", default=environment.get("POD_NAMESPACE") or Settings.lease_namespace)
    add("--lease-seconds", type=float, default=Settings.lease_s, help="how long leadership lasts without renewal")
    add("--health-port", type=int, default=Settings.health_port, help="where /healthz answers; 0 for nowhere")
    given = parser.parse_args(arguments)
    return Settings(
        server_image=given.server_image,
        identity=given.identity,
        lease_namespace=given.lease_namespace,
        lease_s=given.lease_seconds,
        renew_s=given.lease_seconds / 4.0,
        health_port=given.health_port,
    )


async def run(settings: Settings) -> None:
    """Lead until told to end or until leadership is lost; then end in good order."""
    api = KubernetesApi(log_in, timeout_s=settings.call_timeout_s)
    leadership = Leadership(api, settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    waiting = {asyncio.create_task(leadership.acquire()), told := asyncio.create_task(stop.wait())}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if not told.done():
        _log.info("%s leads", settings.identity)
        controller = Controller(api, settings)
        operator = asyncio.create_task(_operate(controller, settings, stop))
        holding = asyncio.create_task(leadership.hold())
        await asyncio.wait({operator, holding, told}, return_when=asyncio.FIRST_COMPLETED)
        if holding.done():
            _log.warning("leadership is lost")
        stop.set()
        await asyncio.wait({operator}, timeout=15.0)
        holding.cancel()
        if operator.done() and (error := operator.exception()):
            _log.error("the operator ended: %s", error)
    for task in waiting:
        task.cancel()
    await leadership.release()
    await api.close()


async def _operate(controller: Controller, settings: Settings, stop: asyncio.Event) -> None:
    health = f"http://0.0.0.0:{settings.health_port}/healthz" if settings.health_port else None
    await kopf.operator(
        registry=controller.registry(),
        clusterwide=True,
        standalone=True,
        liveness_endpoint=health,
        stop_flag=stop,
    )


def main() -> int:
    """Run; the exit code is the error tree's."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    _log.setLevel(logging.INFO)
    try:
        asyncio.run(run(parse_settings(sys.argv[1:], os.environ)))
    except TallystickError as error:
        sys.stderr.write(f"rollout_controller: {error}\n")
        return int(error.exit_code)
    return int(ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(main())

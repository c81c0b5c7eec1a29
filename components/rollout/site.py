"""The local site of a trial: two real model servers behind a real Envoy, and the ports of the engine over them.

Everything listens on 127.0.0.1, logs into one folder and dies with this process. Servers and Envoy are looked
after: Envoy is started again when it dies, from the configuration that is in force; a server that dies stays
dead, as that is for the engine to judge.
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tallystick.components.core.errors import StepError
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.adapters.envoy import EnvoyAdmin, EnvoyFiles, EnvoyTraffic
from tallystick.components.rollout_controller.adapters.machine import (
    Child,
    envoy_binary,
    free_port,
    last_lines,
    launch,
    wait_until,
)
from tallystick.components.rollout_controller.adapters.scraping import ServerScraper
from tallystick.components.rollout_controller.observation import (
    ARMS,
    Arm,
    Commands,
    Observation,
    Readiness,
    References,
)

SERVED_NAME = "trial"
INFER_PATH = f"/v2/models/{SERVED_NAME}/infer"
_START_TRIES = 3
_READY_S = 30.0
_SMALLEST_TIMEOUT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Build:
    """What is started as one arm: a module that takes the model server's arguments, and the model.

    Attributes
    ----------
    module
        ``tallystick.components.model_server``, or another build of it.
    arguments
        What that build takes besides the model server's own arguments.
    """

    package: ModelPackage
    module: str = "tallystick.components.model_server"
    arguments: tuple[str, ...] = ()

    def command(self, port: int) -> list[str]:
        """The command line that starts it."""
        return [
            sys.executable, "-m", self.module, *self.arguments,
            "--model", str(self.package.folder), "--digest", f"sha256:{self.package.digest}", "--name", SERVED_NAME,
            "--host", "127.0.0.1", "--port", str(port), "--drain-quiet-seconds", "0.2", "--drain-limit-seconds", "2",
            "--quiet",
        ]  # fmt: skip


class LocalSite:
    """Both arms and the gateway, as a context.

    Parameters
    ----------
    folder
        For configuration and logs.
    rules
        The policy's rollout section: how patient the gateway is follows from its service level.
    """

    def __init__(self, folder: Path, rules: RolloutRules) -> None:
        self._folder, self._rules = folder, rules
        timeout_s = max(_SMALLEST_TIMEOUT_S, 2.0 * rules.service_level.maximum_p99_s)
        xds = folder / "envoy"
        xds.mkdir(parents=True, exist_ok=True)
        self.files = EnvoyFiles(folder=xds, port=free_port(), admin_port=free_port(), timeout_s=timeout_s)
        self.traffic = EnvoyTraffic(files=self.files)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request would bury the run's log
        self.client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=8))
        self.commands = Commands()
        self.envoy: Child | None = None
        self.servers: dict[Arm, Child] = {}
        self._retired: list[Child] = []
        self._ready: set[Arm] = set()
        self._look_timeout_s = min(0.5, max(0.1, rules.interval_s / 2.0))
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="look")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything, in bounded time."""
        from tallystick.components.core.processes import stop

        self._pool.shutdown(wait=False, cancel_futures=True)
        children = [*self.servers.values(), *self._retired, *([self.envoy] if self.envoy else [])]
        stop([child.process for child in children], grace_s=0.5)
        self.client.close()

    def open(self, baseline: Build, canary: Build) -> None:
        """Start both arms and the gateway, all traffic to the baseline.

        Raises
        ------
        StepError
            The baseline or Envoy does not come up; what they logged is in the message.
        """
        level = self._rules.service_level
        slow_after_s = self._rules.comparison.slow_after_s or level.maximum_p99_s / 4.0
        self.files.write_bootstrap(edges_s=(level.maximum_p99_s, slow_after_s))
        self.files.write_route(weight_pct=0.0, mirror=False)
        self.start_arm("baseline", baseline)
        self.start_arm("canary", canary)
        self._start_envoy()
        self.wait_for_arm("baseline")

    def start_arm(self, arm: Arm, build: Build) -> None:
        """Start an arm's server in place of the one before, and tell Envoy where it is; does not wait."""
        port = free_port()
        if arm in self.servers:
            self._retired.append(self.servers[arm])
        self._ready.discard(arm)
        number = len(self._retired) + len(self.servers)
        self.servers[arm] = launch(build.command(port), port=port, log=self._folder / f"{arm}-{number}.log")
        self.files.write_endpoint(arm, port)

    def wait_for_arm(self, arm: Arm, *, timeout_s: float = _READY_S) -> None:
        """Wait until an arm is ready.

        Raises
        ------
        StepError
            It ended or was not ready in time.
        """
        child = self.servers[arm]
        if not wait_until(lambda: not child.alive or self.readiness(arm) == "ready", timeout_s=timeout_s):
            raise StepError(f"the {arm} was not ready within {timeout_s:g} s: {last_lines(child.log)}")
        if not child.alive:
            raise StepError(f"the {arm} ended while it was starting: {last_lines(child.log)}")

    def _start_envoy(self) -> None:
        log = self._folder / "envoy.log"
        for _ in range(_START_TRIES):
            self.envoy = self._launch_envoy(log)
            if wait_until(self._envoy_settled, timeout_s=_READY_S) and self.envoy.alive:
                return
            self.envoy.end(grace_s=0.2)
        raise StepError(f"Envoy does not start: {last_lines(log)}")

    def _envoy_settled(self) -> bool:
        return self.envoy is None or not self.envoy.alive or self._admin().ready()

    def _launch_envoy(self, log: Path) -> Child:
        command = [
            str(envoy_binary()), "-c", str(self.files.bootstrap),
            "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
        ]  # fmt: skip
        return launch(command, port=self.files.port, log=log)

    def _admin(self) -> EnvoyAdmin:
        started = self.envoy.started if self.envoy else ""
        return EnvoyAdmin(
            client=self.client, port=self.files.admin_port, started=started, timeout_s=self._look_timeout_s
        )

    def scraper(self, arm: Arm) -> ServerScraper:
        """Looks at one arm's server."""
        child = self.servers[arm]
        return ServerScraper(
            client=self.client,
            arm=arm,
            instance=f"{arm}:{child.port}",
            address=f"http://127.0.0.1:{child.port}",
            started=child.started,
            timeout_s=self._look_timeout_s,
        )

    def readiness(self, arm: Arm) -> Readiness:
        """Whether an arm can serve; an ended process is dead, which no patience mends."""
        child = self.servers.get(arm)
        if child is None:
            return "unknown"
        if not child.alive:
            return "dead"
        if self.scraper(arm).ready() == "ready":
            self._ready.add(arm)
            return "ready"
        return "unready" if arm in self._ready else "starting"

    def observe(self) -> Observation:
        """Look at everything at once; each look is bounded by its timeout."""
        if self.envoy is not None and not self.envoy.alive:
            self.envoy = self._launch_envoy(self._folder / "envoy.log")
        gateway = self._pool.submit(self._admin().look)
        states = {arm: self._pool.submit(self.readiness, arm) for arm in ARMS}
        scrapes = {arm: self._pool.submit(self.scraper(arm).read) for arm in ARMS if self.servers[arm].alive}
        seen = gateway.result()
        read = {arm: scrape.result() for arm, scrape in scrapes.items()}
        found = {arm: value for arm, value in read.items() if value is not None}
        return Observation(
            readings=(*seen.readings, *(reading for reading, _ in found.values())),
            canary=states["canary"].result(),
            baseline=states["baseline"].result(),
            weight_pct=seen.weight_pct,
            mirrored=seen.mirrored,
            references=References(
                canary=found["canary"][1] if "canary" in found else (),
                baseline=found["baseline"][1] if "baseline" in found else (),
            ),
            commands=self.commands,
        )

    def remove(self, arm: Arm) -> None:
        """End an arm's server."""
        self.servers[arm].end()

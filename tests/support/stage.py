"""A namespace in which a rollout is played: Seldon's stand-in, a version in service, customers, and a controller."""

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.kubernetes import CONTROLLER, ROOT, Refused, create, get, kubectl, listed, rollout, until
from tests.support.seldon_stand_in import Proxy, SeldonStandIn

IMAGE = "localhost/tallystick/model-stand-in:test"
GATEWAY_HOST = os.environ.get("TALLYSTICK_GATEWAY_HOST", "10.77.0.2")
QUICK: dict[str, Any] = {
    "steps": [
        {"weightPercent": 20, "minimumTimeSeconds": 2, "minimumRequests": 20},
        {"weightPercent": 50, "minimumTimeSeconds": 2, "minimumRequests": 20},
    ],
    "approvals": {"required": 0},
    "analysis": {
        "intervalSeconds": 1,
        "keepWarmSeconds": 3,
        "startupSeconds": 60,
        "unreadySeconds": 10,
        "deadlineSeconds": 3000,
        "serviceLevel": {"maximumP99Seconds": 0.5, "maximumErrorRate": 0.05, "maximumSlowRate": 0.05},
        "comparison": {"tests": ["errors", "slow"], "beta": 0.2},
    },
    "server": {"image": IMAGE, "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
}


class ControllerProcess:
    """The controller as a process of its own, with the rights of its service account and no more."""

    def __init__(self, folder: Path, name: str = "first", lease_s: float = 4.0, line: "Line | None" = None) -> None:
        self._folder, self.name, self._lease_s = folder, name, lease_s
        self._kubeconfig = folder / f"{name}.kubeconfig"
        self._kubeconfig.write_text(line.kubeconfig if line else _kubeconfig_of_the_service_account())
        self._log = (folder / f"{name}.log").open("ab")
        self.process: subprocess.Popen | None = None

    def start(self) -> "ControllerProcess":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tallystick.components.rollout_controller", "--identity", self.name,
             "--lease-seconds", str(self._lease_s), "--health-port", "0"],
            env={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
            stdout=self._log, stderr=subprocess.STDOUT, cwd=self._folder,
        )  # fmt: skip
        return self

    def kill(self) -> None:
        """SIGKILL: no good-bye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM, and wait for a graceful end."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def close(self) -> None:
        self.stop()
        self._log.close()

    @property
    def log(self) -> str:
        return (self._folder / f"{self.name}.log").read_text()


class Line:
    """The controller's only way to the API server, which can be cut: a proxy with the service account's rights."""

    def __init__(self, folder: Path) -> None:
        self._own = folder / "line.kubeconfig"
        self._own.write_text(_kubeconfig_of_the_service_account())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        cluster = {"name": "line", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}
        context = {"name": "line", "context": {"cluster": "line", "user": "nobody"}}
        self.kubeconfig = yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context],
             "current-context": "line", "users": [{"name": "nobody", "user": {}}]}
        )  # fmt: skip
        self.mend()

    def mend(self) -> None:
        self._process = subprocess.Popen(
            ["kubectl", "proxy", f"--port={self._port}", f"--kubeconfig={self._own}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def cut(self) -> None:
        self._process.kill()
        self._process.wait(10)


def _kubeconfig_of_the_service_account() -> str:
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "-o", "yaml"))
    token = kubectl("create", "token", "tallystick-controller", "-n", "tallystick-system", "--duration=2h").strip()
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    return yaml.safe_dump(config)


@dataclass(frozen=True)
class Answer:
    at: float
    status: int
    version: str


class Customers:
    """Requests at a steady rate through the gateway, each with what became of it."""

    def __init__(self, stage: "Stage", per_s: float = 50.0) -> None:
        self._stage, self._period_s = stage, 1.0 / per_s
        self.answers: list[Answer] = []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(24)
        self._client = httpx.Client(timeout=5.0, limits=httpx.Limits(max_connections=24))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Customers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown()
        self._client.close()

    def _run(self) -> None:
        start = time.monotonic()
        for number in itertools.count():
            wait = start + number * self._period_s - time.monotonic()
            if self._stop.wait(max(0.0, wait)):
                return
            self._pool.submit(self._ask)

    def _ask(self) -> None:
        try:
            answer = self._client.post(self._stage.address(), json={"inputs": []})
            status, version = answer.status_code, ""
            if answer.headers.get("content-type", "").startswith("application") or answer.content[:1] == b"{":
                version = answer.json().get("version", "")
        except (httpx.HTTPError, ValueError):
            status, version = 0, ""
        self.answers.append(Answer(time.time(), status, version))

    def failed(self, since: float = 0.0) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200 and answer.at >= since]

    def by_version(self, since: float = 0.0) -> Counter:
        return Counter(answer.version for answer in self.answers if answer.at >= since)


class Stage:
    """One namespace with a version v1 in service."""

    gateway_is_silent = False  # found out once, not by each test

    def __init__(self, namespace: str, proxy: Proxy, *, gateway_port: int) -> None:
        self.namespace, self.port = namespace, gateway_port
        self._proxy = proxy
        self._seldon = SeldonStandIn(proxy, namespace)
        self.gateway = ""
        self._routed: tuple[float, list[tuple[str, int]]] = (0.0, [])

    def close(self) -> None:
        self._seldon.close()

    def stop_rollouts(self) -> None:
        """Delete what is left, while there is a controller that gives it back."""
        kubectl("delete", "modelrollouts", "--all", "-n", self.namespace, "--timeout=40s")

    def pause_seldon(self) -> None:
        self._seldon.close()

    def resume_seldon(self) -> None:
        self._seldon = SeldonStandIn(self._proxy, self.namespace)

    def serve_first_version(self, fault: str = "") -> None:
        """v1 as somebody deployed it before there was a Tallystick."""
        create(
            {
                "apiVersion": "machinelearning.seldon.io/v1",
                "kind": "SeldonDeployment",
                "metadata": {"name": "credit", "namespace": self.namespace},
                "spec": {"protocol": "v2", "annotations": {"team": "lending"}, "predictors": [_first_predictor(fault)]},
            }
        )
        until(lambda: get("virtualservices", "credit", self.namespace), within_s=60)

    def open_gateway(self) -> bool:
        """A real Istio gateway for this namespace, where one answers; customers go around it otherwise."""
        gateway = {
            "apiVersion": "networking.istio.io/v1beta1",
            "kind": "Gateway",
            "metadata": {"name": "seldon-gateway", "namespace": self.namespace},
            "spec": {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": self.port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        }
        if Stage.gateway_is_silent:
            return False
        try:
            create(gateway)
        except Refused:
            return False
        url = f"http://{GATEWAY_HOST}:{self.port}"
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if httpx.get(f"{url}/seldon/{self.namespace}/credit/", timeout=1.0).status_code == 200:
                    self.gateway = url
                    return True
            except httpx.HTTPError:
                pass
            time.sleep(0.3)
        Stage.gateway_is_silent = True
        return False

    def address(self) -> str:
        """Where the next request goes: the gateway, or a service drawn by the VirtualService's weights."""
        path = "v2/models/credit/infer"
        if self.gateway:
            return f"{self.gateway}/seldon/{self.namespace}/credit/{path}"
        now = time.monotonic()
        if now - self._routed[0] > 0.3:
            with contextlib.suppress(KeyError):  # routes that are gone leave the last ones in force
                self._routed = (now, self._destinations())
        hosts, weights = zip(*self._routed[1], strict=True)
        return f"http://{random.choices(hosts, weights)[0]}:9000/{path}"

    def _destinations(self) -> list[tuple[str, int]]:
        found = self._proxy.client.get(
            f"/apis/networking.istio.io/v1beta1/namespaces/{self.namespace}/virtualservices/credit"
        ).json()
        services = self._proxy.client.get(f"/api/v1/namespaces/{self.namespace}/services").json()["items"]
        address = {service["metadata"]["name"]: service["spec"]["clusterIP"] for service in services}
        routes = found["spec"]["http"][0]["route"]
        split = [(address[route["destination"]["host"]], route.get("weight", 0)) for route in routes]
        return split if any(weight for _, weight in split) else [(host, 100) for host, _ in split]

    def roll_out(self, name: str = "credit-v2", fault: str = "", user: str = "alice", **spec: Any) -> str:
        """Create a quick ModelRollout of v2 whose model has a fault."""
        version = spec.pop("version", "v2")
        suffix = f"?fault={fault}" if fault else ""
        model = {"uri": f"s3://models/credit/{version}{suffix}", "digest": "sha256:" + "a" * 64, "version": version}
        analysis = {**QUICK["analysis"], **spec.pop("analysis", {})}
        manifest = rollout(self.namespace, name=name, **{**QUICK, "model": model, "analysis": analysis, **spec})
        create(manifest, user=user, groups=("system:masters",))
        return name

    def status(self, name: str = "credit-v2") -> dict[str, Any]:
        return get("modelrollouts", name, self.namespace).get("status") or {}

    def until_phase(self, *phases: str, name: str = "credit-v2", within_s: float = 60.0) -> dict[str, Any]:
        return until(
            lambda: (s := self.status(name)) if (self.status(name).get("phase") in phases) else None,
            within_s=within_s,
            otherwise=lambda: json.dumps({k: v for k, v in self.status(name).items() if k != "engine"})[:3000],
        )

    def until_finished(self, name: str = "credit-v2", within_s: float = 90.0) -> dict[str, Any]:
        return until(
            lambda: s if (s := self.status(name)).get("finished") else None,
            within_s=within_s,
            otherwise=lambda: json.dumps({k: v for k, v in self.status(name).items() if k != "engine"})[:3000],
        )

    def shares(self) -> dict[str, int]:
        """Weights in the first route of the VirtualService, by predictor."""
        routes = get("virtualservices", "credit", self.namespace)["spec"]["http"][0]["route"]
        if len(routes) == 1:
            return {routes[0]["destination"]["subset"]: 100}
        return {route["destination"]["subset"]: route.get("weight", 0) for route in routes}

    def predictors(self) -> dict[str, int]:
        found = get("seldondeployments", "credit", self.namespace)["spec"]["predictors"]
        return {predictor["name"]: predictor.get("traffic", 0) for predictor in found}

    def pods(self, version: str) -> list[dict[str, Any]]:
        return listed("pods", self.namespace, f"version={version}")

    def set_fault(self, version: str, fault: str) -> None:
        for pod in self.pods(version):
            httpx.post(f"http://{pod['status']['podIP']}:9000/fault", content=fault, timeout=5.0)

    def events(self, name: str = "credit-v2") -> list[str]:
        found = listed("events", self.namespace)
        return [event["reason"] for event in found if event["involvedObject"]["name"] == name]


def _first_predictor(fault: str) -> dict[str, Any]:
    container = {
        "name": "v1",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "TALLYSTICK_MODEL", "value": f"s3://models/credit/v1?fault={fault or 'none'}"}],
        "ports": [
            {"name": "metrics", "containerPort": 6000, "protocol": "TCP"},
            {"name": "http", "containerPort": 9000, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "periodSeconds": 1},
    }
    return {
        "name": "v1",
        "replicas": 1,
        "traffic": 100,
        "labels": {"version": "v1"},
        "annotations": {"seldon.io/no-engine": "true"},
        "graph": {"name": "v1", "type": "MODEL"},
        "componentSpecs": [{"spec": {"containers": [container], "terminationGracePeriodSeconds": 10}}],
    }


__all__ = ["CONTROLLER", "IMAGE", "QUICK", "ROOT", "ControllerProcess", "Customers", "Stage"]

"""The controller beside 1,000 ModelRollouts on a real API server: how late it is, what it costs, how that grows.

Needs KUBECONFIG with manifests/base applied by this module itself; without a cluster there is nothing to measure. The
rollouts wait for their approval, as most do most of the time; the lag is from an approval's creation to the phase that
follows it. No pod is started: what pods do is timed by the cluster tests.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.support.kubernetes import ROOT, SUPPORT, approval, kubectl, new_namespace, reason_to_skip, rollout, until
from tests.support.seldon_stand_in import Proxy
from tests.support.stage import ControllerProcess

_FEW, _MANY, _ASKED, _SETTLED_S = 250, 1000, 40, 25.0
_PLURAL = "/apis/tallystick.dev/v1alpha1/namespaces/{ns}/modelrollouts"


def measure() -> list[dict[str, Any]]:
    if reason_to_skip():
        return []
    kubectl("apply", "-k", str(ROOT / "manifests" / "base"))
    kubectl("apply", "-f", str(SUPPORT / "seldon_crd.yaml"))
    kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=tallystick", "--timeout=30s")
    namespace, proxy = new_namespace(), Proxy()
    with tempfile.TemporaryDirectory() as folder:
        controller = ControllerProcess(Path(folder), name="bench", lease_s=15.0).start()
        try:
            few = _settled(proxy, controller, namespace, 0, _FEW)
            many = _settled(proxy, controller, namespace, _FEW, _MANY)
            lags = _lags(proxy, namespace)
        finally:
            kubectl("delete", "namespace", namespace, "--wait=false")
            until(lambda: not kubectl("get", "namespaces", namespace, "--ignore-not-found"), within_s=300, every_s=2)
            controller.close()
            proxy.close()
            kubectl("delete", "-k", str(ROOT / "manifests" / "base"), "--ignore-not-found", "--wait=false")
    return _rows(few, many, lags)


def _settled(proxy: Proxy, controller: ControllerProcess, namespace: str, first: int, last: int) -> dict[str, float]:
    """Create rollouts, wait until each waits for its approval, then watch the controller do nothing."""
    for number in range(first, last):
        manifest = rollout(namespace, name=f"r{number}", target={"name": f"t{number}"})
        manifest["spec"]["authors"] = ["alice"]
        proxy.client.post(
            _PLURAL.format(ns=namespace),
            json=manifest,
            headers={"Impersonate-User": "alice", "Impersonate-Group": "system:masters"},
        ).raise_for_status()
    until(lambda: _waiting(proxy, namespace) == last, within_s=300, every_s=1.0)
    time.sleep(5)
    process = psutil.Process(controller.process.pid)
    calls, used, start = _calls(proxy), sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(_SETTLED_S)
    spent = time.monotonic() - start
    return {
        "cores": (sum(process.cpu_times()[:2]) - used) / spent,
        "mebibytes": process.memory_info().rss / 2**20,
        "calls": (_calls(proxy) - calls) / last / (spent / 60.0),
    }


def _waiting(proxy: Proxy, namespace: str) -> int:
    answer = proxy.client.get(_PLURAL.format(ns=namespace)).json()
    return sum(item.get("status", {}).get("phase") == "AwaitingApproval" for item in answer["items"])


def _calls(proxy: Proxy) -> float:
    """Requests about our kinds that the API server has answered, watches apart."""
    lines = proxy.client.get("/metrics").text.splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith("apiserver_request_total{")
        and any(
            f'resource="{kind}"' in line for kind in ("modelrollouts", "seldondeployments", "virtualservices", "events")
        )
        and 'verb="WATCH"' not in line
    )


def _lags(proxy: Proxy, namespace: str) -> list[float]:
    """From an approval's creation to the next phase, for a few of all, one after another."""
    lags = []
    for number in range(0, _MANY, _MANY // _ASKED):
        name = f"r{number}"
        manifest = approval(namespace, "bob", of=name)
        proxy.client.post(
            f"/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/modelapprovals",
            json=manifest,
            headers={"Impersonate-User": "bob", "Impersonate-Group": "system:masters"},
        ).raise_for_status()
        start = time.monotonic()
        path = f"{_PLURAL.format(ns=namespace)}/{name}"
        until(lambda p=path: proxy.client.get(p).json()["status"]["phase"] != "AwaitingApproval", every_s=0.05)
        lags.append(time.monotonic() - start)
    return lags


def _rows(few: dict[str, float], many: dict[str, float], lags: list[float]) -> list[dict[str, Any]]:
    worst = sorted(lags)[max(0, round(0.99 * len(lags)) - 1)]
    grown = _MANY / _FEW

    def row(name: str, unit: str, ours: float, goal: str, holds: bool, peer: float | None = None) -> dict[str, Any]:
        ratio = ours / peer if peer else None
        return {"name": name, "unit": unit, "ours": ours, "peer": peer, "ratio": ratio, "goal": goal, "holds": holds}

    growth, limit = many["cores"] / max(few["cores"], 0.01), 1.25 * grown
    return [
        row("1,000 rollouts: reconcile lag, 99th percentile", "s", worst, "under 5", worst < 5),
        row("1,000 rollouts: memory", "MiB", many["mebibytes"], "under 300", many["mebibytes"] < 300, few["mebibytes"]),
        row("1,000 rollouts: processor", "cores", many["cores"], "under 0.5", many["cores"] < 0.5, few["cores"]),
        row("1,000 rollouts: API requests each", "1/min", many["calls"], "stated", True, few["calls"]),
        row("processor at 1,000 over 250 rollouts", "ratio", growth, f"at most {limit:g}", growth <= limit),
    ]  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    print(json.dumps(measure(), indent=2))

"""Does what a real Seldon Core 1.17.1 was measured to do with a SeldonDeployment, its faults included.

- One Deployment and one Service per predictor, and a VirtualService named after the SeldonDeployment.
- While any predictor has an unavailable replica the VirtualService is not written: the split is frozen.
- Changing only traffic restarts no pod. A weight of 0 is left out of the JSON.
- The metrics port is positional unless declared, so that removing the first predictor restarts the others.
- DestinationRules of removed predictors stay. Status has no observedGeneration.
"""

import contextlib
import copy
import re
import subprocess
import threading
from typing import Any

import httpx

_PERIOD_S = 0.4
_SELDON = "/apis/machinelearning.seldon.io/v1/namespaces/{ns}/seldondeployments"
_ISTIO = "/apis/networking.istio.io/v1beta1/namespaces/{ns}"


class Proxy:
    """The API server for whoever holds the kubeconfig, without TLS in the way."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self._process.stdout.readline()
        port = re.search(r":(\d+)", line)[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0)

    def close(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(10)
        self._process.stdout.close()


class SeldonStandIn:
    """An operator for one namespace, in a thread."""

    def __init__(self, proxy: Proxy, namespace: str) -> None:
        self._proxy, self._ns = proxy, namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
                for deployment in self._items(_SELDON.format(ns=self._ns)):
                    self._reconcile(deployment)

    def _items(self, path: str, **query: str) -> list[dict[str, Any]]:
        answer = self._proxy.client.get(path, params=query)
        answer.raise_for_status()
        return answer.json()["items"]

    def _apply(self, path: str, manifest: dict[str, Any]) -> None:
        self._proxy.client.patch(
            f"{path}/{manifest['metadata']['name']}",
            params={"fieldManager": "seldon-stand-in", "force": "true"},
            headers={"content-type": "application/apply-patch+yaml"},
            json=manifest,
        ).raise_for_status()

    def _reconcile(self, sdep: dict[str, Any]) -> None:
        if "deletionTimestamp" in sdep["metadata"]:
            return
        name, predictors = sdep["metadata"]["name"], sdep["spec"]["predictors"]
        apps = f"/apis/apps/v1/namespaces/{self._ns}/deployments"
        owner = {"apiVersion": sdep["apiVersion"], "kind": sdep["kind"], "name": name,
                 "uid": sdep["metadata"]["uid"], "controller": True}  # fmt: skip
        wanted = set()
        for position, predictor in enumerate(predictors):
            deployment, service, rule = self._objects(name, position, predictor, owner)
            wanted.add(deployment["metadata"]["name"])
            self._apply(apps, deployment)
            self._apply(f"/api/v1/namespaces/{self._ns}/services", service)
            self._apply(f"{_ISTIO.format(ns=self._ns)}/destinationrules", rule)
        found = self._items(apps, labelSelector=f"seldon-deployment-id={name}")
        available = {
            d["metadata"]["name"]
            for d in found
            if d["status"].get("observedGeneration") == d["metadata"]["generation"]
            and d["status"].get("availableReplicas", 0) == d["spec"]["replicas"]
            and d["status"].get("updatedReplicas", 0) == d["spec"]["replicas"]
        }
        ready = wanted <= available
        if ready:
            self._write_routes(name, predictors, owner)
            for d in found:
                if d["metadata"]["name"] not in wanted:
                    service = d["metadata"]["labels"]["seldon-app"]
                    self._proxy.client.delete(f"{apps}/{d['metadata']['name']}")
                    self._proxy.client.delete(f"/api/v1/namespaces/{self._ns}/services/{service}")
        state = "Available" if ready else "Creating"
        if (sdep.get("status") or {}).get("state") != state:
            self._proxy.client.patch(
                f"{_SELDON.format(ns=self._ns)}/{name}/status",
                headers={"content-type": "application/merge-patch+json"},
                json={"status": {"state": state}},
            )

    def _objects(self, name: str, position: int, predictor: dict[str, Any], owner: dict[str, Any]) -> tuple:
        pod = copy.deepcopy(predictor["componentSpecs"][0]["spec"])
        container = pod["containers"][0]
        ports = container.setdefault("ports", [])
        if not any(port["name"] == "metrics" for port in ports):
            ports.append({"name": "metrics", "containerPort": 6000 + position, "protocol": "TCP"})
        if not any(port["name"] == "http" for port in ports):
            ports.append({"name": "http", "containerPort": 9000 + position, "protocol": "TCP"})
        http = next(port["containerPort"] for port in ports if port["name"] == "http")
        metrics = next(port["containerPort"] for port in ports if port["name"] == "metrics")
        container.setdefault("env", []).extend(
            [
                {"name": "PREDICTIVE_UNIT_ID", "value": container["name"]},
                {"name": "PREDICTIVE_UNIT_HTTP_SERVICE_PORT", "value": str(http)},
                {"name": "PREDICTIVE_UNIT_METRICS_SERVICE_PORT", "value": str(metrics)},
                {"name": "PREDICTOR_ID", "value": predictor["name"]},
                {"name": "SELDON_DEPLOYMENT_ID", "value": name},
            ]
        )
        service = f"{name}-{predictor['name']}"
        labels = {"seldon-deployment-id": name, "seldon-app": service, "version": predictor["name"],
                  "app.kubernetes.io/managed-by": "seldon-core", **predictor.get("labels", {})}  # fmt: skip
        meta = {"namespace": self._ns, "ownerReferences": [owner]}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"{service}-0-{container['name']}", "labels": labels, **meta},
            "spec": {
                "replicas": predictor.get("replicas", 1),
                "selector": {"matchLabels": {"seldon-app": service}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
        exposed = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service, "labels": {"seldon-deployment-id": name}, **meta},
            "spec": {
                "selector": {"seldon-app": service},
                "ports": [{"name": "http", "port": 9000, "targetPort": http, "protocol": "TCP"}],
            },
        }
        rule = {
            "apiVersion": "networking.istio.io/v1beta1",
            "kind": "DestinationRule",
            "metadata": {"name": service, **meta},
            "spec": {
                "host": service,
                "subsets": [{"name": predictor["name"], "labels": {"version": predictor["name"]}}],
            },
        }
        return deployment, exposed, rule

    def _write_routes(self, name: str, predictors: list[dict[str, Any]], owner: dict[str, Any]) -> None:
        path = f"{_ISTIO.format(ns=self._ns)}/virtualservices"
        destinations = []
        for predictor in predictors:
            destination: dict[str, Any] = {
                "destination": {"host": f"{name}-{predictor['name']}", "subset": predictor["name"],
                                "port": {"number": 9000}}
            }  # fmt: skip
            if predictor.get("traffic"):
                destination["weight"] = predictor["traffic"]
            destinations.append(destination)
        if len(destinations) == 1 and "weight" not in destinations[0]:
            destinations[0]["weight"] = 100
        headers = {"seldon": {"exact": name}, "namespace": {"exact": self._ns}}
        spec = {
            "hosts": ["*"],
            "gateways": ["seldon-gateway"],
            "http": [
                {"match": [{"uri": {"prefix": f"/seldon/{self._ns}/{name}/"}}], "rewrite": {"uri": "/"},
                 "route": destinations},
                {"match": [{"uri": {"regex": ".*tensorflow.*|.*seldon.protos.*"}, "headers": headers}],
                 "route": copy.deepcopy(destinations)},
            ],
        }  # fmt: skip
        answer = self._proxy.client.get(f"{path}/{name}")
        manifest = {"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "spec": spec,
                    "metadata": {"name": name, "namespace": self._ns, "ownerReferences": [owner]}}  # fmt: skip
        if answer.status_code == 404:
            self._proxy.client.post(path, json=manifest).raise_for_status()
        elif answer.json()["spec"] != spec:
            manifest["metadata"]["resourceVersion"] = answer.json()["metadata"]["resourceVersion"]
            self._proxy.client.put(f"{path}/{name}", json=manifest).raise_for_status()

"""The model server's own image as a pod, the way Seldon Core runs a predictor's container.

Without root, on a read-only root file system, with the environment, ports and probes of a SeldonDeployment. The
image is TALLYSTICK_MODEL_SERVER_IMAGE, or what `components/model_server/Dockerfile` was built to on the node.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.components.core.model_package import ModelPackage
from tests.support.infer_requests import infer_request, outputs
from tests.support.kubernetes import create, get, kubectl, new_namespace, until
from tests.support.packages import lending, write_lending_package

IMAGE = os.environ.get("TALLYSTICK_MODEL_SERVER_IMAGE", "localhost/tallystick/model-server:dev")
COPY = (
    "import shutil; [shutil.copy(f'/given/{n}', '/model') for n in __import__('os').listdir('/given') if n[0] != '.']"
)
LOCKED = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, namespace: str, digest: str) -> dict[str, Any]:
    mounts = [{"name": "model", "mountPath": "/model"}]
    environment = {
        "PREDICTIVE_UNIT_ID": "classifier",
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9000",
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "6000",
        "PREDICTOR_ID": "v2",
        "SELDON_DEPLOYMENT_ID": "credit",
    }
    server = {
        "name": "classifier",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": ["--model", "/model", "--digest", f"sha256:{digest}"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "ports": [{"name": "http", "containerPort": 9000}, {"name": "metrics", "containerPort": 6000}],
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": mounts,
        "securityContext": LOCKED,
        "resources": {"limits": {"memory": "256Mi"}},
    }
    copy = {
        "name": "model",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", COPY],
        "volumeMounts": [*mounts, {"name": "given", "mountPath": "/given"}],
        "securityContext": LOCKED,
    }
    volumes = [{"name": "model", "emptyDir": {}}, {"name": "given", "configMap": {"name": "model"}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "initContainers": [copy],
            "containers": [server],
            "volumes": volumes,
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532},
        },
    }


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_lending_package(tmp_path_factory.mktemp("cluster") / "model")


@pytest.fixture(scope="module")
def namespace(package: ModelPackage) -> Iterator[str]:
    name = new_namespace()
    files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in Path(package.folder).iterdir()}
    create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model", "namespace": name}, "binaryData": files}
    )
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def started(name: str, namespace: str) -> dict[str, Any]:
    """The pod once its server runs, is ready or has ended; skips where the node does not have the image."""

    def state() -> dict[str, Any] | None:
        status = get("pod", name, namespace)["status"]
        entries = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        if any(entry["state"].get("waiting", {}).get("reason") == "ErrImageNeverPull" for entry in entries):
            pytest.skip(f"the node does not have the image {IMAGE}")
        ready = any(entry["ready"] for entry in status.get("containerStatuses", []))
        return status if ready or status["phase"] in ("Failed", "Succeeded") else None

    status: dict[str, Any] = until(state, within_s=60)
    return status


def proxy(namespace: str, name: str, port: int, path: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}"


def test_the_image_serves_as_seldon_runs_it(namespace: str, package: ModelPackage) -> None:
    create(pod("scores", namespace, package.digest))
    status = started("scores", namespace)
    assert status["phase"] == "Running", kubectl("logs", "scores", "-n", namespace)
    data = lending()
    top = package.examples.rows[-1]
    body = json.dumps(infer_request(data.features, [top]))
    target = proxy(namespace, "scores", 9000, "/v2/models/classifier/infer")
    answer = json.loads(kubectl("create", "--raw", target, "-f", "-", stdin=body))
    found = outputs(answer)
    assert found["probability"][0] == pytest.approx(package.examples.scores[-1], abs=1e-9)
    assert found["decision"] == ["adverse"]
    assert json.loads(found["reasons"][0])[0]["text"]
    assert answer["parameters"]["digest"] == f"sha256:{package.digest}"
    metrics = kubectl("get", "--raw", proxy(namespace, "scores", 6000, "/metrics"))
    assert 'outcome="ok"} 1' in metrics
    lines = [json.loads(line) for line in kubectl("logs", "scores", "-n", namespace).splitlines()]
    assert [line["event"] for line in lines if line["event"] != "infer"] == ["ready"]
    identity = kubectl("exec", "scores", "-n", namespace, "--", "id", "-u").strip()
    assert identity == "65532"


def test_a_pod_told_to_end_drains_and_ends_well(namespace: str, package: ModelPackage) -> None:
    create(pod("drains", namespace, package.digest))
    assert started("drains", namespace)["phase"] == "Running"
    kubectl("exec", "drains", "-n", namespace, "--", "python", "-c", "import os; os.kill(1, 15)")
    status = until(lambda: (s := get("pod", "drains", namespace)["status"])["phase"] == "Succeeded" and s, within_s=40)
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert '"event":"draining"' in kubectl("logs", "drains", "-n", namespace)


def test_a_pod_with_another_models_digest_does_not_start_and_says_why(namespace: str, package: ModelPackage) -> None:
    create(pod("refused", namespace, "0" * 64))
    status = started("refused", namespace)
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 2
    logs = kubectl("logs", "refused", "-n", namespace)
    assert f"the model's digest is sha256:{package.digest}" in logs
    assert "Traceback" not in logs

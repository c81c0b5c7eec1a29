"""What every cluster test needs: the resources, roles and policies of manifests/base, and a namespace of its own."""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support import kubernetes, stage
from tests.support.kubernetes import ROOT, SUPPORT, Refused, kubectl, until
from tests.support.seldon_stand_in import Proxy
from tests.support.stage import ControllerProcess, Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if "tests/cluster" in str(item.path)]
    why = kubernetes.reason_to_skip() if here else ""
    for item in here:
        item.add_marker(pytest.mark.cluster)
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def installed() -> Iterator[None]:
    """manifests/base is applied, the policies are in force, and all of it goes when the tests end."""
    kubectl("apply", "-k", str(ROOT / "manifests" / "base"))
    seldon = "customresourcedefinitions/seldondeployments.machinelearning.seldon.io"
    own_seldon = True
    with contextlib.suppress(Refused):
        own_seldon = "tallystick.dev/test" in kubectl("get", seldon, "-o", "jsonpath={.metadata.labels}")
    if own_seldon:
        kubectl("apply", "-f", str(SUPPORT / "seldon_crd.yaml"))
    kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=tallystick", "--timeout=30s")
    _until_policies_are_in_force()
    yield
    for name in kubectl("get", "namespaces", "-l", "tallystick.dev/test", "-o", "name").split():
        namespace = name.partition("/")[2]
        for rollout in kubectl("get", "modelrollouts", "-n", namespace, "-o", "name").split():
            kubectl("patch", rollout, "-n", namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        kubectl("delete", name, "--ignore-not-found", "--timeout=80s")
    kubectl("delete", "-k", str(ROOT / "manifests" / "base"), "--ignore-not-found", "--wait=false")
    if own_seldon:
        kubectl("delete", seldon, "--ignore-not-found", "--wait=false")


def _until_policies_are_in_force() -> None:
    """The API server loads policies a moment after it has stored them."""
    namespace = kubernetes.new_namespace()

    def refused() -> bool:
        try:
            kubernetes.create(kubernetes.rollout(namespace, name="probe"), user="", groups=())
        except Refused as error:
            return "one of its authors" in str(error)
        kubectl("delete", "modelrollouts", "probe", "-n", namespace)
        return False

    until(refused, within_s=60)
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def namespace(installed: None) -> Iterator[str]:
    """A namespace for one test."""
    name = kubernetes.new_namespace()
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def servers(installed: None) -> None:
    """The model server's stand-in is an image on the node; without a builder there are no pods to roll out."""
    builder = os.environ.get("TALLYSTICK_IMAGE_BUILDER")
    if not builder:
        pytest.skip("needs TALLYSTICK_IMAGE_BUILDER, a command that builds and loads an image")
    dockerfile = SUPPORT / "model_stand_in.Dockerfile"
    subprocess.run(
        [builder, stage.IMAGE, "-f", str(dockerfile), str(ROOT)], check=True, capture_output=True, timeout=500
    )


@pytest.fixture(scope="session")
def istio(installed: None) -> Iterator[None]:
    """Istio where it is or can be started; else only the kinds that Seldon writes."""
    if script := os.environ.get("TALLYSTICK_ISTIO"):
        subprocess.run([script], check=True, capture_output=True, timeout=900)
    own = True
    with contextlib.suppress(Refused):
        crd = "customresourcedefinitions/virtualservices.networking.istio.io"
        own = "tallystick.dev/test" in kubectl("get", crd, "-o", "jsonpath={.metadata.labels}")
    if own:
        kubectl("apply", "-f", str(SUPPORT / "istio_crds.yaml"))
    yield
    if own:
        kubectl("delete", "-f", str(SUPPORT / "istio_crds.yaml"), "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="session")
def proxy(installed: None) -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


@pytest.fixture(scope="session")
def controller(istio: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    """One controller for all tests that do not harm it."""
    process = ControllerProcess(tmp_path_factory.mktemp("controller")).start()
    yield process
    log = process.log
    process.close()
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "controller.log").write_text(log)


@pytest.fixture(scope="session")
def gateway_ports() -> Iterator[int]:
    """A port of its own for each gateway."""
    return itertools.count(18080)


@pytest.fixture
def play(
    namespace: str,
    servers: None,
    istio: None,
    proxy: Proxy,
    controller: ControllerProcess,
    gateway_ports: Iterator[int],
) -> Iterator[Stage]:
    """A namespace with a version in service, and a controller."""
    made = Stage(namespace, proxy, gateway_port=next(gateway_ports))
    made.serve_first_version()
    made.open_gateway()
    yield made
    made.stop_rollouts()
    made.close()

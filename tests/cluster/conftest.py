"""What every cluster test needs: the resources, roles and policies of manifests/base, and a namespace of its own."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.support import kubernetes
from tests.support.kubernetes import ROOT, SUPPORT, Refused, kubectl, until


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

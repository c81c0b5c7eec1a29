"""One rollout against a cluster in memory: what is written, in which order, and what a failure may not stop."""

import asyncio
import copy

import pytest

from tallystick.components.rollout_controller.adapters import istio, seldon
from tallystick.components.rollout_controller.adapters.pods import Pod
from tallystick.components.rollout_controller.driver import Driver, OvertakenError, World
from tallystick.components.rollout_controller.observation import References
from tallystick.components.rollout_controller.ports import RetryableError
from tallystick.components.rollout_controller.release import read_release
from tallystick.components.rollout_controller.state import Phase
from tests.support.kubernetes import rollout


class Memory:
    """A cluster in memory: implements Cluster, Views, Queue and Scraper, and keeps what was written."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failing: set[str] = set()
        self.version = 1
        self.seldon = {
            "metadata": {"resourceVersion": "1", "name": "credit"},
            "spec": {"predictors": [{"name": "v1", "traffic": 100}]},
        }
        self.routes = self._routes({"v1": 100})
        self.body = rollout("bank", steps=[{"weightPercent": 20, "minimumTimeSeconds": 1}], approvals={"required": 0})
        self.body["metadata"] |= {
            "uid": "u", "generation": 1, "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        self.fault = ""
        self.frozen = False
        self.time = 1000.0

    @staticmethod
    def _routes(shares: dict[str, int]) -> dict:
        route = [{"destination": {"host": f"credit-{name}"}, "weight": share} for name, share in shares.items()]
        return {"metadata": {"resourceVersion": "1"}, "spec": {"http": [{"route": route}]}}

    def _fail(self, what: str) -> None:
        self.log.append(what)
        if what in self.failing:
            raise RetryableError(what)

    async def deployment(self, namespace, name):
        return copy.deepcopy(self.seldon)

    async def apply_deployment(self, manifest):
        self._fail("apply")
        self.seldon["spec"] = copy.deepcopy(manifest["spec"])
        if not self.frozen:
            self.routes = self._routes(seldon.traffic(self.seldon))
        return self.seldon

    async def virtual_service(self, namespace, name):
        return copy.deepcopy(self.routes)

    async def set_routes(self, virtual_service, routes):
        self._fail("routes")
        self.routes["spec"]["http"] = routes
        return self.routes

    async def delete_destination_rule(self, namespace, name):
        self._fail(f"delete {name}")

    async def rollout(self, namespace, name):
        return copy.deepcopy(self.body)

    async def write_status(self, namespace, name, version, status):
        self._fail("status")
        if version != self.body["metadata"]["resourceVersion"]:
            raise RetryableError("conflict")
        self.touch()
        self.body["status"] = {**self.body.get("status", {}), **status}
        return copy.deepcopy(self.body)

    def touch(self) -> None:
        self.version += 1
        self.body["metadata"]["resourceVersion"] = str(self.version)

    def pods(self, place):
        here = seldon.traffic(self.seldon)
        return [self._pod(name, self.fault if name == "v2" else "") for name in here]

    @staticmethod
    def _pod(name: str, fault: str) -> Pod:
        return Pod(namespace="bank", name=name, uid=name, deployment="credit", version=name, address="", port=9000,
                   started="", ready=not fault, running=True, leaving=False, fault=fault)  # fmt: skip

    def virtual_service_known(self, place):
        return self.routes

    def approvals(self, namespace):
        return []

    def failed_first(self, namespace, rollout):
        return False

    def claim(self, release):
        return ""

    def superseded_by(self, release):
        return ""

    async def read(self, arms):
        return (), References()


class Known:
    def __init__(self, memory: Memory) -> None:
        self.pods, self.approvals, self.failed_first = memory.pods, memory.approvals, memory.failed_first
        self.deployment = lambda place: memory.seldon
        self.virtual_service = memory.virtual_service_known


def _driver(memory: Memory) -> Driver:
    world = World(
        cluster=memory, views=Known(memory), queue=memory, scraper=memory, now=lambda: memory.time,
        tell=lambda *_: None, server_image="server:1",
    )  # fmt: skip
    return Driver(copy.deepcopy(memory.body), world)


def _look(memory: Memory, driver: Driver, times: int = 1) -> None:
    for _ in range(times):
        memory.time += 1.0
        asyncio.run(driver.look(read_release(memory.body)))


def _in_trial() -> tuple[Memory, Driver]:
    memory = Memory()
    driver = _driver(memory)
    _look(memory, driver, 3)
    assert driver.state.weight_pct == 20.0
    assert seldon.traffic(memory.seldon) == {"v1": 80, "v2": 20}
    memory.log.clear()
    return memory, driver


def test_a_rise_is_in_the_books_before_it_is_at_the_gateway():
    memory = Memory()
    driver = _driver(memory)
    while driver.state.weight_pct == 0.0:
        memory.log.clear()
        _look(memory, driver)
    assert memory.log.index("status") < memory.log.index("apply")


def test_a_rollback_is_at_the_gateway_before_it_is_in_the_books():
    memory, driver = _in_trial()
    memory.fault, memory.frozen = "pod v2 has ended", True
    _look(memory, driver)
    assert driver.state.phase is Phase.ROLLING_BACK
    assert memory.log[:3] == ["apply", "routes", "status"]
    assert istio.weight_pct(memory.routes, deployment="credit", canary="v2") == 0.0


@pytest.mark.parametrize("failing", [{"apply"}, {"status"}, {"apply", "status"}])
def test_nothing_that_fails_keeps_the_routes_from_being_taken_back(failing):
    memory, driver = _in_trial()
    memory.fault, memory.frozen, memory.failing = "pod v2 has ended", True, failing
    _look(memory, driver)
    assert istio.weight_pct(memory.routes, deployment="credit", canary="v2") == 0.0
    memory.failing = set()
    _look(memory, driver, 6)
    assert driver.finished
    assert memory.body["status"]["phase"] == "RolledBack"
    assert seldon.traffic(memory.seldon) == {"v1": 100}


def test_a_label_that_somebody_sets_meanwhile_is_no_conflict():
    memory, driver = _in_trial()
    memory.touch()
    before = memory.version
    _look(memory, driver)
    assert memory.version > before


def test_a_driver_whose_memory_was_overtaken_stops():
    memory, driver = _in_trial()
    memory.body["status"]["engine"] = memory.body["status"]["engine"].replace('"step":0', '"step":1')
    memory.touch()
    with pytest.raises(OvertakenError):
        _look(memory, driver)


def test_a_new_driver_takes_up_exactly_where_the_last_one_was():
    memory, driver = _in_trial()
    _look(memory, driver)
    assert _driver(memory).state == driver.state


def test_deleting_a_rollout_in_flight_gives_everything_back():
    memory, driver = _in_trial()
    asyncio.run(driver.give_back(read_release(memory.body)))
    assert seldon.traffic(memory.seldon) == {"v1": 100}
    assert "delete credit-v2" in memory.log

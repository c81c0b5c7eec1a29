"""The controller is killed, doubled, cut off and fed nonsense: what had begun goes on, and no harm is done."""

import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from tests.support.kubernetes import approval, create, get, kubectl, patch, until
from tests.support.stage import ControllerProcess, Customers, Line, Stage


@pytest.fixture
def own(
    namespace, servers, istio, proxy, controller, tmp_path, gateway_ports
) -> Iterator[tuple[Stage, ControllerProcess]]:
    """A stage whose controller may be harmed: the common one is stopped in the meantime."""
    controller.stop()
    process = ControllerProcess(tmp_path, name="harmed").start()
    stage = Stage(namespace, proxy, gateway_port=next(gateway_ports))
    stage.serve_first_version()
    stage.open_gateway()
    yield stage, process
    process.close()
    controller.start()
    stage.stop_rollouts()
    stage.close()


LONG = [{"weightPercent": 20, "minimumTimeSeconds": 4, "minimumRequests": 20},
        {"weightPercent": 50, "minimumTimeSeconds": 4, "minimumRequests": 20}]  # fmt: skip


def test_a_controller_killed_in_every_phase_loses_nothing(own):
    play, process = own
    with Customers(play) as customers:
        play.roll_out(steps=LONG, approvals={"required": 1}, analysis={"keepWarmSeconds": 8})
        for phase in ("AwaitingApproval", "Progressing", "Promoting", "Promoted"):
            play.until_phase(phase, *(["Promoted"] if phase == "Promoting" else []))
            process.kill()
            before = play.status()
            if phase == "AwaitingApproval":
                create(approval(play.namespace, "bob"), user="bob", groups=("system:masters",))
            process.start()
            if phase == "Progressing":
                known = before["canary"]["requests"]
                until(lambda n=known: play.status()["canary"]["requests"] > n)
        status = play.until_finished()
    assert [t["phase"] for t in status["transitions"]] == [
        "Pending", "AwaitingApproval", "Progressing", "Progressing", "Promoting", "Promoted",
    ]  # fmt: skip
    assert customers.failed() == []
    assert play.predictors() == {"v2": 100}


def test_a_controller_killed_while_it_takes_a_release_back_goes_on_taking_it_back(own):
    play, process = own
    with Customers(play) as customers:
        play.roll_out(steps=[{"weightPercent": 50, "minimumTimeSeconds": 600}])
        until(lambda: play.shares().get("v2") == 50)
        play.set_fault("v2", "errors")
        play.until_phase("RollingBack", "RolledBack")
        process.kill()
        process.start()
        play.until_finished()
        until(lambda: play.shares() == {"v1": 100})
        since = time.time()
        time.sleep(1)
    assert play.status()["phase"] == "RolledBack"
    assert customers.failed(since) == []


def test_of_two_controllers_one_drives_and_the_other_takes_over_when_it_is_killed(own, tmp_path):
    play, process = own
    second = ControllerProcess(tmp_path, name="second").start()
    try:
        with Customers(play) as customers:
            play.roll_out(steps=LONG)
            play.until_phase("Progressing")
            until(lambda: "harmed leads" in process.log)
            assert "second leads" not in second.log
            process.kill()
            assert play.until_finished()["phase"] == "Promoted"
        assert "second leads" in second.log
        assert customers.failed() == []
    finally:
        second.close()


def test_a_graceful_stop_gives_leadership_away_and_leaves_the_traffic_as_it_is(own):
    play, process = own
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}])
    until(lambda: play.shares().get("v2") == 20)
    assert process.stop() == 0
    lease = json.loads(kubectl("get", "lease", "tallystick-controller", "-n", "tallystick-system", "-o", "json"))
    assert not lease["spec"].get("holderIdentity")
    assert play.shares().get("v2") == 20


def test_an_api_server_that_is_away_for_thirty_seconds_changes_no_decision(
    namespace, servers, istio, proxy, controller, tmp_path, gateway_ports
):
    controller.stop()
    line = Line(tmp_path)
    process = ControllerProcess(tmp_path, name="cut-off", lease_s=60.0, line=line).start()
    play = Stage(namespace, proxy, gateway_port=next(gateway_ports))
    play.serve_first_version()
    play.open_gateway()
    try:
        with Customers(play) as customers:
            play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 50, "minimumRequests": 20}])
            until(lambda: play.shares().get("v2") == 20)
            line.cut()
            time.sleep(30)
            assert play.shares().get("v2") == 20
            line.mend()
            status = play.until_phase("Promoting", "Promoted", within_s=80)
        assert process.process.poll() is None
        assert customers.failed() == []
        assert status["canary"]["requests"] > 200
    finally:
        process.close()
        line.cut()
        controller.start()
        play.stop_rollouts()
        play.close()


def test_all_pods_deleted_at_once_come_back_and_the_trial_goes_on(play: Stage):
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}], analysis={"unreadySeconds": 60})
    until(lambda: play.shares().get("v2") == 20)
    kubectl("delete", "pods", "--all", "-n", play.namespace, "--wait=false")
    play.until_phase("Holding")
    play.until_phase("Progressing")
    assert play.status()["phase"] == "Progressing"


def test_a_rollout_of_an_older_schema_gets_a_condition_and_harms_nobody(play: Stage):
    """The schema is replaced by one that allows everything, as an older one might."""
    crd = get("crd", "modelrollouts.tallystick.dev", "default")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    with _replaced_schema(crd, {**schema, "properties": {**schema["properties"], "spec": loose}}):
        time.sleep(2)
        manifests = [
            {"target": {"name": "credit"}, "authors": ["alice"]},
            {"target": {"name": "credit"}, "authors": ["alice"], "model": 7, "steps": "many"},
            {"target": "credit", "authors": ["alice"], "model": {}, "steps": []},
        ]
        for number, spec in enumerate(manifests):
            body = {"apiVersion": "tallystick.dev/v1alpha1", "kind": "ModelRollout", "spec": spec,
                    "metadata": {"name": f"odd-{number}", "namespace": play.namespace}}  # fmt: skip
            create(body, user="alice", groups=("system:masters",))
        for number in range(len(manifests)):
            condition = until(lambda n=number: play.status(f"odd-{n}").get("conditions"))[0]
            assert (condition["type"], condition["status"], condition["reason"]) == ("Accepted", "False", "Malformed")
        kubectl("delete", "modelrollouts", "--all", "-n", play.namespace, "--timeout=30s")
    assert play.predictors() == {"v1": 100}


@contextlib.contextmanager
def _replaced_schema(crd: dict, schema: dict) -> Iterator[None]:
    path = "/spec/versions/0/schema/openAPIV3Schema"
    original = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    patch(
        "crd", "modelrollouts.tallystick.dev", "default", [{"op": "replace", "path": path, "value": schema}], how="json"
    )
    try:
        yield
    finally:
        patch("crd", "modelrollouts.tallystick.dev", "default",
              [{"op": "replace", "path": path, "value": original}], how="json")  # fmt: skip

"""A whole rollout on real pods: promotion without a restart, and rollbacks that nothing blocks."""

import time

import pytest

from tests.support.kubernetes import Refused, approval, create, get, kubectl, listed, patch, until
from tests.support.stage import Customers, Stage

NOBODY = {"groups": ("system:masters",)}


def _conditions(status: dict) -> dict[str, dict]:
    return {condition["type"]: condition for condition in status.get("conditions", [])}


def test_a_good_release_is_promoted_without_a_restart_or_a_failed_request(play: Stage):
    before = {pod["metadata"]["uid"] for pod in play.pods("v1")}
    with Customers(play) as customers:
        play.roll_out()
        play.until_phase("Progressing")
        analysed = {pod["metadata"]["uid"] for pod in play.pods("v2")}
        play.until_phase("Promoted")
        assert {pod["metadata"]["uid"] for pod in play.pods("v1")} == before
        assert play.shares() == {"v1": 0, "v2": 100}
        status = play.until_finished()
        until(lambda: play.shares() == {"v2": 100})
        time.sleep(2)
    assert customers.failed() == []
    assert play.predictors() == {"v2": 100}
    assert {pod["metadata"]["uid"] for pod in play.pods("v2")} == analysed
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in play.pods("v2")] == [0]
    assert [t["weight"] for t in status["transitions"]] == [0, 20, 50, 100, 100]
    rules = {rule["metadata"]["name"] for rule in listed("destinationrules", play.namespace)}
    assert rules == {"credit-v2"}
    deployment = get("seldondeployments", "credit", play.namespace)
    assert deployment["spec"]["annotations"] == {"team": "lending"}
    assert {"Started", "Progressing", "Promoting", "Promoted", "Removed"} <= set(play.events())


def test_a_release_that_answers_errors_is_taken_back_within_ten_seconds_of_the_first(play: Stage):
    with Customers(play) as customers:
        play.roll_out(fault="errors")
        play.until_phase("RolledBack")
        until(lambda: play.shares() == {"v1": 100})
        play.until_finished()
        time.sleep(1)
    failed = customers.failed()
    assert {answer.version for answer in failed} == {"v2"}
    assert failed[-1].at - failed[0].at < 10
    assert play.predictors() == {"v1": 100}
    status = play.status()
    assert _conditions(status)["Complete"]["reason"] == "RolledBack"
    assert "answers" in status["reason"]


def test_a_canary_that_crashes_is_taken_back_although_seldon_has_frozen_the_split(play: Stage):
    with Customers(play, per_s=20) as customers:
        play.roll_out()
        play.until_phase("Progressing")
        until(lambda: play.shares().get("v2") == 20)
        play.set_fault("v2", "crash")
        until(lambda: play.shares().get("v2", 0) == 0, within_s=20)
        first = min((a.at for a in customers.failed()), default=time.time())
        back = time.time()
        status = play.until_finished()
        time.sleep(1)
    assert back - first < 10
    assert status["phase"] == "RolledBack"
    assert "the new release has died" in status["reason"]
    assert "exit code 3" in status["reason"]
    assert customers.failed(since=back + 1) == []


@pytest.mark.parametrize("fault", ["crash_at_start", "never_ready"])
def test_a_canary_that_does_not_become_ready_never_gets_a_request(play: Stage, fault: str):
    with Customers(play, per_s=20) as customers:
        play.roll_out(fault=fault, analysis={"startupSeconds": 8})
        status = play.until_finished(within_s=60)
    assert status["phase"] == "Failed"
    assert customers.failed() == []
    assert set(customers.by_version()) == {"v1"}
    until(lambda: play.predictors() == {"v1": 100})


def test_an_image_that_cannot_be_pulled_is_taken_back_at_once(play: Stage):
    server = {"image": "localhost/nowhere/none:1", "resources": {}}
    play.roll_out(server=server)
    status = play.until_finished(within_s=40)
    assert status["phase"] == "Failed"
    assert "Image" in status["reason"] or "ErrImage" in status["reason"]
    until(lambda: play.predictors() == {"v1": 100})


def test_a_rollout_waits_for_an_approval_and_goes_on_when_it_has_one(play: Stage):
    with Customers(play):
        play.roll_out(approvals={"required": 1})
        status = play.until_phase("AwaitingApproval")
        assert _conditions(status)["Approved"]["status"] == "False"
        time.sleep(3)
        assert play.shares().get("v2", 0) == 0
        create(approval(play.namespace, "bob"), user="bob", **NOBODY)
        status = play.until_phase("Progressing", "Promoting", "Promoted")
    assert status["approvals"][0]["approver"] == "bob"
    assert _conditions(status)["Approved"]["status"] == "True"


def test_a_rejection_takes_the_rollout_back(play: Stage):
    play.roll_out(approvals={"required": 1})
    play.until_phase("AwaitingApproval")
    create(approval(play.namespace, "bob", decision="Reject"), user="bob", **NOBODY)
    status = play.until_finished()
    assert (status["phase"], status["reason"]) == ("RolledBack", "rejected by bob")
    assert play.predictors() == {"v1": 100}


def test_deleting_a_rollout_in_flight_puts_the_traffic_back(play: Stage):
    slow = [{"weightPercent": 50, "minimumTimeSeconds": 600}]
    with Customers(play) as customers:
        play.roll_out(steps=slow)
        until(lambda: play.shares().get("v2") == 50)
        kubectl("delete", "modelrollouts", "credit-v2", "-n", play.namespace, "--timeout=30s")
        assert play.predictors() == {"v1": 100}
        until(lambda: play.shares() == {"v1": 100})
        time.sleep(1)
    assert customers.failed() == []
    assert customers.by_version(since=time.time() - 0.8).keys() <= {"v1"}


def _set_share(play: Stage, share: int) -> None:
    routes = get("virtualservices", "credit", play.namespace)["spec"]["http"]
    for route in routes:
        for destination in route["route"]:
            destination["weight"] = share if destination["destination"]["subset"] == "v2" else 100 - share
    patch("virtualservices", "credit", play.namespace, {"spec": {"http": routes}})


def test_a_hand_that_changes_the_routes_is_noticed_and_overruled(play: Stage):
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}])
    until(lambda: play.shares().get("v2") == 20)
    until(lambda: play.status()["weight"]["observed"] == 20)
    play.pause_seldon()
    _set_share(play, 90)
    until(lambda: play.shares().get("v2") == 20, within_s=15)
    status = until(lambda: s if _conditions(s := play.status())["Undisturbed"]["status"] == "False" else None)
    play.resume_seldon()
    assert "90 %" in _conditions(status)["Undisturbed"]["message"]
    assert "ChangedByHand" in play.events()


def test_a_hand_that_changes_the_routes_is_obeyed_while_the_rollout_is_paused(play: Stage):
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}])
    until(lambda: play.shares().get("v2") == 20)
    patch("modelrollouts", "credit-v2", play.namespace, {"spec": {"paused": True}})
    play.until_phase("Holding")
    play.pause_seldon()
    _set_share(play, 5)
    time.sleep(4)
    assert play.shares() == {"v1": 95, "v2": 5}
    patch("modelrollouts", "credit-v2", play.namespace, {"spec": {"paused": False}})
    until(lambda: play.shares().get("v2") == 20)
    play.resume_seldon()


def test_a_second_rollout_of_the_same_target_waits_for_the_first(play: Stage):
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}])
    play.until_phase("Progressing")
    play.roll_out(name="credit-v3", version="v3")
    status = until(lambda: s if _conditions(s := play.status("credit-v3")).get("Accepted") else None)
    assert _conditions(status)["Accepted"]["reason"] == "Queued"
    assert "credit-v2 is under way" in status["reason"]
    assert "v3" not in play.predictors()
    patch("modelrollouts", "credit-v2", play.namespace, {"spec": {"abort": True}})
    assert play.until_finished()["phase"] == "RolledBack"
    until(lambda: "v3" in play.predictors())


def test_a_rollout_that_supersedes_takes_the_other_one_back(play: Stage):
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}])
    play.until_phase("Progressing")
    play.roll_out(name="credit-v3", version="v3", whenBusy="Supersede")
    status = play.until_finished()
    assert (status["phase"], status["reason"]) == ("RolledBack", "superseded by credit-v3")
    play.until_phase("Progressing", name="credit-v3")


def test_a_deployment_that_vanishes_ends_the_rollout_and_says_so(play: Stage):
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}])
    play.until_phase("Progressing")
    gone = {"user": "frank", "groups": ("system:masters", "tallystick:break-glass")}
    with pytest.raises(Refused, match="say why"):
        kubectl("delete", "seldondeployments", "credit", "-n", play.namespace, **gone)
    note = {"metadata": {"annotations": {"tallystick.dev/break-glass": "frank: moving it elsewhere"}}}
    patch("seldondeployments", "credit", play.namespace, note, **gone)
    kubectl("delete", "seldondeployments", "credit", "-n", play.namespace, **gone)
    status = play.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "the SeldonDeployment credit has been deleted")


def test_routes_that_vanish_hold_the_trial_until_they_are_back(play: Stage):
    play.roll_out(steps=[{"weightPercent": 20, "minimumTimeSeconds": 600}])
    until(lambda: play.shares().get("v2") == 20)
    play.pause_seldon()
    kubectl("delete", "virtualservices", "credit", "-n", play.namespace)
    status = play.until_phase("Holding")
    assert "configuration could not be read" in status["reason"]
    play.resume_seldon()
    play.until_phase("Progressing")


def test_the_first_version_of_a_target_needs_an_approval_and_serves_when_ready(play: Stage):
    play.roll_out(name="risk-v1", version="v1", target={"name": "risk"}, approvals={"required": 1})
    play.until_phase("AwaitingApproval", name="risk-v1")
    with pytest.raises(Refused, match="NotFound"):
        get("seldondeployments", "risk", play.namespace)
    create(approval(play.namespace, "bob", of="risk-v1"), user="bob", **NOBODY)
    assert play.until_finished("risk-v1")["phase"] == "Promoted"
    deployment = get("seldondeployments", "risk", play.namespace)
    assert deployment["metadata"]["labels"]["tallystick.dev/managed"] == "true"
    assert [p["traffic"] for p in deployment["spec"]["predictors"]] == [100]


def test_a_version_that_already_serves_is_refused_with_a_condition(play: Stage):
    play.roll_out(version="v1")
    status = until(lambda: s if (s := play.status()).get("conditions") else None)
    assert (
        _conditions(status)["Accepted"] | {"status": "False", "reason": "AlreadyServing"}
        == _conditions(status)["Accepted"]
    )
    assert play.predictors() == {"v1": 100}

"""The resource, the engine's rules and Seldon's objects agree with each other; pure parts of the controller."""

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from tallystick.components.core.errors import InputError
from tallystick.components.core.policy import Comparison, RolloutRules, RolloutStep, ServiceLevel
from tallystick.components.rollout_controller.adapters import istio, seldon
from tallystick.components.rollout_controller.adapters.pods import baseline_readiness, canary_readiness, read_pod
from tallystick.components.rollout_controller.consent import Approval, consent
from tallystick.components.rollout_controller.desk import Desk
from tallystick.components.rollout_controller.release import field_name, read_release
from tests.support.kubernetes import rollout

CRD = Path(__file__).parents[3] / "manifests" / "crd" / "modelrollouts.yaml"


def _spec_schema() -> dict:
    version = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def _release(**spec):
    body = rollout("bank", **spec)
    body["metadata"] |= {"uid": "u1", "generation": 1, "creationTimestamp": "2026-01-01T00:00:10Z"}
    return read_release(body)


# Of the local runtime only: mirrored traffic and replayed applications.
_NOT_ON_A_CLUSTER = {"shadow", "replay_requests_per_s", "steps"}


@pytest.mark.parametrize(
    ("model", "path", "left_out"),
    [
        (RolloutRules, ("analysis",), {*_NOT_ON_A_CLUSTER, "service_level", "comparison"}),
        (ServiceLevel, ("analysis", "serviceLevel"), set()),
        (Comparison, ("analysis", "comparison"), set()),
        (RolloutStep, ("steps",), set()),
    ],
)
def test_the_resource_has_each_field_of_the_policy_with_the_same_default(
    model: type[BaseModel], path: tuple[str, ...], left_out: set[str]
):
    schema = {"properties": _spec_schema()}
    for name in path:
        schema = schema["properties"][name]
    properties = schema.get("items", schema)["properties"]
    wanted = {field_name(name): field for name, field in model.model_fields.items() if name not in left_out}
    assert wanted.keys() == properties.keys() - {"serviceLevel", "comparison"}
    for name, field in wanted.items():
        default = field.default if not field.is_required() and field.default is not None else None
        found = properties[name].get("default")
        assert (tuple(found) if isinstance(found, list) else found) == default, name


def test_a_rollout_becomes_the_policys_rules():
    release = _release(
        steps=[{"weightPercent": 7, "minimumTimeSeconds": 3.5, "minimumRequests": 9}],
        analysis={
            "serviceLevel": {"maximumP99Seconds": 0.25},
            "comparison": {"tests": ["errors"], "slowAfterSeconds": 0.1},
        },
    )
    assert (release.rules.steps[0].weight_pct, release.rules.steps[0].minimum_time_s) == (7, 3.5)
    assert release.rules.service_level.maximum_p99_s == 0.25
    assert release.rules.comparison.slow_after_s == 0.1
    assert release.created_s == 1767225610.0


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"steps": [{"weightPercent": 51}]}, "steps.0.weightPercent"),
        ({"analysis": {"comparison": {"alpha": 2}}}, "comparison.alpha"),
        ({"analysis": {"nonsense": 1}}, "nonsense"),
        ({"target": {}}, "name is missing"),
    ],
)
def test_a_rollout_that_the_schema_let_through_is_refused_by_name(spec, where):
    with pytest.raises(InputError, match=where):
        _release(**spec)


def _approval(name, approver, *, decision="Approve", digest="sha256:" + "a" * 64, at=1767225611.0):
    return Approval(
        name=name, rollout="credit-v2", digest=digest, approver=approver, decision=decision, created_s=at
    )  # fmt: skip


def test_two_approvals_by_one_person_are_one():
    release = _release(approvals={"required": 2})
    assert not consent(release, [_approval("a", "bob"), _approval("b", "bob")]).granted
    assert consent(release, [_approval("a", "bob"), _approval("b", "carol")]).granted


@pytest.mark.parametrize(
    "approval",
    [
        _approval("a", "alice"),
        _approval("a", "bob", digest="sha256:" + "b" * 64),
        _approval("a", "bob", at=1767225609.0),
    ],
)
def test_an_approval_that_admission_could_not_judge_does_not_count(approval):
    standing = consent(_release(), [approval])
    assert not standing.granted
    assert len(standing.passed_over) == 1


def test_a_rejection_outweighs_approvals_until_its_author_approves():
    release = _release()
    said = [_approval("a", "bob"), _approval("b", "carol", decision="Reject")]
    assert consent(release, said).rejected_by == "carol"
    assert consent(release, [*said, _approval("c", "carol", at=1767225620.0)]).granted


def test_the_new_predictor_is_named_after_its_version_and_declares_its_ports():
    predictor = seldon.predictor(_release(), "server:1")
    container = predictor["componentSpecs"][0]["spec"]["containers"][0]
    assert (predictor["name"], predictor["traffic"], predictor["graph"]["name"], container["name"]) == (
        "v2",
        0,
        "v2",
        "v2",
    )
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "metrics": 6000, "http": 9000, "grpc": 9500,
    }  # fmt: skip
    assert predictor["annotations"] == {"seldon.io/no-engine": "true"}


def test_traffic_of_all_predictors_always_sums_to_100():
    live = {"spec": {"predictors": [{"name": "v1"}]}}
    both = {"spec": {"predictors": seldon.with_canary(live, seldon.predictor(_release(), "server:1"))}}
    assert seldon.traffic(both) == {"v1": 100, "v2": 0}
    for weight in (0.0, 1.0, 50.0, 100.0):
        split = seldon.with_traffic(both, canary="v2", baseline="v1", weight_pct=weight)
        assert sum(p["traffic"] for p in split) == 100
        assert split[1]["traffic"] == weight
    assert seldon.traffic({"spec": {"predictors": seldon.without(both, "v2")}}) == {"v1": 100}


def _routes(*weights: tuple[str, int | None]) -> dict:
    destinations = [
        {"destination": {"host": f"credit-{name}", "subset": name}} | ({} if weight is None else {"weight": weight})
        for name, weight in weights
    ]
    return {
        "spec": {
            "http": [{"route": destinations}, {"route": destinations}, {"route": [{"destination": {"host": "x"}}]}]
        }
    }


@pytest.mark.parametrize(
    ("routes", "share"),
    [
        (_routes(("v1", 90), ("v2", 10)), 10.0),
        (_routes(("v1", 100), ("v2", None)), 0.0),
        (_routes(("v1", None)), 0.0),
        (_routes(("v2", None)), 100.0),
        ({"spec": {"http": []}}, None),
        (None, None),
    ],
)
def test_a_share_is_read_as_seldon_writes_it(routes, share):
    assert istio.weight_pct(routes, deployment="credit", canary="v2") == share


@pytest.mark.parametrize("before", [_routes(("v1", 50), ("v2", 50)), _routes(("v2", None))])
def test_a_share_that_is_written_is_read_back_and_other_routes_stay(before):
    after = istio.with_weight(before, deployment="credit", canary="v2", baseline="v1", weight_pct=0.0)
    assert istio.weight_pct({"spec": {"http": after}}, deployment="credit", canary="v2") == 0.0
    assert {d["destination"]["host"]: d["weight"] for d in after[0]["route"]} == {"credit-v1": 100, "credit-v2": 0}
    assert after[2] == before["spec"]["http"][2]


def _pod(**status) -> dict:
    return {
        "metadata": {"namespace": "bank", "name": "p", "uid": "1",
                     "labels": {"seldon-deployment-id": "credit", "version": "v2"}},
        "spec": {"containers": [{"name": "v2", "ports": [{"name": "http", "containerPort": 9000}]}]},
        "status": status,
    }  # fmt: skip


def _container(**rest) -> dict:
    return {"containerStatuses": [{"restartCount": 0, "state": {"running": {"startedAt": "t"}}, **rest}]}


@pytest.mark.parametrize(
    ("status", "readiness"),
    [
        ({}, "starting"),
        (_container(), "unready"),
        ({**_container(), "conditions": [{"type": "Ready", "status": "True"}]}, "ready"),
        (_container(state={"waiting": {"reason": "ContainerCreating"}}), "starting"),
        (_container(state={"waiting": {"reason": "ErrImagePull"}}), "dead"),
        (_container(state={"terminated": {"reason": "OOMKilled", "exitCode": 137}}), "dead"),
        (_container(restartCount=1, lastState={"terminated": {"reason": "Error", "exitCode": 1}}), "dead"),
        ({"phase": "Failed", "reason": "Evicted"}, "dead"),
    ],
)
def test_what_a_pod_says_is_understood(status, readiness):
    pod = read_pod(_pod(**status))
    assert canary_readiness([pod], 1)[0] == readiness


def test_a_canary_is_ready_when_all_its_pods_are_and_a_baseline_when_one_is():
    ready = read_pod(_pod(**_container(), conditions=[{"type": "Ready", "status": "True"}]))
    other = read_pod(_pod(**_container()))
    assert canary_readiness([ready, other], 2)[0] == "unready"
    assert canary_readiness([ready, ready], 2)[0] == "ready"
    assert baseline_readiness([ready, other]) == "ready"
    assert baseline_readiness([other]) == "unready"


def test_a_pod_that_is_leaving_is_no_death():
    body = _pod(**_container(state={"terminated": {"reason": "Completed", "exitCode": 143}}))
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert canary_readiness([read_pod(body)], 1)[0] == "starting"


def _body(name: str, at: int, **status) -> dict:
    body = rollout("bank", name=name)
    body["metadata"] |= {"uid": name, "generation": 1, "creationTimestamp": f"2026-01-01T00:00:{at:02}Z"}
    return {**body, "status": status}


def test_the_oldest_rollout_of_a_target_begins_and_the_others_wait_until_it_has_ended():
    desk = Desk()
    first, second = _body("first", 1), _body("second", 2)
    for body in (first, second):
        desk.rollout(body, gone=False)
    assert "first is before it" in desk.claim(read_release(second))
    assert desk.claim(read_release(first)) == ""
    desk.rollout({**first, "status": {"phase": "Progressing", "engine": "{}"}}, gone=False)
    assert "first is under way" in desk.claim(read_release(second))
    desk.rollout({**first, "status": {"phase": "Promoted", "engine": "{}", "finished": True}}, gone=False)
    desk.leave("first", ("bank", "credit"))
    assert desk.claim(read_release(second)) == ""


def test_a_younger_rollout_never_overtakes_one_that_another_controller_had_begun():
    desk = Desk()
    begun = _body("zz-begun", 5, phase="Progressing", engine="{}")
    older = _body("aa-older", 1)
    for body in (begun, older):
        desk.rollout(body, gone=False)
    assert "zz-begun is under way" in desk.claim(read_release(older))

"""What the API server makes of ModelRollout and ModelApproval: both sides of rules, defaults, columns, words."""

import copy
import json
import uuid

import pytest

from tests.support.kubernetes import DIGEST, Refused, approval, create, get, kubectl, patch, rollout

ALICE = {"user": "alice", "groups": ("system:masters",)}


def _accepted(manifest: dict) -> dict:
    name = f"r-{uuid.uuid4().hex[:8]}"
    manifest = copy.deepcopy(manifest)
    manifest["metadata"]["name"] = name
    create(manifest, **ALICE)
    return get("modelrollouts", name, manifest["metadata"]["namespace"])


def _steps(*weights: float) -> list[dict]:
    return [{"weightPercent": weight} for weight in weights]


_MODEL = {"uri": "s3://models/credit/2", "digest": DIGEST, "version": "v2"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"steps": []}, "should have at least 1 items"),
        ({"steps": _steps(0)}, "greater than or equal to 1"),
        ({"steps": _steps(51)}, "less than or equal to 50"),
        ({"steps": _steps(10, 10)}, "one stands twice"),
        ({"steps": _steps(20, 10)}, "weights must rise"),
        ({"steps": [{"weightPercent": 5, "minimumTimeSeconds": -1}]}, "greater than or equal to 0"),
        ({"steps": [{"weightPercent": 5, "minimumRequests": 0}]}, "greater than or equal to 1"),
        ({"steps": [{"weightPercent": 5, "minimumTimeSeconds": 3600}]}, "the steps alone take as long"),
        ({"model": {**_MODEL, "digest": "sha256:abc"}}, "spec.model.digest"),
        ({"model": {**_MODEL, "digest": DIGEST.upper()}}, "spec.model.digest"),
        ({"model": {**_MODEL, "version": "2"}}, "spec.model.version"),
        ({"model": {**_MODEL, "version": "v" * 21}}, "spec.model.version"),
        ({"model": {**_MODEL, "uri": "http://somewhere"}}, "spec.model.uri"),
        ({"authors": []}, "should have at least 1 items"),
        ({"authors": ["alice", "alice"]}, "Duplicate value"),
        ({"target": {"name": "Credit"}}, "spec.target.name"),
        ({"target": {"name": "c" * 31}}, "may not be more than 30"),
        ({"approvals": {"required": 6}}, "less than or equal to 5"),
        ({"whenBusy": "Fight"}, "Unsupported value"),
        ({"analysis": {"intervalSeconds": 0}}, "greater than or equal to 1"),
        ({"analysis": {"onDeadline": "shrug"}}, "Unsupported value"),
        ({"analysis": {"serviceLevel": {"maximumErrorRate": 1.1}}}, "less than or equal to 1"),
        ({"analysis": {"serviceLevel": {"maximumSlowRate": 1}}}, "should be less than 1"),
        ({"analysis": {"comparison": {"alpha": 0}}}, "should be greater than 0"),
        ({"analysis": {"comparison": {"alpha": 0.21}}}, "less than or equal to 0.2"),
        ({"analysis": {"comparison": {"tests": []}}}, "should have at least 1 items"),
        ({"analysis": {"comparison": {"tests": ["luck"]}}}, "Unsupported value"),
        ({"analysis": {"comparison": {"toleratedErrorOddsRatio": 10}}}, "must be above toleratedErrorOddsRatio"),
        ({"analysis": {"comparison": {"toleratedSlowOddsRatio": 10}}}, "must be above toleratedSlowOddsRatio"),
        ({"server": {"resources": {"limits": {"memory": "much"}}}}, "spec.server.resources.limits.memory"),
        ({"misspelt": 1}, 'unknown field "spec.misspelt"'),
    ],
)
def test_a_malformed_rollout_is_refused_with_the_field_and_what_is_allowed(namespace, spec, words):
    with pytest.raises(Refused, match=words.replace("(", r"\(")):
        create(rollout(namespace, **spec), **ALICE)


@pytest.mark.parametrize(
    "spec",
    [
        {"steps": _steps(1, 2, 50)},
        {"steps": [{"weightPercent": 5, "minimumTimeSeconds": 3599}]},
        {"steps": [{"weightPercent": 5, "minimumTimeSeconds": 0, "minimumRequests": 1}]},
        {"model": {**_MODEL, "version": "v" * 20}},
        {"target": {"name": "c" * 30}},
        {"approvals": {"required": 5}},
        {"analysis": {"serviceLevel": {"maximumSlowRate": 0.99}, "comparison": {"alpha": 0.2}}},
        {"analysis": {"comparison": {"toleratedErrorOddsRatio": 9.9, "toleratedSlowOddsRatio": 9.9}}},
        {"server": {"resources": {"limits": {"cpu": 2, "memory": "1.5Gi"}}}},
    ],
)
def test_the_last_value_that_is_allowed_is_accepted(namespace, spec):
    assert _accepted(rollout(namespace, **spec))["spec"]["authors"] == ["alice"]


def test_what_is_not_said_gets_the_policys_defaults(namespace):
    from tallystick.components.core.policy import RolloutRules

    spec = _accepted(rollout(namespace))["spec"]
    rules = RolloutRules.model_validate({"steps": [{"weight_pct": 10}]})
    assert spec["steps"][0] == {
        "weightPercent": 10,
        "minimumTimeSeconds": rules.steps[0].minimum_time_s,
        "minimumRequests": rules.steps[0].minimum_requests,
    }
    assert spec["analysis"]["comparison"]["alpha"] == rules.comparison.alpha
    assert tuple(spec["analysis"]["comparison"]["tests"]) == rules.comparison.tests
    assert spec["analysis"]["serviceLevel"]["maximumErrorRate"] == rules.service_level.maximum_error_rate
    assert spec["analysis"]["keepWarmSeconds"] == rules.keep_warm_s
    assert (spec["approvals"], spec["whenBusy"], spec["paused"], spec["abort"]) == (
        {"required": 1},
        "Wait",
        False,
        False,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": {"digest": "sha256:" + "b" * 64}}, "target, model and authors cannot be changed"),
        ({"target": {"name": "other"}}, "target, model and authors cannot be changed"),
        ({"authors": ["bob"]}, "target, model and authors cannot be changed"),
        ({"steps": _steps(50)}, "steps, analysis and approvals cannot be changed"),
        ({"approvals": {"required": 0}}, "steps, analysis and approvals cannot be changed"),
        ({"server": {"image": "other"}}, "server cannot be changed"),
        ({"evidence": {"uri": "s3://x", "runId": "1"}}, "evidence cannot be changed"),
    ],
)
def test_what_was_approved_cannot_be_changed_afterwards(namespace, change, words):
    create(rollout(namespace), **ALICE)
    with pytest.raises(Refused, match=words):
        patch("modelrollouts", "credit-v2", namespace, {"spec": change})


def test_pausing_can_be_undone_and_aborting_cannot(namespace):
    create(rollout(namespace), **ALICE)
    patch("modelrollouts", "credit-v2", namespace, {"spec": {"paused": True}})
    patch("modelrollouts", "credit-v2", namespace, {"spec": {"paused": False}})
    patch("modelrollouts", "credit-v2", namespace, {"spec": {"abort": True}})
    with pytest.raises(Refused, match="an abort is final"):
        patch("modelrollouts", "credit-v2", namespace, {"spec": {"abort": False}})
    with pytest.raises(Refused, match="either abort or promote"):
        patch("modelrollouts", "credit-v2", namespace, {"spec": {"promote": True}})


def test_status_is_a_subresource_of_its_own_and_keeps_to_its_schema(namespace):
    create(rollout(namespace), **ALICE)
    patch("modelrollouts", "credit-v2", namespace, {"status": {"phase": "Promoted"}})
    assert "status" not in get("modelrollouts", "credit-v2", namespace)
    kubectl("patch", "modelrollouts", "credit-v2", "-n", namespace, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": {"phase": "Pending"}}))  # fmt: skip
    assert get("modelrollouts", "credit-v2", namespace)["status"]["phase"] == "Pending"
    with pytest.raises(Refused, match="Unsupported value"):
        kubectl("patch", "modelrollouts", "credit-v2", "-n", namespace, "--subresource=status", "--type=merge",
                "-p", json.dumps({"status": {"phase": "Dancing"}}))  # fmt: skip


def test_kubectl_get_tells_the_story_in_columns(namespace):
    create(rollout(namespace), **ALICE)
    status = {
        "phase": "Progressing",
        "reason": "step 1 of 2: 10 % of the requests",
        "weight": {"desired": 10, "observed": 10, "summary": "10/10"},
        "step": {"summary": "1/2"},
    }
    kubectl("patch", "mro", "credit-v2", "-n", namespace, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": status}))  # fmt: skip
    header, row = kubectl("get", "mro", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "TARGET", "VERSION", "PHASE", "WEIGHT", "STEP", "REASON", "AGE"]
    assert row.split()[:6] == ["credit-v2", "credit", "v2", "Progressing", "10/10", "1/2"]
    assert "10 % of the requests" in row
    assert "credit-v2" in kubectl("get", "tallystick", "-n", namespace)


@pytest.mark.parametrize("kind", ["modelrollouts", "modelapprovals"])
def test_every_field_explains_itself(installed, kind):
    crd = json.loads(kubectl("get", "crd", f"{kind}.tallystick.dev", "-o", "json"))
    silent = []

    def look(schema: dict, path: str) -> None:
        for name, child in schema.get("properties", {}).items():
            if path and not child.get("description"):
                silent.append(f"{path}.{name}")
            look(child, f"{path}.{name}")
        if isinstance(schema.get("items"), dict):
            look(schema["items"], f"{path}[]")

    look(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec")
    assert silent == []
    assert "FIELDS:" in kubectl("explain", f"{kind}.spec")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"decision": "Maybe"}, "Unsupported value"),
        ({"comment": ""}, "spec.comment"),
        ({"digest": "sha256:1"}, "spec.digest"),
    ],
)
def test_a_malformed_approval_is_refused(namespace, spec, words):
    create(rollout(namespace), **ALICE)
    with pytest.raises(Refused, match=words):
        create(approval(namespace, "bob", **spec), user="bob", groups=("system:masters",))

"""Who may do what: each role by impersonation, and the admission policies with their messages."""

import json

import pytest

from tests.support.kubernetes import CONTROLLER, Refused, approval, create, get, kubectl, patch, rollout

PEOPLE = {"alice": "author", "bob": "approver", "oscar": "operator", "ada": "auditor"}
BREAK_GLASS = ("tallystick:break-glass",)


@pytest.fixture
def team(namespace):
    """Alice writes, Bob approves, Oscar operates and Ada audits in one namespace; Eve has no role."""
    for person, role in PEOPLE.items():
        kubectl(
            "create", "rolebinding", person, f"--clusterrole=tallystick-{role}", f"--user={person}", "-n", namespace
        )
    return namespace


CAN = {
    "alice": {"create modelrollouts", "get modelrollouts", "get modelapprovals"},
    "bob": {"get modelrollouts", "approve modelrollouts", "create modelapprovals", "get modelapprovals"},
    "oscar": {
        "get modelrollouts", "patch modelrollouts", "delete modelrollouts", "promote modelrollouts",
        "get modelapprovals", "get seldondeployments", "get virtualservices", "get pods", "get events",
    },
    "ada": {"get modelrollouts", "get modelapprovals", "get seldondeployments", "get events"},
    "eve": set(),
    CONTROLLER: {
        "get modelrollouts", "patch modelrollouts", "patch modelrollouts/status", "get modelapprovals",
        "get seldondeployments", "create seldondeployments", "patch seldondeployments",
        "get virtualservices", "patch virtualservices", "delete destinationrules", "get pods", "create events",
    },
}  # fmt: skip
GROUPS = {"model": "tallystick.dev", "seldon": "machinelearning.seldon.io", "virtual": "networking.istio.io",
          "destin": "networking.istio.io"}  # fmt: skip
ASKED = sorted(set().union(*CAN.values()) | {
    "delete modelapprovals", "patch modelapprovals", "patch modelrollouts/status", "delete seldondeployments",
    "delete virtualservices", "create pods", "delete pods", "get secrets", "create deployments",
})  # fmt: skip


def _may(user: str, asked: str, namespace: str) -> bool:
    verb, resource = asked.split()
    name, _, subresource = resource.partition("/")
    group = next((group for start, group in GROUPS.items() if name.startswith(start)), "")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:authenticated"],
            "resourceAttributes": {
                "namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": subresource,
            },
        },
    }  # fmt: skip
    answer = kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=json.dumps(review))
    return answer == "true"


@pytest.mark.parametrize("user", CAN)
def test_each_role_can_do_what_it_needs_and_nothing_else(team, user):
    assert {asked for asked in ASKED if _may(user, asked, team)} == CAN[user]


def test_an_approver_approves_in_one_namespace_only(team):
    assert _may("bob", "approve modelrollouts", team)
    assert not _may("bob", "approve modelrollouts", "default")


def test_whoever_creates_a_rollout_is_one_of_its_authors(team):
    with pytest.raises(Refused, match="whoever creates a rollout is one of its authors; add alice"):
        create(rollout(team, authors=["nobody"]), user="alice")
    assert "created" in create(rollout(team, authors=["nobody", "alice"]), user="alice")


def test_an_approval_by_somebody_else_is_accepted(team):
    create(rollout(team), user="alice")
    assert "created" in create(approval(team, "bob"), user="bob")


def test_an_authors_own_approval_is_refused_with_a_clear_message(team):
    kubectl("create", "rolebinding", "alice-too", "--clusterrole=tallystick-approver", "--user=alice", "-n", team)
    create(rollout(team), user="alice")
    with pytest.raises(Refused, match="alice is one of the authors of credit-v2, who cannot approve it"):
        create(approval(team, "alice"), user="alice")


def test_nobody_approves_in_anothers_name(team):
    create(rollout(team), user="alice")
    with pytest.raises(Refused, match="you are bob and cannot approve as carol"):
        create(approval(team, "carol"), user="bob")


def test_even_who_may_create_approvals_needs_the_approver_role(team):
    create(rollout(team), user="alice")
    kubectl("create", "role", "half", "--verb=create", "--resource=modelapprovals.tallystick.dev", "-n", team)
    kubectl("create", "rolebinding", "half", "--role=half", "--user=eve", "-n", team)
    with pytest.raises(Refused, match="eve does not hold the verb approve"):
        create(approval(team, "eve"), user="eve")


def test_an_approval_of_another_digest_or_of_no_rollout_is_refused(team):
    with pytest.raises(Refused, match="no params found"):
        create(approval(team, "bob"), user="bob")
    create(rollout(team), user="alice")
    with pytest.raises(Refused, match="credit-v2 releases sha256:aaaa"):
        create(approval(team, "bob", digest="sha256:" + "b" * 64), user="bob")


def test_an_approval_can_be_neither_changed_nor_deleted_even_by_the_administrator(team):
    create(rollout(team), user="alice")
    create({**approval(team, "bob"), "metadata": {"name": "yes", "namespace": team}}, user="bob")
    with pytest.raises(Refused, match="an approval cannot be changed"):
        patch("modelapprovals", "yes", team, {"spec": {"decision": "Reject"}})
    with pytest.raises(Refused, match="an approval cannot be changed"):
        patch("modelapprovals", "yes", team, {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(Refused, match="an approval cannot be deleted"):
        kubectl("delete", "modelapprovals", "yes", "-n", team)


def test_a_promotion_by_hand_is_an_operators_and_no_authors(team):
    create(rollout(team, authors=["alice", "oscar"]), user="alice")
    promote = {"spec": {"promote": True}}
    with pytest.raises(Refused, match="oscar is one of the authors, who cannot promote by hand"):
        patch("modelrollouts", "credit-v2", team, promote, user="oscar")
    kubectl("create", "role", "half", "--verb=get,patch", "--resource=modelrollouts.tallystick.dev", "-n", team)
    kubectl("create", "rolebinding", "half", "--role=half", "--user=eve", "-n", team)
    with pytest.raises(Refused, match="eve does not hold the verb promote"):
        patch("modelrollouts", "credit-v2", team, promote, user="eve")
    create(rollout(team, name="other"), user="alice")
    patch("modelrollouts", "other", team, promote, user="oscar")


@pytest.fixture
def managed(team):
    """A SeldonDeployment that the controller made."""
    create(
        {
            "apiVersion": "machinelearning.seldon.io/v1",
            "kind": "SeldonDeployment",
            "metadata": {"name": "credit", "namespace": team, "labels": {"tallystick.dev/managed": "true"}},
            "spec": {
                "predictors": [
                    {"name": "v1", "traffic": 90, "graph": {"name": "v1", "type": "MODEL"}},
                    {"name": "v2", "traffic": 10, "graph": {"name": "v2", "type": "MODEL"}},
                ]
            },
        },
        user=CONTROLLER,
    )
    return team


def _traffic(v1: int, v2: int) -> list[dict]:
    return [
        {"op": "replace", "path": "/spec/predictors/0/traffic", "value": v1},
        {"op": "replace", "path": "/spec/predictors/1/traffic", "value": v2},
    ]


def test_only_the_controller_writes_the_traffic_of_a_managed_deployment(managed):
    with pytest.raises(Refused, match="only the Tallystick controller changes the predictors and traffic of credit"):
        patch("seldondeployments", "credit", managed, _traffic(0, 100), how="json")
    patch("seldondeployments", "credit", managed, _traffic(50, 50), how="json", user=CONTROLLER)
    assert [p["traffic"] for p in get("seldondeployments", "credit", managed)["spec"]["predictors"]] == [50, 50]


def test_a_managed_deployment_can_be_labelled_but_not_taken_over_or_deleted(managed):
    patch("seldondeployments", "credit", managed, {"metadata": {"labels": {"team": "lending"}}})
    for change in ({"metadata": {"labels": {"tallystick.dev/managed": None}}}, {"metadata": {"labels": None}}):
        with pytest.raises(Refused, match="only the Tallystick controller"):
            patch("seldondeployments", "credit", managed, change)
    with pytest.raises(Refused, match="only the Tallystick controller"):
        kubectl("delete", "seldondeployments", "credit", "-n", managed)


def test_breaking_the_glass_must_say_who_and_why(managed):
    who = {"user": "frank", "groups": BREAK_GLASS}
    for record in (None, "frank: short", "somebody: the gateway is on fire"):
        change = [{"op": "add", "path": "/metadata/annotations", "value": {"tallystick.dev/break-glass": record or ""}}]
        with pytest.raises(Refused, match="say why: annotation tallystick"):
            patch("seldondeployments", "credit", managed, [*change, *_traffic(100, 0)], how="json", **who)
    record = {"tallystick.dev/break-glass": "frank: incident 4711"}
    change = [{"op": "add", "path": "/metadata/annotations", "value": record}, *_traffic(100, 0)]
    patch("seldondeployments", "credit", managed, change, how="json", **who)
    kept = get("seldondeployments", "credit", managed)
    assert kept["metadata"]["annotations"]["tallystick.dev/break-glass"] == "frank: incident 4711"
    assert kept["spec"]["predictors"][0]["traffic"] == 100


def test_a_deployment_that_is_not_ours_is_left_alone(team):
    create(
        {
            "apiVersion": "machinelearning.seldon.io/v1",
            "kind": "SeldonDeployment",
            "metadata": {"name": "other", "namespace": team},
            "spec": {"predictors": [{"name": "a", "traffic": 100}]},
        }
    )
    patch("seldondeployments", "other", team, [{"op": "replace", "path": "/spec/predictors/0/traffic", "value": 99}],
          how="json")  # fmt: skip
    kubectl("delete", "seldondeployments", "other", "-n", team)


def test_a_namespace_with_approvals_can_still_be_deleted(installed):
    from tests.support.kubernetes import new_namespace, until

    namespace = new_namespace()
    everything = {"user": "alice", "groups": ("system:masters",)}
    create(rollout(namespace), **everything)
    create(approval(namespace, "bob"), user="bob", groups=("system:masters",))
    kubectl("delete", "namespace", namespace, "--wait=false")
    until(lambda: not kubectl("get", "namespaces", namespace, "--ignore-not-found"), within_s=60)

"""A cluster as tests see it: kubectl, as whoever they say, and namespaces that do not stay."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
DIGEST = "sha256:" + "a" * 64
CONTROLLER = "system:serviceaccount:tallystick-system:tallystick-controller"


class Refused(Exception):
    """kubectl said no; the message is what it said."""


def kubectl(*arguments: str, stdin: str | None = None, user: str = "", groups: tuple[str, ...] = ()) -> str:
    """Run kubectl and return what it prints; :class:`Refused` carries what it said otherwise."""
    impersonation = [f"--as={user}"] if user else []
    impersonation += [f"--as-group={group}" for group in (*groups, "system:authenticated")] if user else []
    done = subprocess.run(
        ["kubectl", *impersonation, *arguments], input=stdin, capture_output=True, text=True, timeout=90, check=False
    )
    if done.returncode:
        raise Refused(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def get(kind: str, name: str, namespace: str) -> dict[str, Any]:
    """One object as it is now."""
    return json.loads(kubectl("get", kind, name, "-n", namespace, "-o", "json"))


def listed(kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """All objects of one kind in a namespace."""
    found = kubectl("get", kind, "-n", namespace, "-o", "json", *(["-l", selector] if selector else []))
    return json.loads(found)["items"]


def create(manifest: dict[str, Any], user: str = "", groups: tuple[str, ...] = ()) -> str:
    """Create an object as somebody."""
    return kubectl("create", "-f", "-", stdin=yaml.safe_dump(manifest), user=user, groups=groups)


def patch(kind: str, name: str, namespace: str, change: Any, *, how: str = "merge", **who: Any) -> str:
    """Patch an object as somebody."""
    return kubectl("patch", kind, name, "-n", namespace, f"--type={how}", "-p", json.dumps(change), **who)


def until(what: Callable[[], Any], *, within_s: float = 60.0, every_s: float = 0.2, otherwise: Any = None) -> Any:
    """Wait until something is true and return it; fail with what `otherwise` says."""
    end = time.monotonic() + within_s
    while True:
        try:
            value = what()
        except Refused as error:
            value, last = None, str(error)
        else:
            last = str(value)
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s} s; last: {otherwise() if otherwise else last}")
        time.sleep(every_s)


def new_namespace() -> str:
    """Make a namespace of this test's own."""
    name = f"tally-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "tallystick.dev/test=true")
    return name


def reason_to_skip() -> str:
    """Why no cluster test can run here; empty when one can."""
    if not os.environ.get("KUBECONFIG"):
        return "needs a cluster: KUBECONFIG is not set"
    try:
        kubectl("version", "-o", "json")
    except FileNotFoundError:
        return "needs kubectl on PATH"
    except (Refused, subprocess.TimeoutExpired) as error:
        return f"the cluster of KUBECONFIG does not answer: {str(error)[-120:]}"
    return ""


def rollout(namespace: str, name: str = "credit-v2", **spec: Any) -> dict[str, Any]:
    """The manifest of a small ModelRollout by alice; keywords replace parts of its spec."""
    return {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "target": {"name": "credit"},
            "model": {"uri": "s3://models/credit/2", "digest": DIGEST, "version": "v2"},
            "authors": ["alice"],
            "steps": [{"weightPercent": 10}, {"weightPercent": 50}],
            **spec,
        },
    }


def approval(namespace: str, approver: str, *, of: str = "credit-v2", **spec: Any) -> dict[str, Any]:
    """The manifest of a ModelApproval; keywords replace parts of its spec."""
    return {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "ModelApproval",
        "metadata": {"generateName": f"{of}-", "namespace": namespace},
        "spec": {
            "rollout": of,
            "digest": DIGEST,
            "approver": approver,
            "decision": "Approve",
            "comment": "read the record of the run",
            **spec,
        },
    }

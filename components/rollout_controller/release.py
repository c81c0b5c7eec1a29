"""A ModelRollout as the controller understands it: the resource's names in, typed values and the policy's rules out.

The resource's schema refuses most mistakes before they get here. What it lets through, for example because an older
schema was installed, is an :class:`InputError` with the field's name, and never a crash of the controller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from tallystick.components.core.errors import InputError
from tallystick.components.core.policy import RolloutRules

WhenBusy = Literal["Wait", "Supersede"]


@dataclass(frozen=True, kw_only=True)
class Server:
    """How the pods of the new version run; empty texts mean the installation's defaults."""

    image: str
    replicas: int
    service_account: str
    environment_secret: str
    resources: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Release:
    """One ModelRollout's spec with what identifies it.

    Attributes
    ----------
    created_s
        Seconds since the epoch; approvals older than this are for something else.
    version
        Name of the predictor.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    created_s: float
    target: str
    uri: str
    digest: str
    version: str
    authors: frozenset[str]
    server: Server
    approvals_required: int
    when_busy: WhenBusy
    paused: bool
    abort: bool
    promote: bool
    rules: RolloutRules

    @property
    def place(self) -> tuple[str, str]:
        """What only one rollout at a time may touch: namespace and target."""
        return self.namespace, self.target


def field_name(name: str) -> str:
    """Name in the resource of a field of the policy: ``maximum_p99_s`` is ``maximumP99Seconds``."""
    spelt = re.sub(r"_s$", "_seconds", re.sub(r"_pct$", "_percent", name))
    first, *others = spelt.split("_")
    return first + "".join(word.capitalize() for word in others)


def read_release(body: Mapping[str, Any]) -> Release:
    """Understand a ModelRollout.

    Raises
    ------
    InputError
        A field that is missing or impossible.
    """
    metadata, spec = body["metadata"], body.get("spec") or {}
    name = metadata["name"]
    try:
        server = spec.get("server") or {}
        return Release(
            name=name,
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            created_s=seconds(metadata["creationTimestamp"]),
            target=spec["target"]["name"],
            uri=spec["model"]["uri"],
            digest=spec["model"]["digest"],
            version=spec["model"]["version"],
            authors=frozenset(spec["authors"]),
            server=Server(
                image=server.get("image", ""),
                replicas=int(server.get("replicas", 1)),
                service_account=server.get("serviceAccountName", ""),
                environment_secret=server.get("environmentSecret", ""),
                resources=server.get("resources", {}),
            ),
            approvals_required=int((spec.get("approvals") or {}).get("required", 1)),
            when_busy="Supersede" if spec.get("whenBusy") == "Supersede" else "Wait",
            paused=bool(spec.get("paused")),
            abort=bool(spec.get("abort")),
            promote=bool(spec.get("promote")),
            rules=_rules(spec),
        )
    except KeyError as error:
        raise InputError(f"ModelRollout {name}: spec", f"{error.args[0]} is missing") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(f"ModelRollout {name}: spec", f"cannot be read ({error})") from error


def _rules(spec: Mapping[str, Any]) -> RolloutRules:
    analysis = {**(spec.get("analysis") or {}), "steps": spec["steps"]}
    try:
        return RolloutRules.model_validate(_snake(analysis))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(field_name(part) if isinstance(part, str) else str(part) for part in first["loc"])
        raise InputError(f"spec.analysis or spec.steps: {where}", str(first["msg"])) from error


def _snake(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_policy_name(key): _snake(child) for key, child in value.items()}
    return [_snake(child) for child in value] if isinstance(value, list) else value


def _policy_name(name: str) -> str:
    spelt = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name).lower()
    return re.sub(r"_seconds$", "_s", re.sub(r"_percent$", "_pct", spelt))


def place_of(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """Namespace and target of a ModelRollout, however malformed the rest is; None where it names no target."""
    spec = body.get("spec")
    target = spec.get("target") if isinstance(spec, Mapping) else None
    name = target.get("name") if isinstance(target, Mapping) else None
    return (str(body["metadata"]["namespace"]), name) if name and isinstance(name, str) else None


def seconds(timestamp: str) -> float:
    """Seconds since the epoch of a time as the API server writes it."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()

"""The trust file: whose signature the verifier accepts, for what, and until when.

It belongs to whoever verifies. Nothing that comes with the evidence can add a key to it or widen a role.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field, model_validator

from tallystick.components.core.documents import Document, parse
from tallystick.components.core.errors import InputError
from tallystick.components.core.receipts.keys import PublicKey, parse_public_key
from tallystick.components.core.receipts.requirements import EvidenceRules

Role = Literal["training", "gate", "documentation", "registration", "rollout", "approver", "override", "log"]
ROLES: tuple[Role, ...] = get_args(Role)

ROLE_OF_KIND: dict[str, Role] = {
    "verdict": "gate",
    "training": "training",
    "search": "training",
    "model_card": "documentation",
    "bundle": "documentation",
    "registration": "registration",
    "rollout": "rollout",
    "approval": "approver",
    "override": "override",
}
"""Which role a statement's kind asks for. A kind that is not here is signed by nobody's right."""


class Revocation(Document):
    """A key that is no longer trusted.

    A compromised key proves nothing any more, whatever date its statements carry: its thief sets the date. One
    that was only retired is still good for what stands in the log before `at`.
    """

    at: AwareDatetime
    reason: Annotated[str, Field(min_length=3)]
    compromised: bool = True


class TrustedKey(Document):
    """One key, whose it is, and what it may sign."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    person: Annotated[str, Field(min_length=1, max_length=120)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    public_key: str
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    revoked: Revocation | None = None

    @model_validator(mode="after")
    def _usable(self) -> TrustedKey:
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ValueError(f"{self.name}: valid_until is not after valid_from")
        try:
            parse_public_key(self.public_key, self.name)
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def key(self) -> PublicKey:
        """The public key itself."""
        return parse_public_key(self.public_key, self.name)

    def objection(self, role: Role, at: datetime) -> tuple[str, str] | None:
        """Why this key may not sign in `role` at that time: a code and a sentence; None where it may.

        The first instant of validity is inside, the last outside.
        """
        if self.revoked and (self.revoked.compromised or at >= self.revoked.at):
            return "revoked", f"the key {self.name} was revoked ({self.revoked.reason})"
        if role not in self.roles:
            return "wrong_role", f"the key {self.name} may sign as {', '.join(self.roles)}, not as {role}"
        if self.valid_from and at < self.valid_from:
            return "not_valid_then", f"the key {self.name} is valid from {self.valid_from.isoformat()}"
        if self.valid_until and at >= self.valid_until:
            return "not_valid_then", f"the key {self.name} was valid until {self.valid_until.isoformat()}"
        return None


class TrustedLog(Document):
    """Which log, and the last state of it that the verifier has seen.

    ``known`` is a checkpoint's text: what is verified must come from a log that still begins like that one.
    """

    origin: str = ""
    known: str = ""


class TrustPolicy(Document):
    """A whole trust file.

    ``requires`` is what the verifier asks for; the release's own policy can ask for more and not for less.
    ``clock_tolerance_s`` is by how much two machines' clocks may differ before dates contradict the log's order.
    """

    version: Literal[1]
    keys: Annotated[tuple[TrustedKey, ...], Field(min_length=1)]
    log: TrustedLog = Field(default_factory=TrustedLog)
    requires: EvidenceRules = Field(default_factory=EvidenceRules)
    clock_tolerance_s: Annotated[float, Field(ge=0.0, le=86400.0)] = 120.0

    @model_validator(mode="after")
    def _distinct(self) -> TrustPolicy:
        names = [key.name for key in self.keys]
        ids = [key.key.key_id for key in self.keys]
        if len(set(names)) != len(names):
            raise ValueError("keys: two keys have the same name")
        if len(set(ids)) != len(ids):
            raise ValueError("keys: one key stands twice; give it all its roles in one entry")
        return self

    @property
    def clock_tolerance(self) -> timedelta:
        """As a duration."""
        return timedelta(seconds=self.clock_tolerance_s)

    def key_by_id(self, key_id: str) -> TrustedKey | None:
        """The entry of a key."""
        return next((key for key in self.keys if key.key.key_id == key_id), None)

    def keys_for(self, role: Role) -> list[TrustedKey]:
        """All keys with this role."""
        return [key for key in self.keys if role in key.roles]


def parse_trust(text: str, name: str = "trust.yaml") -> TrustPolicy:
    """Read a trust file; see :func:`tallystick.components.core.documents.parse` for what it raises."""
    return parse(text, TrustPolicy, name)

"""Keys of runs on one machine: a pair is made at the first use, with a trust file that says what it is good for.

It shows that the evidence was not altered since this machine made it, and nothing more: whoever may write in the
folder may sign. An approver's key is never among them: that is a person's own (`tallystick keys make`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick.components.core.errors import InputError
from tallystick.components.core.files import write_text
from tallystick.components.core.receipts.identity import KEY_VARIABLE, SIGNER_VARIABLE, TRUST_VARIABLE
from tallystick.components.core.receipts.keys import (
    PublicKey,
    generate_key,
    read_private_key,
    write_private_key,
)

SIGNER = "local pipeline"
PIPELINE_ROLES = ("training", "gate", "documentation", "registration", "rollout", "log")


@dataclass(frozen=True, kw_only=True)
class LocalKeys:
    """Where the key and the trust file of one machine's runs are."""

    key: Path
    trust: Path

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """What a step's environment gets; a key that the user configured wins, and is not held against this trust."""
        if given.get(KEY_VARIABLE):
            return {}
        return {
            KEY_VARIABLE: str(self.key.resolve()),
            SIGNER_VARIABLE: SIGNER,
            TRUST_VARIABLE: given.get(TRUST_VARIABLE) or str(self.trust.resolve()),
        }


def local_keys(runs: Path) -> LocalKeys:
    """The keys below a runs folder; made where there are none.

    Raises
    ------
    InputError
        The key that is there cannot be used.
    StorageError
        The folder cannot be written.
    """
    keys = LocalKeys(key=runs / "keys" / "pipeline.pem", trust=runs / "keys" / "trust.yaml")
    if not keys.key.exists():
        write_private_key(keys.key, generate_key()[1])
    if not keys.trust.exists():
        public = read_private_key(keys.key).public
        write_text(keys.trust, trust_text([trust_entry(public, "pipeline", SIGNER, PIPELINE_ROLES)]))
    return keys


def trust_text(entries: Sequence[str], *, approvals: int = 0) -> str:
    """A trust file with these keys."""
    return (
        "# Whose signature is accepted, and for what. It belongs to whoever verifies: change it here.\n"
        "# An approval is asked for by `approvals: 1`, and a person's key with the role approver.\n"
        "version: 1\n"
        f"requires:\n  approvals: {approvals}\n"
        "keys:\n" + "".join(entries)
    )


def trust_entry(public: PublicKey, name: str, person: str, roles: Sequence[str]) -> str:
    """One key's entry in a trust file, as YAML."""
    pem = "".join(f"      {line}\n" for line in public.to_pem().splitlines())
    return (
        f"  - name: {json.dumps(name)}\n"
        f"    person: {json.dumps(person)}\n"
        f"    roles: [{', '.join(roles)}]\n"
        f"    public_key: |\n{pem}"
    )


def add_to_trust(path: Path, entry: str) -> None:
    """Add a key to a trust file, if the file is still one with it.

    Raises
    ------
    InputError
        The file cannot be read, or would be none with this key (its name or key stands there already).
    """
    from tallystick.components.core.receipts.trust import parse_trust

    try:
        text = path.read_text(encoding="utf-8") if path.exists() else trust_text([])
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), "cannot be read", "a trust file") from error
    head, found, rest = text.partition("\nkeys:\n")
    if not found:
        raise InputError(str(path), "has no list `keys:` at the beginning of a line", "a trust file")
    changed = f"{head}\nkeys:\n{entry}{rest}"
    parse_trust(changed, str(path))
    write_text(path, changed)

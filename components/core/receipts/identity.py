"""Who this process is when it makes a statement, and the key it signs with.

The environment is read once, by `step` or the command line, and never by what makes statements. It names the
key's file or token; the key itself is read when the first statement is signed, and goes nowhere else: not into
statements, logs, pipelines or other processes' arguments.

    TALLYSTICK_SIGNING_KEY   a PEM file of mode 0600, or a PKCS #11 address (token.py)
    TALLYSTICK_SIGNER        how this signer is called; a name, or a service account
    TALLYSTICK_AUTHORS       who wrote code, data, policy or model, separated by commas: none of them may approve
    TALLYSTICK_IMAGE         the image that runs, with its digest
    TALLYSTICK_COMMIT        the commit of the code
    TALLYSTICK_TRUST         the trust file of whoever lets a model pass (door.py)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tallystick.components.core.errors import InputError
from tallystick.components.core.receipts.keys import Signer, read_private_key

KEY_VARIABLE = "TALLYSTICK_SIGNING_KEY"
SIGNER_VARIABLE = "TALLYSTICK_SIGNER"
AUTHORS_VARIABLE = "TALLYSTICK_AUTHORS"
IMAGE_VARIABLE = "TALLYSTICK_IMAGE"
COMMIT_VARIABLE = "TALLYSTICK_COMMIT"
TRUST_VARIABLE = "TALLYSTICK_TRUST"
PKCS11_SCHEME = "pkcs11:"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A signer's name and where its key is.

    Attributes
    ----------
    key
        Path of a PEM file, or a ``pkcs11:`` address.
    """

    name: str
    key: str
    authors: tuple[str, ...] = ()
    image: str = ""
    commit: str = ""
    _loaded: list[Signer] = field(default_factory=list, repr=False, compare=False)

    def signer(self) -> Signer:
        """The key, read when it is first needed.

        Raises
        ------
        InputError
            It cannot be read.
        """
        if not self._loaded:
            self._loaded.append(open_signer(self.key))
        return self._loaded[0]


_acting: list[Identity | None] = [None]  # of the whole process: a thread of it is nobody else


def open_signer(key: str) -> Signer:
    """The signer behind a PEM file's path or a ``pkcs11:`` address."""
    if key.startswith(PKCS11_SCHEME):
        from tallystick.components.core.receipts.token import open_token_key

        return open_token_key(key)
    return read_private_key(Path(key))


def identity_of(environment: Mapping[str, str]) -> Identity | None:
    """The identity that the environment names; None where it names no key.

    Raises
    ------
    InputError
        It names a key's file that is not there: found before any work is done, not after it.
    """
    key = environment.get(KEY_VARIABLE, "")
    if not key:
        return None
    if not key.startswith(PKCS11_SCHEME) and not Path(key).is_file():
        raise InputError(KEY_VARIABLE, f"names {key}, and there is no such file", "a PEM file, or a pkcs11: address")
    authors = environment.get(AUTHORS_VARIABLE, "").split(",")
    return Identity(
        name=environment.get(SIGNER_VARIABLE, "") or ("token" if key.startswith(PKCS11_SCHEME) else Path(key).stem),
        key=key,
        authors=tuple(sorted({author.strip() for author in authors} - {""})),
        image=environment.get(IMAGE_VARIABLE, ""),
        commit=environment.get(COMMIT_VARIABLE, ""),
    )


@contextlib.contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Statements that are made inside the block are this identity's."""
    _acting.append(identity)
    try:
        yield
    finally:
        _acting.pop()


def current_identity() -> Identity | None:
    """Whose statements are being made now; None where they are not signed."""
    return _acting[-1]

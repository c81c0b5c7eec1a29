"""Checkpoints: what a log's keeper signs. A name, a size, a root.

References
----------
C2SP tlog-checkpoint and signed-note: https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from tallystick.components.core.errors import InputError
from tallystick.components.core.receipts.keys import PublicKey, Signer

_DASH = "\u2014 "
_ED25519 = b"\x01"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A log's state: all entries below `size` hash to `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """The signed note: body, empty line, one signature line in the log's own name."""
    signature = _key_hash(checkpoint.origin, signer.public) + signer.sign(checkpoint.body().encode())
    encoded = base64.b64encode(signature).decode()
    return f"{checkpoint.body()}\n{_DASH}{checkpoint.origin} {encoded}\n".encode()


def read_checkpoint(note: bytes, where: str) -> Checkpoint:
    """Read a note's body; nothing is verified.

    Raises
    ------
    InputError
        It is no checkpoint.
    """
    allowed = "a signed checkpoint: origin, size, root, an empty line and signature lines"
    try:
        body, separator, _ = note.decode().rpartition("\n\n")
        origin, size, root = body.split("\n")
        checkpoint = Checkpoint(origin=origin, size=int(size), root=base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error) as error:
        raise InputError(where, "is not a checkpoint", allowed) from error
    if not separator or checkpoint.body() != body + "\n" or not origin or len(checkpoint.root) != 32:
        raise InputError(where, "is not a checkpoint", allowed)
    return checkpoint


def signer_of(note: bytes, keys: Iterable[PublicKey]) -> PublicKey | None:
    """The key, of those given, that signed the note in its log's name; None where none of them did.

    A signature line that names a known key and does not verify makes the whole note worthless.
    """
    body, _, lines = note.decode(errors="replace").rpartition("\n\n")
    text = (body + "\n").encode()
    origin = body.partition("\n")[0]
    candidates = list(keys)
    for line in lines.splitlines():
        name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
        try:
            signature = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            return None
        for key in candidates:
            if line.startswith(_DASH) and name == origin and signature[:4] == _key_hash(origin, key):
                return key if key.verifies(text, signature[4:]) else None
    return None


def _key_hash(name: str, key: PublicKey) -> bytes:
    """Four bytes that say which key to try: over name and key for Ed25519, over the key alone for ECDSA."""
    content = name.encode() + b"\n" + _ED25519 + key.raw if key.algorithm == "ed25519" else key.der
    return hashlib.sha256(content).digest()[:4]

"""Signed envelopes: the bytes of a statement, and signatures over exactly those bytes.

An envelope says nothing about who may sign: that is the trust file's business (trust.py). It is written in one
canonical form, and one in any other form is not read, so that no two files stand for the same envelope.

References
----------
Dead Simple Signing Envelope v1.0: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from tallystick.components.core.errors import InputError
from tallystick.components.core.files import canonical_json, sha256_of_bytes
from tallystick.components.core.receipts.keys import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One signature and the id of the key that should verify it; the id is a hint and proves nothing."""

    key_id: str
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A payload with its signatures."""

    payload: bytes
    signatures: tuple[Signature, ...]
    payload_type: str = PAYLOAD_TYPE

    def to_bytes(self) -> bytes:
        """The canonical JSON form: the bytes that are stored and whose digest stands in the log."""
        return canonical_json(
            {
                "payloadType": self.payload_type,
                "payload": base64.b64encode(self.payload).decode(),
                "signatures": [
                    {"keyid": s.key_id, "sig": base64.b64encode(s.signature).decode()} for s in self.signatures
                ],
            }
        )

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of :meth:`to_bytes`."""
        return sha256_of_bytes(self.to_bytes())

    def statement(self) -> dict[str, Any]:
        """The payload as JSON.

        Raises
        ------
        InputError
            It is none.
        """
        try:
            value = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise InputError("envelope", "the payload is not JSON", "an in-toto statement") from error
        if not isinstance(value, dict):
            raise InputError("envelope", "the payload is no JSON object", "an in-toto statement")
        return value

    def signed_by(self, key: PublicKey) -> bool:
        """Whether one of the signatures is this key's."""
        message = pre_authentication_encoding(self.payload_type, self.payload)
        return any(key.verifies(message, s.signature) for s in self.signatures)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload with their lengths, so that neither can be read as the other.

    References
    ----------
    DSSE protocol v1.0, "Signature Definition": PAE(type, body).
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(statement: dict[str, Any], signer: Signer) -> Envelope:
    """Serialise a statement canonically and sign it."""
    payload = canonical_json(statement)
    signature = signer.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return Envelope(payload=payload, signatures=(Signature(key_id=signer.public.key_id, signature=signature),))


def read_envelope(content: bytes, where: str) -> Envelope:
    """Read an envelope.

    Raises
    ------
    InputError
        It is none, or it is not in the canonical form.
    """
    try:
        value = json.loads(content)
        envelope = Envelope(
            payload_type=value["payloadType"],
            payload=base64.b64decode(value["payload"], validate=True),
            signatures=tuple(
                Signature(key_id=s["keyid"], signature=base64.b64decode(s["sig"], validate=True))
                for s in value["signatures"]
            ),
        )
        whole = envelope.to_bytes() == content
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise InputError(
            where, "is not a signed envelope", "DSSE JSON with payloadType, payload, signatures"
        ) from error
    if not whole or envelope.payload_type != PAYLOAD_TYPE:
        raise InputError(where, "is not in the form in which envelopes are written", "canonical JSON, in-toto payload")
    return envelope


def is_envelope(value: Any) -> bool:
    """Whether stored JSON is an envelope and not a bare, unsigned statement."""
    return isinstance(value, dict) and "payloadType" in value

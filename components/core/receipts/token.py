"""A signing key that never leaves its token: PKCS #11, for hardware modules and cloud key stores.

The address names module, token and key; the PIN stands in a file that the address names, so it is in no
environment, argument or log:

    pkcs11:token=release;object=gate?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin

The token signs with ECDSA P-256, which every token has. Needs the extra `pkcs11`.

References
----------
RFC 7512: the PKCS #11 URI scheme. PKCS #11 v2.40: CKM_ECDSA signs a digest and answers r and s, 32 bytes each.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.receipts.keys import PublicKey

_FORM = "pkcs11:token=NAME;object=LABEL?module-path=FILE&pin-source=file:FILE"


class TokenKey:
    """A signer whose private key is in a token."""

    def __init__(self, private: Any, public: PublicKey, session: Any) -> None:
        self._private, self._public, self._session = private, public, session

    @property
    def public(self) -> PublicKey:
        """The public half, as the token gives it."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Let the token sign the message's SHA-256; the answer in DER.

        Raises
        ------
        StorageError
            The token does not answer or refuses.
        """
        import pkcs11
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        try:
            raw = self._private.sign(hashlib.sha256(message).digest(), mechanism=pkcs11.Mechanism.ECDSA)
        except pkcs11.PKCS11Error as error:
            raise StorageError(f"the token does not sign ({type(error).__name__})") from error
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def open_token_key(address: str) -> TokenKey:
    """Open the key that a PKCS #11 address names; the session stays open as long as the process.

    Raises
    ------
    InputError
        The address, the PIN's file, the token or the key cannot be used, or python-pkcs11 is not installed.
    """
    path, query = parse_address(address)
    try:
        import pkcs11
        from pkcs11.util.ec import encode_ec_public_key
    except ImportError as error:
        raise InputError(address, "python-pkcs11 is not installed", "", "pip install 'tallystick[pkcs11]'") from error
    pin = _pin(query["pin-source"])
    try:
        token = pkcs11.lib(query["module-path"]).get_token(token_label=path["token"])
        session = token.open(user_pin=pin)
        kind = pkcs11.KeyType.EC
        private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=path["object"], key_type=kind)
        public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=path["object"], key_type=kind)
        der = encode_ec_public_key(public)
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        reason = type(error).__name__  # never the error's words: they may hold what was sent to the token
        raise InputError(address, f"the token or its key cannot be used ({reason})", _FORM) from None
    return TokenKey(private, _p256(der, address), session)


def parse_address(address: str) -> tuple[dict[str, str], dict[str, str]]:
    """Path and query attributes of an address.

    Raises
    ------
    InputError
        One that is needed is missing, or the PIN itself stands in it.
    """
    path_text, _, query_text = address.removeprefix("pkcs11:").partition("?")
    path = _attributes(path_text, ";")
    query = _attributes(query_text, "&")
    if "pin-value" in query:
        raise InputError("the PKCS #11 address", "holds the PIN itself", "pin-source=file:FILE")
    for name, given in (("token", path), ("object", path), ("module-path", query), ("pin-source", query)):
        if not given.get(name):
            raise InputError(address, f"{name} is missing", _FORM)
    return path, query


def _attributes(text: str, separator: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(separator) if part)
    return {name: unquote(value) for name, _, value in pairs}


def _pin(source: str) -> str:
    file = source.removeprefix("file:")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(file, "the PIN's file cannot be read", "a text file that holds the PIN") from error


def _p256(der: bytes, where: str) -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    from tallystick.components.core.receipts.keys import parse_public_key

    try:
        public = serialization.load_der_public_key(der)
    except ValueError as error:
        raise InputError(where, "the token's public key cannot be read", "an ECDSA P-256 key") from error
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return parse_public_key(public.public_bytes(serialization.Encoding.PEM, form).decode(), where)

"""Keys that sign and keys that verify: Ed25519 and ECDSA P-256, from PEM files.

A private key is read from a file (made by `tallystick keys`, or mounted from a Kubernetes secret) into a signer
that can sign and can name its public half, and can do nothing else: it has no representation that shows it.
A key in a hardware token is another signer (token.py). cryptography is imported late: most processes never sign.
"""

from __future__ import annotations

import functools
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.files import sha256_of_bytes

Algorithm = Literal["ed25519", "ecdsa-p256"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """The half of a key that everybody may have.

    Attributes
    ----------
    der
        SubjectPublicKeyInfo.
    raw
        For Ed25519 the 32 bytes of the key; empty otherwise.
    """

    algorithm: Algorithm
    der: bytes
    raw: bytes = b""

    @property
    def key_id(self) -> str:
        """Hexadecimal SHA-256 of the SubjectPublicKeyInfo."""
        return sha256_of_bytes(self.der)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` over `message` was made by the private half."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        key = _loaded(self.der)
        try:
            if self.algorithm == "ed25519":
                key.verify(signature, message)
            else:
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    def to_pem(self) -> str:
        """PEM text, as it stands in a trust file."""
        from cryptography.hazmat.primitives import serialization

        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return str(_loaded(self.der).public_bytes(serialization.Encoding.PEM, form).decode())


class Signer(Protocol):
    """Something that can sign; where the private key lives is its own affair."""

    @property
    def public(self) -> PublicKey:
        """The public half."""

    def sign(self, message: bytes) -> bytes:
        """Signature over `message`: 64 bytes for Ed25519, DER for ECDSA with SHA-256."""


class FileKey:
    """A signer whose private key came from a file."""

    def __init__(self, private: Any) -> None:
        self._private = private
        self._public = _public_half(private.public_key(), "key")

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Sign one message."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if self._public.algorithm == "ed25519":
            return bytes(self._private.sign(message))
        return bytes(self._private.sign(message, ec.ECDSA(hashes.SHA256())))


def generate_key(algorithm: Algorithm = "ed25519") -> tuple[FileKey, bytes]:
    """Make a key; returns the signer and the private key's PEM, which belongs in a file of mode 0600 only."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    private: Any = (
        ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return FileKey(private), pem


def write_private_key(path: Path, pem: bytes) -> None:
    """Write a private key that nobody else may read; an existing file is never replaced.

    Raises
    ------
    InputError
        There is a file of that name.
    StorageError
        The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(str(path), "exists already", "a new file", "a key is never overwritten") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(pem)
        stream.flush()
        os.fsync(stream.fileno())


def read_private_key(path: Path) -> FileKey:
    """Read a private key from a PEM file.

    Raises
    ------
    InputError
        No such file, one that everybody may read, or no Ed25519 or P-256 private key without a passphrase. The
        message never holds any of the file's content.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    allowed = "an Ed25519 or ECDSA P-256 private key in PEM (PKCS 8), without a passphrase"
    try:
        if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise InputError(str(path), "may be read by everybody on this machine", "mode 0600 (or 0640)")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", allowed) from error
    try:
        private = serialization.load_pem_private_key(content, password=None)
        return FileKey(private)
    except (ValueError, TypeError, UnsupportedAlgorithm, InputError):
        # The cause is left out on purpose: a parser's words may quote what it read.
        raise InputError(str(path), "is not a key that can be used", allowed) from None


def parse_public_key(pem: str, where: str) -> PublicKey:
    """Read a public key.

    Raises
    ------
    InputError
        Not the PEM of an Ed25519 or P-256 public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        return _public_half(serialization.load_pem_public_key(pem.encode()), where)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(where, "is not a public key", "PEM of an Ed25519 or ECDSA P-256 public key") from error


def _public_half(public: Any, where: str) -> PublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return PublicKey(algorithm="ed25519", der=der, raw=raw)
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return PublicKey(algorithm="ecdsa-p256", der=der)
    raise InputError(where, "is a key of another kind", "Ed25519 or ECDSA P-256")


@functools.lru_cache(maxsize=256)
def _loaded(der: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_der_public_key(der)

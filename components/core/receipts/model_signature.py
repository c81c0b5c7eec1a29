"""The model's folder signed in the OpenSSF way, so that tools that know nothing of this platform can check it.

It stands beside the folder, not in it: a model's folder holds what its manifest names and nothing else. Inside the
platform the model is bound by its digest in signed statements, and this signature decides nothing. The library is
an extra (`signing`) and is imported late: it takes most of a second.

References
----------
OpenSSF Model Signing v1.0: https://github.com/ossf/model-signing-spec
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tallystick.components.core.errors import EvidenceRefusedError, InputError, StorageError
from tallystick.components.core.files import write_bytes
from tallystick.components.core.receipts.keys import PublicKey, read_private_key


def sign_model(folder: Path, key: Path, signature: Path) -> None:
    """Sign every file of a model's folder.

    Parameters
    ----------
    key
        A PEM file with an ECDSA P-256 key: the format knows no Ed25519.
    signature
        Where to write the signature (a Sigstore bundle in JSON), outside of the folder.

    Raises
    ------
    InputError
        The key is of another kind, the signature would lie in the folder, or the library is not installed.
    StorageError
        It cannot be written.
    """
    if read_private_key(key).public.algorithm != "ecdsa-p256":
        raise InputError(
            str(key), "is an Ed25519 key", "ECDSA P-256", "make one: `tallystick keys make FILE --algorithm ecdsa-p256`"
        )
    if signature.resolve().is_relative_to(folder.resolve()):
        raise InputError(str(signature), "lies in the model's folder", "a path outside of it")
    try:
        from model_signing import signing
    except ImportError as error:
        raise _not_installed() from error
    with tempfile.TemporaryDirectory() as temporary:
        written = Path(temporary) / "model.sig"
        try:
            signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, written)
        except (OSError, ValueError) as error:
            raise StorageError(f"{folder}: cannot be signed ({error})") from error
        write_bytes(signature, written.read_bytes())


def verify_model(folder: Path, public: PublicKey, signature: Path) -> None:
    """Check that every file of the folder is as it was signed, and that none was added or removed.

    Raises
    ------
    EvidenceRefusedError
        It is not; the message says what differs.
    InputError
        There is no such signature, or the library is not installed.
    """
    if not signature.is_file():
        raise InputError(str(signature), "no such file", "the signature of a model's folder")
    try:
        from model_signing import verifying
    except ImportError as error:
        raise _not_installed() from error
    with tempfile.TemporaryDirectory() as temporary:
        key = Path(temporary) / "key.pub"
        key.write_text(public.to_pem(), encoding="utf-8")
        try:
            verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, signature)
        except Exception as error:  # the library raises whatever its parts raise; none of it is a pass
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EvidenceRefusedError(f"{folder}: its signature does not hold ({reason})") from error


def _not_installed() -> InputError:
    return InputError("model-signing", "is not installed", "", "pip install 'tallystick[signing]'")

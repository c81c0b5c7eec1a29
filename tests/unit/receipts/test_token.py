"""A key in a token: SoftHSM from Debian where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.core.receipts.dsse import seal
from tallystick.components.core.receipts.identity import KEY_VARIABLE, identity_of
from tallystick.components.core.receipts.token import parse_address

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    if not MODULE.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed (apt-get install softhsm2)")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "release", "--pin", "4711",
                        "--so-pin", "0815"], check=True, capture_output=True)  # fmt: skip
        from pkcs11.util.ec import encode_named_curve_parameters

        with pkcs11.lib(str(MODULE)).get_token(token_label="release").open(rw=True, user_pin="4711") as session:
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
            )
            parameters.generate_keypair(label="gate", store=True)
        (folder / "pin").write_text("4711\n")
        yield f"pkcs11:token=release;object=gate?module-path={MODULE}&pin-source=file:{folder / 'pin'}"


def test_a_statement_signed_in_the_token_verifies_with_the_tokens_public_key(address):
    signer = identity_of({KEY_VARIABLE: address}).signer()
    envelope = seal({"predicate": {}}, signer)
    assert signer.public.algorithm == "ecdsa-p256"
    assert envelope.signed_by(signer.public)
    assert b"PUBLIC KEY" in signer.public.to_pem().encode()


@pytest.mark.parametrize("change", [("object=gate", "object=other"), ("token=release", "token=other")])
def test_a_key_or_token_that_is_not_there_is_named(address, change):
    with pytest.raises(InputError, match="the token or its key cannot be used"):
        identity_of({KEY_VARIABLE: address.replace(*change)}).signer()


def test_a_pin_that_cannot_be_read_is_named_by_its_file(address):
    with pytest.raises(InputError, match="the PIN's file cannot be read"):
        identity_of({KEY_VARIABLE: address + "-elsewhere"}).signer()


@pytest.mark.parametrize("missing", ["token=a;", "object=b", "module-path=c&", "pin-source=file:d"])
def test_an_address_without_a_needed_part_is_refused(missing):
    whole = "pkcs11:token=a;object=b?module-path=c&pin-source=file:d"
    assert parse_address(whole)[0] == {"token": "a", "object": "b"}
    with pytest.raises(InputError, match="is missing"):
        parse_address(whole.replace(missing, ""))


def test_an_address_that_holds_the_pin_is_refused_without_repeating_it():
    with pytest.raises(InputError) as caught:
        parse_address("pkcs11:token=a;object=b?module-path=c&pin-source=file:d&pin-value=4711")
    assert "4711" not in str(caught.value)

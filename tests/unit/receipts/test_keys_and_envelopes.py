"""Keys, envelopes and checkpoints: what verifies, what does not, and that a private key never shows."""

import base64
import hashlib
import json
import subprocess
import traceback

import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.core.receipts.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint, signer_of
from tallystick.components.core.receipts.dsse import pre_authentication_encoding, read_envelope, seal
from tallystick.components.core.receipts.keys import (
    ALGORITHMS,
    generate_key,
    parse_public_key,
    read_private_key,
    write_private_key,
)

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "subject": [], "predicate": {"b": 1, "a": "é"}}


@pytest.fixture(params=ALGORITHMS)
def key(request):
    return generate_key(request.param)[0]


def test_the_encoding_is_that_of_the_specification():
    # The example of the DSSE protocol, v1.0.
    assert pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_securesystemslib_verifies_what_we_sign(key):
    dsse = pytest.importorskip("securesystemslib.dsse", reason="securesystemslib is not installed")
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from securesystemslib.signer import SSlibKey

    envelope = json.loads(seal(STATEMENT, key).to_bytes())
    theirs = SSlibKey.from_crypto(load_der_public_key(key.public.der), keyid=key.public.key_id)
    assert list(dsse.Envelope.from_dict(envelope).verify([theirs], 1)) == [key.public.key_id]


def test_an_envelope_is_read_back_and_verifies_with_its_key_alone(key):
    envelope = read_envelope(seal(STATEMENT, key).to_bytes(), "x")
    assert envelope.statement() == STATEMENT
    assert envelope.signed_by(key.public)
    assert not envelope.signed_by(generate_key()[0].public)


def test_an_altered_payload_does_not_verify(key):
    value = json.loads(seal(STATEMENT, key).to_bytes())
    value["payload"] = base64.b64encode(base64.b64decode(value["payload"]).replace(b'"b":1', b'"b":2')).decode()
    altered = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert not read_envelope(altered, "x").signed_by(key.public)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"payload":1,"payloadType":"x","signatures":[]}',
                                     b'{"payload":"!","payloadType":"x","signatures":[]}', b"[" * 100_000])  # fmt: skip
def test_what_is_no_envelope_is_refused_in_one_sentence(content):
    with pytest.raises(InputError, match="file: is not"):
        read_envelope(content, "file")


def test_another_spelling_of_the_same_envelope_is_not_read(key):
    content = seal(STATEMENT, key).to_bytes()
    with pytest.raises(InputError, match="not in the form"):
        read_envelope(content.replace(b'","', b'", "', 1), "file")


def test_openssl_reads_our_keys_and_verifies_what_we_sign(key, tmp_path):
    (tmp_path / "public.pem").write_text(key.public.to_pem())
    (tmp_path / "message").write_bytes(b"message")
    (tmp_path / "signature").write_bytes(key.sign(b"message"))
    options = ["-rawin"] if key.public.algorithm == "ed25519" else ["-rawin", "-digest", "sha256"]
    answer = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", *options,
         "-in", "message", "-sigfile", "signature"], cwd=tmp_path, capture_output=True, check=False)  # fmt: skip
    assert answer.returncode == 0, answer.stderr


def test_a_private_key_is_written_for_its_owner_alone_and_never_over_another(tmp_path):
    key, pem = generate_key()
    write_private_key(tmp_path / "keys" / "run.pem", pem)
    assert (tmp_path / "keys" / "run.pem").stat().st_mode & 0o777 == 0o600
    assert read_private_key(tmp_path / "keys" / "run.pem").public == key.public
    with pytest.raises(InputError, match="exists already"):
        write_private_key(tmp_path / "keys" / "run.pem", pem)


def test_a_key_that_everybody_may_read_is_refused_and_a_group_may(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(generate_key()[1])
    path.chmod(0o644)
    with pytest.raises(InputError, match="read by everybody"):
        read_private_key(path)
    path.chmod(0o640)
    assert read_private_key(path).public.algorithm == "ed25519"


def test_no_message_representation_or_traceback_shows_a_private_key(tmp_path):
    key, pem = generate_key()
    secret = pem.decode().splitlines()[1]
    assert secret not in repr(key) + repr(vars(key)) + repr(key.public)
    path = tmp_path / "key.pem"
    path.write_bytes(pem.replace(b"PRIVATE KEY", b"PRIVATE KEG"))
    path.chmod(0o600)
    with pytest.raises(InputError) as caught:
        read_private_key(path)
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", ["rsa", "p384"])
def test_keys_of_other_kinds_are_refused(kind, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    private = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(InputError, match="Ed25519 or ECDSA P-256"):
        parse_public_key(public.decode(), "key")


def test_a_checkpoint_is_a_note_that_its_key_alone_verifies(key):
    checkpoint = Checkpoint(origin="tallystick.dev/log/1", size=42, root=bytes(range(32)))
    note = sign_checkpoint(checkpoint, key)
    other = generate_key()[0].public
    lines = note.decode().splitlines()
    assert lines[:4] == ["tallystick.dev/log/1", "42", base64.b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith("\u2014 tallystick.dev/log/1 ")
    assert read_checkpoint(note, "x") == checkpoint
    assert signer_of(note, [other, key.public]) == key.public
    assert signer_of(note, [other]) is None
    assert signer_of(note.replace(b"\n42\n", b"\n43\n"), [key.public]) is None


def test_the_key_hash_of_a_note_is_the_one_of_the_specification():
    key = generate_key()[0]
    note = sign_checkpoint(Checkpoint(origin="example.com/log", size=0, root=bytes(32)), key).decode()
    blob = base64.b64decode(note.splitlines()[-1].split(" ")[2])
    assert blob[:4] == hashlib.sha256(b"example.com/log\n\x01" + key.public.raw).digest()[:4]
    assert len(blob) == 4 + 64


@pytest.mark.parametrize("note", [b"", b"a\n1\nAAAA\n\n", b"a\n01\n" + base64.b64encode(bytes(32)) + b"\n\nx\n",
                                  b"a\n-1\nAAAA\n\nx\n", b"\xff\xfe"])  # fmt: skip
def test_what_is_no_checkpoint_is_refused(note):
    with pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(note, "file")

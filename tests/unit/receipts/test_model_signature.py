"""A model's folder signed as OpenSSF describes, and checked by its own command line too."""

import subprocess
import sys

import pytest

from tallystick.components.core.errors import EvidenceRefusedError, InputError
from tallystick.components.core.receipts.keys import generate_key, write_private_key
from tallystick.components.core.receipts.model_signature import sign_model, verify_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def signed(tmp_path):
    if subprocess.run([sys.executable, "-c", "import model_signing"], capture_output=True, check=False).returncode:
        pytest.skip("model-signing is not installed")
    key, pem = generate_key("ecdsa-p256")
    write_private_key(tmp_path / "key.pem", pem)
    (tmp_path / "model").mkdir()
    for name in ("manifest.json", "model.onnx"):
        (tmp_path / "model" / name).write_bytes(name.encode() * 1000)
    sign_model(tmp_path / "model", tmp_path / "key.pem", tmp_path / "model.sig")
    return tmp_path, key.public


def test_the_folder_as_it_was_signed_holds_and_openssfs_own_command_agrees(signed):
    folder, public = signed
    verify_model(folder / "model", public, folder / "model.sig")
    (folder / "key.pub").write_text(public.to_pem())
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder / "model"), "--signature",
               str(folder / "model.sig"), "--public_key", str(folder / "key.pub")]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("change", ["altered", "removed", "added"])
def test_a_file_altered_removed_or_added_is_refused(signed, change):
    folder, public = signed
    model = folder / "model"
    if change == "altered":
        (model / "model.onnx").write_bytes(b"other")
    elif change == "removed":
        (model / "model.onnx").unlink()
    else:
        (model / "extra.bin").write_bytes(b"extra")
    with pytest.raises(EvidenceRefusedError, match="does not hold"):
        verify_model(model, public, folder / "model.sig")


def test_another_ones_key_is_refused(signed):
    folder, _ = signed
    with pytest.raises(EvidenceRefusedError, match="does not hold"):
        verify_model(folder / "model", generate_key("ecdsa-p256")[0].public, folder / "model.sig")


def test_what_cannot_be_signed_so_is_said(signed, tmp_path):
    folder, public = signed
    write_private_key(tmp_path / "ed.pem", generate_key()[1])
    with pytest.raises(InputError, match="Ed25519"):
        sign_model(folder / "model", tmp_path / "ed.pem", folder / "x.sig")
    with pytest.raises(InputError, match="lies in the model's folder"):
        sign_model(folder / "model", folder / "key.pem", folder / "model" / "model.sig")
    with pytest.raises(InputError, match="no such file"):
        verify_model(folder / "model", public, folder / "none.sig")

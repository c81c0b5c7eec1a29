"""What a step leaves behind: signed and logged with a key, plainly unsigned without one."""

import json

import pytest

from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.core.evidence import NOT_SIGNED, EvidenceStore
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.journal import step
from tallystick.components.core.receipts.dsse import read_envelope
from tallystick.components.core.receipts.identity import (
    AUTHORS_VARIABLE,
    KEY_VARIABLE,
    SIGNER_VARIABLE,
    Identity,
    acting_as,
    current_identity,
    identity_of,
)
from tallystick.components.core.receipts.keys import generate_key, write_private_key
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.storage import FolderStore
from tallystick.components.core.verdicts import Check, Outcome, Verdict

SUBJECT = "ab" * 32
VERDICT = Verdict(
    gate="evaluation",
    subject_name="m",
    subject_sha256=SUBJECT,
    checks=(Check(name="auc", outcome=Outcome.PASS, detail="fine", figure=0.9),),
)


@pytest.fixture
def identity(tmp_path):
    pem = generate_key()[1]
    write_private_key(tmp_path / "key.pem", pem)
    return Identity(name="ci", key=str(tmp_path / "key.pem"), authors=("ada",))


def test_with_a_key_a_statement_is_signed_and_stands_in_a_log_with_a_signed_checkpoint(tmp_path, identity):
    store = FolderStore(tmp_path / "evidence")
    EvidenceStore(store, "run", identity).record_verdict("evaluation", VERDICT, {"x": 1})
    content = store.get("run/evaluation.json")
    envelope = read_envelope(content, "evaluation")
    assert envelope.signed_by(identity.signer().public)
    key_id = identity.signer().public.key_id
    expected = {"name": "ci", "key": key_id, "authors": ["ada"], "image": "", "commit": ""}
    assert envelope.statement()["predicate"]["by"] == expected
    log = Log(store)
    assert log.latest()[0].size == 1
    (_, entry), = log.entries(0, 1)  # fmt: skip
    assert json.loads(entry) == {"envelope": sha256_of_bytes(content), "kind": "verdict", "run": "run",
                                 "step": "evaluation", "subject": SUBJECT}  # fmt: skip


def test_readers_get_the_same_statement_signed_or_not(tmp_path, identity):
    signed = EvidenceStore(FolderStore(tmp_path / "a"), "run", identity)
    bare = EvidenceStore(FolderStore(tmp_path / "b"), "run")
    for store in (signed, bare):
        store.record_verdict("evaluation", VERDICT, {"x": 1})
        assert store.statement("nothing") is None
        assert list(store.statements()) == ["evaluation"]
    one, two = signed.statement("evaluation"), bare.statement("evaluation")
    assert two["predicate"].pop("signature") == NOT_SIGNED
    assert one["predicate"].pop("by")
    for statement in (one, two):
        statement["predicate"].pop("at")
    assert one == two


def test_without_a_key_the_record_says_that_it_is_not_signed_and_there_is_no_log(tmp_path):
    evidence = EvidenceStore(FolderStore(tmp_path), "run")
    evidence.record_verdict("evaluation", VERDICT, {})
    assert evidence.not_signed() == ["evaluation"]
    assert not (tmp_path / "log").exists()


def test_a_step_that_is_tried_again_replaces_what_it_said_and_nothing_is_forgotten(tmp_path, identity):
    store = FolderStore(tmp_path)
    evidence = EvidenceStore(store, "run", identity)
    for figure in (1, 2):
        evidence.record("training", "training", subject_name="m", subject_sha256=SUBJECT, predicate={"f": figure})
    assert evidence.statement("training")["predicate"]["f"] == 2
    (before,) = evidence.superseded()
    assert read_envelope(before, "x").statement()["predicate"]["f"] == 1
    logged = [json.loads(entry)["envelope"] for _, entry in Log(store).entries(0, 2)]
    assert logged == [sha256_of_bytes(before), sha256_of_bytes(store.get("run/training.json"))]


def test_a_step_signs_with_the_key_that_its_environment_names(tmp_path, identity, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, identity.key)
    monkeypatch.setenv(SIGNER_VARIABLE, "pipeline")
    monkeypatch.setenv(AUTHORS_VARIABLE, "ada, bob,,ada")
    with step("evaluation"):
        EvidenceStore(FolderStore(tmp_path / "e"), "run").record_verdict("evaluation", VERDICT, {})
        assert current_identity().authors == ("ada", "bob")
    assert current_identity() is None
    assert EvidenceStore(FolderStore(tmp_path / "e"), "run").statement("evaluation")["predicate"]["by"]["name"] == (
        "pipeline"
    )


def test_a_step_whose_key_is_not_there_ends_before_its_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "none.pem"))
    done = []
    with pytest.raises(SystemExit) as ended, step("evaluation"):
        done.append(1)
    assert ended.value.code == ExitCode.BAD_INPUT
    assert not done
    assert "there is no such file" in capsys.readouterr().err


def test_the_private_key_is_in_nothing_that_a_step_writes(tmp_path, identity):
    secret = (tmp_path / "key.pem").read_text().splitlines()[1]
    with acting_as(identity):
        EvidenceStore(FolderStore(tmp_path / "e"), "run").record_verdict("evaluation", VERDICT, {})
    assert secret not in repr(identity)
    for file in (tmp_path / "e").rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes()


def test_an_identity_without_a_key_is_nobody_and_its_name_falls_back_to_the_files(tmp_path, identity):
    assert identity_of({SIGNER_VARIABLE: "x"}) is None
    assert identity_of({KEY_VARIABLE: identity.key}).name == "key"
    assert identity_of({KEY_VARIABLE: "pkcs11:token=a;object=b?module-path=/c.so&pin-source=file:/d"}).name == "token"
    with pytest.raises(InputError, match="no such file"):
        identity_of({KEY_VARIABLE: "/none"})

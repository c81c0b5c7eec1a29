"""The commands as a person types them, from a key to a verified bundle, with the exit codes that scripts rely on."""

import argparse
import json
import shutil
import socket

import pytest

from tallystick.components.core.errors import EvidenceRefusedError, InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.receipts import commands
from tallystick.components.core.receipts.identity import KEY_VARIABLE, TRUST_VARIABLE, Identity
from tallystick.components.core.receipts.local_keys import SIGNER, local_keys
from tallystick.components.core.receipts.trust import parse_trust
from tallystick.components.core.storage import FolderStore
from tests.support.receipts import INPUTS, PREDICATES, RUN, STEPS, Desk


@pytest.fixture(autouse=True)
def _no_key_configured(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def desk(tmp_path):
    """Everybody signs with the one key that this machine has for its runs."""
    (tmp_path / "people").mkdir()
    desk = Desk(tmp_path / "people")
    keys = local_keys(tmp_path / "runs")
    desk.people = dict.fromkeys(desk.people, Identity(name=SIGNER, key=str(keys.key), authors=("carol@bank.example",)))
    return desk


@pytest.fixture
def runs(tmp_path, desk):
    """A local run as the command line leaves it."""
    runs = tmp_path / "runs"
    (runs / RUN / "input").mkdir(parents=True)
    for name, content in INPUTS.items():
        (runs / RUN / "input" / name).write_bytes(content)
    (runs / RUN / "report.html").write_text("<p>report</p>")
    (runs / RUN / "summary.json").write_text("{}")
    desk.steps(FolderStore(runs / RUN / "evidence"))
    (runs / "latest").symlink_to(RUN)
    return runs


def run(name, *arguments):
    parser = argparse.ArgumentParser()
    getattr(commands, f"add_{name}_arguments")(parser)
    return int(getattr(commands, f"run_{name}")(parser.parse_args([str(a) for a in arguments])))


def bundle(runs, tmp_path):
    assert run("bundle", "--runs-dir", runs, "--output", tmp_path / "b.zip") == 0
    return tmp_path / "b.zip"


def test_a_local_run_needs_no_configuration_to_be_bundled_and_verified(runs, tmp_path, capsys):
    assert run("verify", bundle(runs, tmp_path), "--trust", runs / "keys" / "trust.yaml") == 0
    shown = capsys.readouterr().out
    assert "The evidence holds." in shown
    assert "no approval was asked for" in shown


def test_a_bundle_is_verified_without_network_and_away_from_the_run(runs, tmp_path, monkeypatch):
    file = bundle(runs, tmp_path)
    trust = (runs / "keys" / "trust.yaml").rename(tmp_path / "trust.yaml")
    shutil.rmtree(runs)

    def refuse(*_arguments, **_options):
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert run("verify", file, "--trust", trust) == 0


def test_the_json_says_what_the_words_say(runs, tmp_path, capsys):
    file = bundle(runs, tmp_path)
    capsys.readouterr()
    assert run("verify", file, "--trust", runs / "keys" / "trust.yaml", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value["holds"] is True
    assert value["problems"] == []
    assert value["exit_code"] == 0


def test_an_altered_bundle_ends_with_3_or_2_and_the_words_name_what(runs, tmp_path, capsys):
    from tallystick.components.core.receipts.bundle import pack, unpack

    file = bundle(runs, tmp_path)
    parts = unpack(file.read_bytes(), "b")
    file.write_bytes(pack({**parts, "documents/report.html": b"other"}))
    assert run("verify", file, "--trust", runs / "keys" / "trust.yaml") == 3
    assert "NOT PROVED  documents/report.html was altered" in capsys.readouterr().out
    file.write_bytes(b"not a bundle")
    with pytest.raises(InputError) as caught:
        run("verify", file, "--trust", runs / "keys" / "trust.yaml")
    assert caught.value.exit_code == 2


def test_an_approver_makes_a_key_is_trusted_approves_and_the_bundle_says_so(runs, tmp_path, capsys):
    trust = runs / "keys" / "trust.yaml"
    trust.write_text(trust.read_text().replace("approvals: 0", "approvals: 1"))
    assert run("verify", bundle(runs, tmp_path), "--trust", trust) == 3
    assert "1 approval(s) are asked for, 0 hold(s)" in capsys.readouterr().out
    assert run("keys", "make", tmp_path / "ada.pem", "--algorithm", "ecdsa-p256") == 0
    assert (tmp_path / "ada.pem").stat().st_mode & 0o777 == 0o600
    public = tmp_path / "ada.pem.pub"
    assert run("keys", "trust", public, "--in", trust, "--person", "ada@bank.example", "--role", "approver",
               "--role", "log") == 0  # fmt: skip
    assert run("approve", RUN, "--runs-dir", runs, "--key", tmp_path / "ada.pem", "--comment", "seen") == 0
    assert run("verify", bundle(runs, tmp_path), "--trust", trust) == 0
    assert "approved by ada@bank.example" in capsys.readouterr().out


def test_who_is_named_as_an_author_may_not_approve_even_when_trusted_to(runs, tmp_path, capsys):
    trust = runs / "keys" / "trust.yaml"
    run("keys", "make", tmp_path / "carol.pem")
    run("keys", "trust", tmp_path / "carol.pem.pub", "--in", trust, "--person", "carol@bank.example",
        "--role", "approver", "--role", "log")  # fmt: skip
    run("approve", "--runs-dir", runs, "--key", tmp_path / "carol.pem")
    assert run("verify", bundle(runs, tmp_path), "--trust", trust) == 3
    assert "an author may not approve" in capsys.readouterr().out


def test_a_refused_gate_is_overridden_by_a_key_with_that_role_and_a_reason(runs, desk, tmp_path, capsys):
    from tallystick.components.core.verdicts import Outcome

    trust = runs / "keys" / "trust.yaml"
    store = FolderStore(runs / RUN / "evidence")
    desk.step(store, "evaluation", outcome=Outcome.INSUFFICIENT)
    for step in ("model_card", "registration"):
        desk.step(store, step)
    assert run("verify", bundle(runs, tmp_path), "--trust", trust) == 3
    run("keys", "make", tmp_path / "olga.pem")
    run("keys", "trust", tmp_path / "olga.pem.pub", "--in", trust, "--person", "olga", "--role", "override",
        "--role", "log")  # fmt: skip
    given = ("override", "--runs-dir", runs, "--step", "evaluation", "--key", tmp_path / "olga.pem", "--reason")
    with pytest.raises(InputError, match="20 characters or more"):
        run(*given, "because")
    assert run(*given, "Too few denials yet; reviewed monthly.") == 0
    capsys.readouterr()
    assert run("verify", bundle(runs, tmp_path), "--trust", trust) == 0
    assert "OVERRIDDEN  evaluation was overridden by olga: Too few denials yet" in capsys.readouterr().out


def test_nobody_approves_what_is_not_complete_or_not_signed(tmp_path):
    desk = Desk(tmp_path)
    runs = tmp_path / "runs"
    store = FolderStore(runs / RUN / "evidence")
    desk.steps(store, skip=("explainability",))
    key = ("--key", desk.people["ada"].key)
    with pytest.raises(EvidenceRefusedError, match="explainability: there is no such statement"):
        run("approve", RUN, "--runs-dir", runs, *key)
    EvidenceStore(store, RUN).record("training", "training", subject_name="m", subject_sha256="ab" * 32,
                                     predicate=PREDICATES["training"][2])  # fmt: skip
    with pytest.raises(EvidenceRefusedError, match="training: not signed"):
        run("approve", RUN, "--runs-dir", runs, *key)
    with pytest.raises(InputError, match="training: not signed"):
        run("bundle", RUN, "--runs-dir", runs, *key)


def test_approving_without_a_key_or_a_run_says_what_to_do(runs, tmp_path):
    with pytest.raises(InputError, match="tallystick keys make"):
        run("approve", RUN, "--runs-dir", runs)
    with pytest.raises(InputError, match="holds no evidence"):
        run("bundle", "nothing", "--runs-dir", runs)


def test_a_key_is_made_for_machines_too(tmp_path, capsys):
    assert run("keys", "make", tmp_path / "k.pem", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value["private"] == str(tmp_path / "k.pem")
    assert len(value["key"]) == 64


def test_a_key_is_never_overwritten_and_never_shown(tmp_path, capsys):
    run("keys", "make", tmp_path / "k.pem")
    secret = (tmp_path / "k.pem").read_text().splitlines()[1]
    with pytest.raises(InputError, match="exists already"):
        run("keys", "make", tmp_path / "k.pem")
    assert secret not in capsys.readouterr().out


def test_local_keys_are_made_once_and_a_configured_key_wins(tmp_path):
    first = local_keys(tmp_path)
    content = first.key.read_bytes(), first.trust.read_text()
    assert local_keys(tmp_path) == first
    assert (first.key.read_bytes(), first.trust.read_text()) == content
    assert first.environment({})[KEY_VARIABLE] == str(first.key.resolve())
    assert first.environment({})[TRUST_VARIABLE] == str(first.trust.resolve())
    assert first.environment({TRUST_VARIABLE: "/mine.yaml"})[TRUST_VARIABLE] == "/mine.yaml"
    assert first.environment({KEY_VARIABLE: "/mine.pem"}) == {}
    roles = {role for key in parse_trust(content[1]).keys for role in key.roles}
    assert "approver" not in roles
    assert "override" not in roles


def test_a_trust_file_that_would_no_longer_be_one_is_left_as_it_is(runs, tmp_path):
    trust = runs / "keys" / "trust.yaml"
    before = trust.read_text()
    run("keys", "make", tmp_path / "k.pem")
    given = ("keys", "trust", tmp_path / "k.pem.pub", "--in", trust, "--person", "p", "--role", "gate")
    assert run(*given) == 0
    after = trust.read_text()
    assert after != before
    with pytest.raises(InputError, match=r"twice|same name"):
        run(*given)
    assert trust.read_text() == after


def test_a_bundle_proves_that_the_log_continues_an_earlier_checkpoint(runs, desk, tmp_path):
    known = (runs / RUN / "evidence" / "log" / "checkpoint").read_text()
    (tmp_path / "checkpoint").write_text(known)
    desk.step(FolderStore(runs / RUN / "evidence"), "rollout")
    trust = runs / "keys" / "trust.yaml"
    block = "log:\n  known: |\n" + "".join(f"    {line}\n" for line in known.splitlines())
    trust.write_text(trust.read_text().replace("keys:\n", block + "keys:\n"))
    assert run("verify", bundle(runs, tmp_path), "--trust", trust) == 3
    assert run("bundle", "--runs-dir", runs, "--output", tmp_path / "c.zip", "--since", tmp_path / "checkpoint") == 0
    assert run("verify", tmp_path / "c.zip", "--trust", trust) == 0
    assert len(STEPS) == int(known.splitlines()[1])

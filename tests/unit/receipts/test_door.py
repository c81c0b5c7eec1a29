"""The gate at the door lets pass what holds and nothing else, whatever goes wrong while it looks."""

import pytest

from tallystick.components.core.errors import EvidenceRefusedError, InputError, StorageError
from tallystick.components.core.receipts.bundle import pack
from tallystick.components.core.receipts.door import require_model_evidence
from tallystick.components.core.storage import FolderStore
from tests.support.receipts import MODEL, OTHER, RUN, Desk


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def site(tmp_path, desk):
    """A folder store of a run that nobody has approved yet, and the trust file."""
    desk.steps(FolderStore(tmp_path / "evidence"))
    (tmp_path / "trust.yaml").write_text(desk.trust_text())
    return tmp_path


def test_before_registration_evidence_without_an_approval_is_enough_and_before_serving_it_is_not(site, desk):
    where, trust = f"{site / 'evidence'}#{RUN}", site / "trust.yaml"
    assert require_model_evidence(where, f"sha256:{MODEL}", trust, stage="registration").holds
    with pytest.raises(EvidenceRefusedError, match=r"1 approval\(s\) are asked for, 0 hold\(s\)"):
        require_model_evidence(where, f"sha256:{MODEL}", trust)
    desk.approve(FolderStore(site / "evidence"))
    assert require_model_evidence(where, f"sha256:{MODEL}", trust).holds


def test_a_bundle_opens_the_door_as_the_store_does(site, desk):
    store = FolderStore(site / "evidence")
    desk.approve(store)
    (site / "b.zip").write_bytes(pack(desk.parts(store)))
    assert require_model_evidence(str(site / "b.zip"), MODEL, site / "trust.yaml").holds


def test_an_approval_by_an_author_does_not_open_it(site, desk):
    desk.approve(FolderStore(site / "evidence"), "insider")
    with pytest.raises(EvidenceRefusedError, match="an author may not approve"):
        require_model_evidence(f"{site / 'evidence'}#{RUN}", MODEL, site / "trust.yaml")


def test_a_model_with_another_digest_stays_outside_and_so_does_a_run_that_is_not_there(site):
    trust = site / "trust.yaml"
    with pytest.raises(EvidenceRefusedError, match="another model"):
        require_model_evidence(f"{site / 'evidence'}#{RUN}", OTHER, trust, stage="registration")
    with pytest.raises(EvidenceRefusedError, match="left no evidence"):
        require_model_evidence(f"{site / 'evidence'}#other", MODEL, trust, stage="registration")


@pytest.mark.parametrize("where", ["", "model", "#run", "store#", "none.zip"])
def test_an_address_that_names_no_evidence_is_said(site, where):
    with pytest.raises(InputError, match=r"names no evidence|no such file"):
        require_model_evidence(where, MODEL, site / "trust.yaml")


def test_a_trust_file_that_cannot_be_read_opens_nothing(site):
    with pytest.raises(InputError, match="cannot be read"):
        require_model_evidence(f"{site / 'evidence'}#{RUN}", MODEL, site / "none.yaml")


def test_a_store_that_does_not_answer_opens_nothing(site, monkeypatch):
    def silent(self, name):
        raise StorageError("no answer")

    monkeypatch.setattr(FolderStore, "get", silent)
    with pytest.raises(StorageError, match="no answer"):
        require_model_evidence(f"{site / 'evidence'}#{RUN}", MODEL, site / "trust.yaml")


def test_what_cannot_be_there_yet_is_asked_for_only_at_the_next_door(site, desk):
    store, where, trust = FolderStore(site / "evidence"), f"{site / 'evidence'}#{RUN}", site / "trust.yaml"
    asked = "  statements: [fairness_gate, registration, rollout]\n  approvals: 1"
    trust.write_text(trust.read_text().replace("  approvals: 1", asked))
    assert require_model_evidence(where, MODEL, trust, stage="registration").holds
    desk.approve(store)
    assert require_model_evidence(where, MODEL, trust, stage="rollout").holds
    with pytest.raises(EvidenceRefusedError, match="rollout: there is no such statement"):
        require_model_evidence(where, MODEL, trust)
    desk.step(store, "rollout")
    assert require_model_evidence(where, MODEL, trust).holds

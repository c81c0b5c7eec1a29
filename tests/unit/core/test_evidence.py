"""What a step said is kept by run and step, and reads back as it was said."""

from pathlib import Path

import pytest

from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.storage import FolderStore
from tallystick.components.core.verdicts import Check, Outcome, Verdict

DIGEST = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(FolderStore(tmp_path), "run-1")


def test_statement_is_in_toto_and_names_its_subject(store: EvidenceStore) -> None:
    store.record("training", "training", subject_name="forest", subject_sha256=DIGEST, predicate={"rows": 3})
    said = store.statement("training")
    assert said is not None
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [{"name": "forest", "digest": {"sha256": DIGEST}}]
    assert said["predicateType"] == "https://tallystick.dev/predicates/training/v1"
    assert said["predicate"]["rows"] == 3
    assert said["predicate"]["run"] == "run-1"


def test_verdict_is_kept_with_its_checks_and_details(store: EvidenceStore) -> None:
    checks = (Check(name="auc", outcome=Outcome.PASS, detail="d", figure=0.9),)
    verdict = Verdict(gate="evaluation", subject_name="m", subject_sha256=DIGEST, checks=checks)
    store.record_verdict("evaluation", verdict, {"sample": "holdout"})
    said = store.statement("evaluation")
    assert said is not None
    assert Verdict.from_json(said["predicate"]) == verdict
    assert said["predicate"]["details"] == {"sample": "holdout"}


def test_step_that_is_tried_again_replaces_what_it_said(store: EvidenceStore) -> None:
    for rows in (1, 2):
        store.record("s", "k", subject_name="m", subject_sha256=DIGEST, predicate={"rows": rows})
    said = store.statements()
    assert list(said) == ["s"]
    assert said["s"]["predicate"]["rows"] == 2


def test_runs_do_not_see_each_other(tmp_path: Path) -> None:
    first, second = (EvidenceStore(FolderStore(tmp_path), name) for name in ("run-1", "run-2"))
    first.record("s", "k", subject_name="m", subject_sha256=DIGEST, predicate={})
    assert second.statement("s") is None
    assert second.statements() == {}
    assert first.statement("other") is None


def test_figure_that_is_no_number_is_refused_and_nothing_is_kept(store: EvidenceStore) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.record("s", "k", subject_name="m", subject_sha256=DIGEST, predicate={"auc": float("nan")})
    assert store.statements() == {}

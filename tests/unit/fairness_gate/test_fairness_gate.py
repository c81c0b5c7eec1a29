import json
import math
from pathlib import Path

import numpy as np
import pytest

from tallystick.components.core.candidates import read_candidate
from tallystick.components.core.contract import parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_file
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.storage import open_store
from tallystick.components.core.verdicts import Outcome, Verdict
from tallystick.components.fairness_gate.component import fairness_gate
from tallystick.components.fairness_gate.logic import judge, run_gate
from tests.support.candidates import LENDING_POLICY_YAML, write_candidate
from tests.support.documents import LENDING_CONTRACT_YAML


def gate(folder: Path, candidate: Path, policy: str = LENDING_POLICY_YAML):
    return run_gate(
        candidate,
        contract_yaml=LENDING_CONTRACT_YAML,
        policy_yaml=policy,
        evidence=str(folder / "evidence"),
        run_id="run-1",
        statement="fairness_gate_plain",
        report=folder / "report.html",
    )


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    """Sex is drawn without a look at anything: the model cannot be unfair but by chance."""
    folder = tmp_path_factory.mktemp("even")
    write_candidate(folder / "candidate")
    return folder, gate(folder, folder / "candidate")


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Whoever the model declines is recorded as a woman, as are as many of the others."""
    folder = tmp_path_factory.mktemp("uneven")
    write_candidate(folder / "first")
    predictions = read_candidate(folder / "first").predictions
    threshold = read_candidate(folder / "first").model.interface.threshold
    women = (predictions.score >= threshold) | (np.random.default_rng(2).random(len(predictions.row)) < 0.2)
    write_candidate(folder / "candidate", sex=np.where(women, "f", "m"))
    return folder, gate(folder, folder / "candidate")


def test_an_even_model_passes_and_an_uneven_one_is_refused(even, uneven):
    assert even[1].verdict.outcome is Outcome.PASS
    assert uneven[1].verdict.outcome is Outcome.FAIL


def test_the_ratio_is_the_quotient_of_the_groups_approval_rates(uneven):
    folder, judged = uneven
    predictions = read_candidate(folder / "candidate").predictions
    threshold = read_candidate(folder / "candidate").model.interface.threshold
    rows = predictions.sample == "out_of_fold"
    approved, sex = predictions.score[rows] < threshold, predictions.groups["sex"][rows]
    reference = parse_contract(LENDING_CONTRACT_YAML).sensitive["sex"].reference
    other = next(name for name in ("men", "women") if name != reference)
    check = next(c for c in judged.verdict.checks if c.name == "adverse_impact_ratio" and c.sample == "out_of_fold")
    assert check.figure == pytest.approx(approved[sex == other].mean() / approved[sex == reference].mean())


def test_the_statement_is_the_verdict_about_the_model(uneven):
    folder, judged = uneven
    statement = EvidenceStore(open_store(str(folder / "evidence")), "run-1").statement("fairness_gate_plain")
    digest = sha256_of_file(folder / "candidate" / "model" / "manifest.json")
    assert statement["subject"] == [{"name": "lending", "digest": {"sha256": digest}}]
    predicate = statement["predicate"]
    keys = ("gate", "subject_name", "subject_sha256", "checks", "context")
    assert Verdict.from_json({key: predicate[key] for key in keys}).outcome is judged.verdict.outcome
    details = predicate["details"]
    assert {"model", "auc", "threshold", "line", "attributes", "proxy"} <= set(details)
    groups = details["attributes"]["sex"]["groups"]
    assert {(g["sample"], g["group"]) for g in groups} == {
        (sample, group) for sample in ("out_of_fold", "holdout", "both") for group in ("men", "women")
    }
    assert sum(g["rows"] for g in groups if g["sample"] == "both") == 600


def test_the_page_stands_alone_and_says_why(uneven):
    text = (uneven[0] / "report.html").read_text()
    assert "misses the line of at least 0.8" in text
    assert "<svg" in text
    assert "<script" not in text
    assert 'src="http' not in text


def test_metrics_are_finite(even):
    metrics = even[1].metrics()
    assert any(name.startswith("adverse_impact_ratio") for name in metrics)
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_group_of_three_people_is_insufficient_evidence(tmp_path):
    sex = np.full(600, "m")
    sex[[0, 1, 2]] = "f"
    write_candidate(tmp_path / "candidate", sex=sex)
    verdict = gate(tmp_path, tmp_path / "candidate").verdict
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert not verdict.passed


def test_an_altered_model_is_not_judged(tmp_path):
    write_candidate(tmp_path / "candidate")
    profile = tmp_path / "candidate" / "model" / "profile.json"
    profile.write_text(profile.read_text() + " ")
    with pytest.raises(InputError, match="was altered"):
        gate(tmp_path, tmp_path / "candidate")
    assert not (tmp_path / "evidence").exists()


def test_predictions_that_are_cut_off_are_not_judged(tmp_path):
    write_candidate(tmp_path / "candidate")
    file = tmp_path / "candidate" / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read as predictions"):
        gate(tmp_path, tmp_path / "candidate")


def test_training_json_of_another_model_is_not_believed(tmp_path):
    write_candidate(tmp_path / "candidate")
    file = tmp_path / "candidate" / "training.json"
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, "model_sha256": "0" * 64}))
    with pytest.raises(InputError, match="another model"):
        gate(tmp_path, tmp_path / "candidate")


def test_a_required_attribute_that_the_contract_lacks_is_the_policys_mistake(even):
    candidate = read_candidate(even[0] / "candidate")
    policy = parse_policy(LENDING_POLICY_YAML.replace("required: [sex]", "required: [religion]"))
    with pytest.raises(InputError, match=r"fairness\.required.*religion"):
        judge(candidate, parse_contract(LENDING_CONTRACT_YAML), policy)


def test_the_component_returns_a_plain_bool_and_installs_nothing():
    executor = fairness_gate.pipeline_spec.deployment_spec["executors"]["exec-fairness-gate"]["container"]
    assert "pip install" not in json.dumps(str(executor["command"]))
    output = fairness_gate.component_spec.outputs["Output"]
    assert output.type == "Boolean"

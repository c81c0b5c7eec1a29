import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tallystick.components.core.candidates import read_candidate
from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.storage import open_store
from tallystick.components.core.verdicts import Outcome
from tallystick.components.evaluation.component import evaluation
from tallystick.components.evaluation.logic import run_evaluation
from tests.support.candidates import LENDING_POLICY_YAML, write_candidate


def evaluate(folder: Path, policy: str = LENDING_POLICY_YAML, *, benchmark: str = "benchmark"):
    return run_evaluation(
        folder / "candidate",
        folder / benchmark,
        policy_yaml=policy,
        evidence=str(folder / "evidence"),
        run_id="run-1",
        report=folder / "report.html",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    write_candidate(folder / "candidate")
    write_candidate(folder / "benchmark", "logistic_regression", name="scorecard")
    return folder


@pytest.fixture(scope="module")
def evaluated(folder):
    return evaluate(folder)


def test_only_the_holdout_sample_counts(folder, evaluated):
    predictions = read_candidate(folder / "candidate").predictions
    held = predictions.sample == "holdout"
    assert evaluated.details.figures["auc"].count == held.sum() == 150
    assert evaluated.details.figures["auc"].figure == pytest.approx(
        roc_auc_score(predictions.adverse[held], predictions.score[held])
    )
    assert sum(map(sum, evaluated.details.confusion)) == 150


def test_the_statement_has_all_that_the_report_draws(folder, evaluated):
    details = EvidenceStore(open_store(str(folder / "evidence")), "run-1").statement("evaluation")["predicate"][
        "details"
    ]
    assert {"sample", "figures", "roc", "calibration", "confusion", "threshold", "benchmark", "hosmer_lemeshow"} <= set(
        details
    )
    assert set(details["figures"]) == {"auc", "gini", "ks", "brier", "accuracy", "precision", "recall"}
    assert details["roc"][0] == [0.0, 0.0]
    assert details["roc"][-1] == [1.0, 1.0]
    assert details["benchmark"]["name"] == "scorecard"
    assert sum(entry["rows"] for entry in details["calibration"]) == 150


def test_the_benchmark_is_compared_on_the_same_applicants(folder, evaluated):
    own, other = (read_candidate(folder / name).predictions for name in ("candidate", "benchmark"))
    held = own.sample == "holdout"
    expected = roc_auc_score(own.adverse[held], own.score[held]) - roc_auc_score(other.adverse[held], other.score[held])
    low, high = evaluated.details.difference_interval
    assert evaluated.details.difference == pytest.approx(expected)
    assert low < expected < high


def test_metrics_are_finite_and_rates_are_shares(evaluated):
    metrics = evaluated.metrics()
    assert {"auc", "gini", "ks", "brier", "auc_above_benchmark"} <= set(metrics)
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_curve_can_be_logged(evaluated):
    points = np.array(evaluated.details.roc)
    assert np.isfinite(points).all()
    assert (np.diff(points[:, 0]) >= 0).all()
    assert (np.diff(points[:, 1]) >= 0).all()


def test_too_few_adverse_applicants_are_insufficient_evidence(folder):
    policy = LENDING_POLICY_YAML.replace("minimum_adverse: 5\n", "minimum_adverse: 100000\n")
    assert policy != LENDING_POLICY_YAML
    verdict = evaluate(folder, policy).verdict
    assert verdict.outcome is Outcome.INSUFFICIENT


def test_a_benchmark_that_scored_other_applicants_is_refused(folder):
    write_candidate(folder / "shorter", "logistic_regression", rows=400)
    with pytest.raises(InputError, match="different rows"):
        evaluate(folder, benchmark="shorter")


def test_the_page_stands_alone(folder, evaluated):
    text = (folder / "report.html").read_text()
    assert text.count("<svg") >= 2
    assert "<script" not in text
    assert "Decisions against outcomes" in text


def test_the_step_does_without_scikit_learn():
    code = (
        "import sys, tallystick.components.evaluation.logic, tallystick.components.core.plots;"
        "sys.exit('sklearn' in sys.modules or 'fairlearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_component_returns_a_plain_bool():
    assert evaluation.component_spec.outputs["Output"].type == "Boolean"
    assert "pip install" not in json.dumps(str(evaluation.component_spec.implementation))

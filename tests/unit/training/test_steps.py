import multiprocessing
from pathlib import Path

import pytest

from tallystick.components.core.errors import StorageError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.journal import Journal
from tallystick.components.core.model_package import package_digest
from tallystick.components.core.storage import open_store
from tallystick.components.training.steps import run_search, run_training
from tallystick.components.training.tracking import LoggedRun, log_runs, open_client
from tests.support.lending import CONTRACT, POLICY

# MLflow and SQLAlchemy warn each other of what is to come; both are pinned.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def log_one(uri: str, name: str) -> None:
    log_runs(uri, "lending", LoggedRun(name=name, metrics={"auc": 0.7}), [LoggedRun(name=f"{name}-child")])


@pytest.fixture(scope="module")
def run(fair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    uri = f"sqlite:///{folder}/mlflow/mlflow.db"
    common = {
        "contract_yaml": CONTRACT,
        "policy_yaml": POLICY,
        "evidence": str(folder / "evidence"),
        "run_id": "run-1",
        "data_sha256": "cd" * 32,
        "tracking_uri": uri,
        "journal": Journal(folder / "journal.jsonl", "training"),
        "plain": folder / "plain",
        "benchmark": folder / "benchmark",
    }
    run_training(fair.dataset, git_commit="abc123", **common)
    run_search(fair.dataset, plain_is_fair=False, chosen=folder / "chosen", report=folder / "search.html", **common)
    run_search(
        fair.dataset,
        **{**common, "run_id": "run-2"},
        plain_is_fair=True, chosen=folder / "same", report=folder / "nothing.html",
    )  # fmt: skip
    return folder, uri


def runs_of(uri):
    client = open_client(uri)
    experiment = client.get_experiment_by_name("instalment-loans")
    return experiment, {found.info.run_name: found for found in client.search_runs([experiment.experiment_id])}


def test_mlflow_has_parameters_metrics_digests_and_commit(run):
    _, uri = run
    _, runs = runs_of(uri)
    boosting = runs["boosting"]
    assert boosting.data.params["max_iter"] == "20"
    assert boosting.data.params["kind"] == "hist_gradient_boosting"
    assert 0.5 < boosting.data.metrics["auc_out_of_fold"] < 1.0
    assert boosting.data.tags["tallystick.git_commit"] == "abc123"
    assert boosting.data.tags["tallystick.data_sha256"] == "cd" * 32
    assert {"tallystick.contract_sha256", "tallystick.policy_sha256", "tallystick.dataset_sha256"} <= set(
        boosting.data.tags
    )
    assert boosting.info.status == "FINISHED"


def test_candidates_and_alternatives_are_nested_runs(run):
    _, uri = run
    experiment, runs = runs_of(uri)
    everything = open_client(uri).search_runs([experiment.experiment_id])

    def below(name):
        parent = runs[name].info.run_id
        return [found for found in everything if found.data.tags.get("mlflow.parentRunId") == parent]

    assert {found.info.run_name for found in below("run-1: training")} == {"scorecard", "logistic", "boosting"}
    methods = {found.data.params["method"] for found in below("run-1: search")}
    assert methods == {"regularisation", "feature_sets", "reductions", "threshold_optimiser"}
    assert "run-2: search" not in runs  # nothing was searched


def test_the_model_is_an_artifact_beside_the_database(run):
    folder, uri = run
    experiment, runs = runs_of(uri)
    assert Path(experiment.artifact_location.removeprefix("file://")) == folder / "mlflow" / "artifacts"
    identity = runs["run-1: training"].info.run_id
    stored = folder / "mlflow" / "artifacts" / identity / "artifacts" / "model" / "manifest.json"
    assert stored.read_bytes() == (folder / "plain" / "model" / "manifest.json").read_bytes()


def test_the_statements_speak_of_the_models(run):
    folder, _ = run
    statements = EvidenceStore(open_store(str(folder / "evidence")), "run-1").statements()
    training = statements["training"]
    plain = next(entry for entry in training["predicate"]["leaderboard"] if entry["is_plain"])
    assert training["subject"][0]["digest"]["sha256"] == plain["model_sha256"]
    assert training["subject"][0]["digest"]["sha256"] == package_digest(folder / "plain" / "model")
    assert training["predicate"]["git_commit"] == "abc123"
    assert statements["alternatives"]["predicate"]["searched"] is True
    second = EvidenceStore(open_store(str(folder / "evidence")), "run-2").statement("alternatives")
    assert second["predicate"]["searched"] is False


def test_the_pages_stand_alone(run):
    folder, _ = run
    for name in ("search.html", "nothing.html"):
        text = (folder / name).read_text()
        assert "<html" in text
        assert 'src="http' not in text
        assert "<script" not in text
    assert "Every alternative" in (folder / "search.html").read_text()
    assert "no alternative was looked for" in (folder / "nothing.html").read_text()


def test_two_processes_may_make_the_store_at_once(tmp_path):
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=log_one, args=(uri, f"run-{number}")) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    client = open_client(uri)
    experiment = client.get_experiment_by_name("lending")
    assert len(client.search_runs([experiment.experiment_id])) == 4


def test_a_store_that_cannot_be_reached_is_one_sentence_without_the_password(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="could not be logged"):
        log_one(f"sqlite:///{tmp_path}/file/mlflow.db", "run")
    with pytest.raises(StorageError) as problem:
        log_one("mysql://name:secret@nowhere.invalid/mlflow", "run")
    assert "secret" not in str(problem.value)


def test_figures_that_are_not_finite_are_left_out(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    log_runs(uri, "x", LoggedRun(name="r", metrics={"auc": float("nan"), "ks": None, "gini": 0.4}), [])
    client = open_client(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("x").experiment_id])
    assert found.data.metrics == {"gini": 0.4}

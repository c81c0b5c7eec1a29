"""Registration against a real MLflow on SQLite: what it takes, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest

from tallystick.components.core.contract import parse_contract
from tallystick.components.core.errors import ExitCode, InputError, StorageError
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.model_package import package_digest
from tallystick.components.core.verdicts import Check, Outcome, Verdict
from tallystick.components.registration import logic
from tallystick.components.registration.evidence_check import GATES, RegistrationRefusedError
from tallystick.components.registration.registry import shown
from tests.support.candidates import DATA_SHA256, LENDING_POLICY_YAML, write_candidate
from tests.support.documents import LENDING_CONTRACT_YAML

CONTRACT = parse_contract(LENDING_CONTRACT_YAML)
CONTRACT_SHA256 = sha256_of_bytes(LENDING_CONTRACT_YAML.encode())
POLICY_SHA256 = sha256_of_bytes(LENDING_POLICY_YAML.encode())

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


def verdict_of(gate: str, sha256: str, outcome: Outcome = Outcome.PASS, **context: str) -> Verdict:
    checks = [Check(name="measured", outcome=outcome, detail=f"{gate} measured", figure=0.9)]
    if gate == "fairness_gate":
        ratio = {"name": "adverse_impact_ratio", "threshold": 0.8, "comparison": ">=", "detail": "ratio"}
        checks += [Check(outcome=outcome, figure=figure, **ratio) for figure in (0.91, 0.84)]
    digests = {"data_sha256": DATA_SHA256, "contract_sha256": CONTRACT_SHA256, "policy_sha256": POLICY_SHA256}
    return Verdict(
        gate=gate, subject_name="x", subject_sha256=sha256, checks=tuple(checks), context={**digests, **context}
    )


def statement_of(verdict: Verdict, details: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "subject": [{"name": "x", "digest": {"sha256": verdict.subject_sha256}}],
        "predicate": {**verdict.to_json(), "details": details or {}},
    }


def evidence(digest: str) -> dict[str, Any]:
    statements = {gate: statement_of(verdict_of(gate, digest)) for gate in GATES}
    statements["data_validation"] = statement_of(verdict_of("data_validation", DATA_SHA256))
    figures = {"auc": {"figure": 0.8811}, "gini": {"figure": None}}
    statements["evaluation"] = statement_of(verdict_of("evaluation", digest), {"figures": figures})
    statements["training"] = {"predicate": {"git_commit": "0123abc"}}
    return statements


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    write_candidate(root / "candidate", name="boosting")
    write_candidate(root / "second", "random_forest", name="forest")
    write_candidate(root / "benchmark", "logistic_regression", name="scorecard")
    (root / "card").write_text("# Model card\n", encoding="utf-8")
    return {name: root / name for name in ("candidate", "second", "benchmark", "card")}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> Path:
    """A store with its tables and nothing in them; copied, because making the tables takes seconds."""
    from tallystick.components.registration.registry import open_registry

    folder = tmp_path_factory.mktemp("store")
    with open_registry(f"sqlite:///{folder}/mlflow.db", "nothing") as registry:
        assert registry.alias("champion") is None
    return folder


@pytest.fixture
def request_of(models, empty_store, tmp_path):
    shutil.copytree(empty_store, tmp_path / "mlflow")  # once a test

    def make(candidate: str = "candidate", **changes: Any) -> logic.Request:
        digest = package_digest(models[candidate] / "model")
        values: dict[str, Any] = {
            "candidate": models[candidate],
            "benchmark": models["benchmark"],
            "card": models["card"],
            "champion": tmp_path / "champion",
            "contract": CONTRACT,
            "contract_sha256": CONTRACT_SHA256,
            "policy_sha256": POLICY_SHA256,
            "statements": evidence(digest),
            "tracking_uri": f"sqlite:///{tmp_path}/mlflow/mlflow.db",
            "run_id": "run-1",
            "judge_fairness": _fair,
            "judge_performance": lambda model, _: verdict_of("evaluation", model.model.digest),
        }
        return logic.Request(**{**values, **changes})

    return make


def versions(request: logic.Request) -> dict[str, dict[str, str]]:
    """Tags by version, read by a client of the test's own."""
    client = client_of(request)
    return {str(v.version): v.tags for v in client.search_model_versions(f"name='{CONTRACT.name}'")}


def aliases(request: logic.Request) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return {k: str(v) for k, v in client_of(request).get_registered_model(CONTRACT.name).aliases.items()}
    except MlflowException:
        return {}


def client_of(request: logic.Request) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(request.tracking_uri, registry_uri=request.tracking_uri)


def test_a_first_release_makes_the_benchmark_champion_and_the_model_candidate(request_of, models):
    request = request_of()
    result = logic.register(request)
    assert (result.version, result.champion_version, result.incumbent, result.is_new) == ("2", "1", True, True)
    assert aliases(request) == {"champion": "1", "candidate": "2"}
    assert package_digest(request.champion / "model") == package_digest(models["benchmark"] / "model")
    tags = versions(request)["2"]
    assert tags["tallystick.model_sha256"] == package_digest(models["candidate"] / "model")
    assert tags["tallystick.data_sha256"] == DATA_SHA256
    assert tags["tallystick.contract_sha256"] == CONTRACT_SHA256
    assert tags["tallystick.policy_sha256"] == POLICY_SHA256
    assert tags["tallystick.card_sha256"] == sha256_of_bytes(b"# Model card\n")
    assert tags["tallystick.git_commit"] == "0123abc"
    assert tags["tallystick.kind"] == "hist_gradient_boosting"
    assert tags["tallystick.auc"] == "0.8811"
    assert tags["tallystick.lowest_adverse_impact_ratio"] == "0.8400"
    assert all(tags[f"tallystick.{gate}"] == "pass" for gate in GATES)


def test_the_registered_artifacts_are_the_package_byte_for_byte(request_of, models, tmp_path):
    from mlflow.artifacts import download_artifacts

    request = request_of()
    logic.register(request)
    source = client_of(request).get_model_version(CONTRACT.name, "2").source
    fetched = Path(download_artifacts(artifact_uri=source, dst_path=str(tmp_path / "fetched")))
    own = models["candidate"] / "model"
    assert {p.name: p.read_bytes() for p in fetched.iterdir()} == {p.name: p.read_bytes() for p in own.iterdir()}


def test_registering_the_same_model_again_makes_no_second_version(request_of):
    request = request_of()
    first = logic.register(request)
    again = logic.register(request)
    assert (again.version, again.is_new, again.incumbent) == (first.version, False, False)
    assert len(versions(request)) == 2


def test_the_champion_stays_when_another_candidate_comes(request_of, models):
    first = request_of()
    logic.register(first)
    client_of(first).set_registered_model_alias(CONTRACT.name, "champion", "2")  # as a promotion does

    def only_the_candidate(model):
        assert model.training.name != "scorecard", "the benchmark was judged although there is a champion"
        return _fair(model)

    result = logic.register(request_of("second", judge_fairness=only_the_candidate))
    assert (result.version, result.champion_version) == ("3", "2")
    assert aliases(first) == {"champion": "2", "candidate": "3"}
    assert package_digest(first.champion / "model") == package_digest(models["candidate"] / "model")


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("fault", ["missing", "fail", "insufficient", "believed", "subject", "rules", "unreadable"])
def test_evidence_that_is_not_whole_is_refused_and_changes_nothing(request_of, gate, fault):
    request = request_of()
    statements = {**request.statements}
    subject = statements[gate]["subject"][0]["digest"]["sha256"]
    if fault == "missing":
        del statements[gate]
    elif fault == "fail":
        statements[gate] = statement_of(verdict_of(gate, subject, Outcome.FAIL))
    elif fault == "insufficient":
        statements[gate] = statement_of(verdict_of(gate, subject, Outcome.INSUFFICIENT))
    elif fault == "believed":  # the outcome says pass, its checks do not
        statements[gate] = statement_of(verdict_of(gate, subject, Outcome.FAIL))
        statements[gate]["predicate"]["outcome"] = "pass"
    elif fault == "subject":
        statements[gate] = statement_of(verdict_of(gate, "f" * 64))
    elif fault == "rules":  # a verdict of laxer rules, or under another contract
        verdict = verdict_of(gate, subject, contract_sha256="e" * 64)
        laxer = tuple(dataclasses.replace(check, threshold=0.5) for check in verdict.checks)
        statements[gate] = statement_of(dataclasses.replace(verdict, checks=laxer))
    else:
        statements[gate] = {"predicate": {}}
    with pytest.raises(RegistrationRefusedError, match=gate) as refused:
        logic.register(dataclasses.replace(request, statements=statements))
    assert refused.value.exit_code is ExitCode.GATE_REFUSED
    assert versions(request) == {}
    assert not request.champion.exists()


def test_a_model_of_another_contract_or_policy_is_refused(request_of):
    with pytest.raises(RegistrationRefusedError, match="trained under another policy"):
        logic.register(request_of(policy_sha256="d" * 64))


def test_an_unfair_benchmark_becomes_no_champion_and_nothing_is_registered(request_of):
    def unfair_scorecard(model):
        outcome = Outcome.FAIL if model.training.name == "scorecard" else Outcome.PASS
        return verdict_of("fairness_gate", model.model.digest, outcome)

    request = request_of(judge_fairness=unfair_scorecard)
    with pytest.raises(RegistrationRefusedError, match=r"no champion.*scorecard may not take its place"):
        logic.register(request)
    assert versions(request) == {}
    assert aliases(request) == {}


@pytest.mark.parametrize("stage", ["add", "point", "download"])
def test_a_failure_at_any_stage_leaves_the_registry_as_it_was(request_of, monkeypatch, stage):
    first = request_of()
    logic.register(first)
    before = (versions(first), aliases(first), _artifacts(first))

    def broken(*_args, **_values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logic.Registry, stage, broken)
    with pytest.raises(StorageError, match="No space left"):
        logic.register(request_of("second"))
    assert (versions(first), aliases(first), _artifacts(first)) == before


def _artifacts(request: logic.Request) -> set[Path]:
    root = Path(request.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts"
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file()}


def test_a_failure_of_the_very_first_registration_leaves_an_empty_registry(request_of, monkeypatch):
    request = request_of()
    monkeypatch.setattr(logic.Registry, "download", _disk_full)
    with pytest.raises(StorageError):
        logic.register(request)
    assert versions(request) == {}
    assert aliases(request) == {}
    assert client_of(request).search_registered_models() == []


def _disk_full(*_args: Any, **_values: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_champion_whose_bytes_were_altered_is_not_handed_on(request_of):
    request = request_of()
    logic.register(request)
    root = Path(request.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts"
    source = client_of(request).get_model_version(CONTRACT.name, "1").source
    folder = root / Path(source.removeprefix("file://")).relative_to(root)
    (folder / "interface.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="was altered"):
        logic.register(request_of("second"))
    assert set(versions(request)) == {"1", "2"}
    assert aliases(request) == {"champion": "1", "candidate": "2"}


def _register_in_a_process(request: logic.Request, champion: Path, results: Any) -> None:
    result = logic.register(dataclasses.replace(request, champion=champion))
    results.put((result.version, result.champion_version))


def _fair(model: Any) -> Verdict:
    return verdict_of("fairness_gate", model.model.digest)


def test_two_processes_that_create_the_store_and_register_at_once_agree(request_of, tmp_path):
    request = request_of(tracking_uri=f"sqlite:///{tmp_path}/new/mlflow.db")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    both = [
        context.Process(target=_register_in_a_process, args=(request, tmp_path / f"champion-{n}", results))
        for n in (1, 2)
    ]
    for process in both:
        process.start()
    answers = [results.get(timeout=120) for _ in both]
    for process in both:
        process.join(timeout=60)
    assert [process.exitcode for process in both] == [0, 0]
    assert answers == [("2", "1"), ("2", "1")]
    assert set(versions(request)) == {"1", "2"}


def test_a_store_that_cannot_be_written_is_one_clear_message(request_of, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        logic.register(request_of(tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db"))


def test_an_address_is_shown_without_its_password():
    assert shown("https://user:secret@mlflow.bank.example:5000/x") == "https://mlflow.bank.example:5000/x"
    assert shown("sqlite:////runs/mlflow.db").startswith("sqlite:")


def test_a_real_candidate_is_registered_by_real_judges_on_evidence_that_the_gates_wrote(models, empty_store, tmp_path):
    """From the gates' own entry points to the registry; the benchmark must be fair to become the incumbent."""
    from tallystick.components.core.evidence import EvidenceStore
    from tallystick.components.core.journal import Journal
    from tallystick.components.core.storage import open_store
    from tallystick.components.evaluation.logic import run_evaluation
    from tallystick.components.fairness_gate.logic import run_gate
    from tallystick.components.registration.steps import run_registration

    shutil.copytree(empty_store, tmp_path / "mlflow")
    evidence = {"evidence": str(tmp_path / "evidence"), "run_id": "run"}
    rules = {"contract_yaml": LENDING_CONTRACT_YAML, "policy_yaml": LENDING_POLICY_YAML}
    digest = package_digest(models["candidate"] / "model")
    store = EvidenceStore(open_store(evidence["evidence"]), "run")
    for gate, subject in (("data_validation", DATA_SHA256), ("explainability", digest)):
        store.record_verdict(gate, verdict_of(gate, subject), {})
    run_gate(models["candidate"], **rules, **evidence, statement="fairness_gate", report=tmp_path / "fairness")
    policy_yaml = rules["policy_yaml"]
    run_evaluation(
        models["candidate"], models["benchmark"], policy_yaml=policy_yaml, **evidence, report=tmp_path / "evaluation"
    )
    arguments = {
        "candidate": models["candidate"],
        "benchmark": models["benchmark"],
        "card": models["card"],
        "champion": tmp_path / "champion",
        **rules,
        **evidence,
        "tracking_uri": f"sqlite:///{tmp_path}/mlflow/mlflow.db",
        "journal": Journal(tmp_path / "journal"),
    }
    result = run_registration(**arguments)
    assert (result.version, result.champion_version) == ("2", "1")
    assert store.statement("registration")["predicate"]["aliases"] == {"champion": "1", "candidate": "2"}
    stricter = LENDING_POLICY_YAML.replace("auc: {minimum: 0.70", "auc: {minimum: 0.71")
    assert store.statement("registration_refused") is None
    with pytest.raises(RegistrationRefusedError, match=r"another policy.*evaluation does not say what") as refused:
        run_registration(**{**arguments, "policy_yaml": stricter})
    stated = store.statement("registration_refused")
    assert stated["predicate"]["reason"] == str(refused.value)
    assert stated["subject"][0]["digest"]["sha256"] == digest

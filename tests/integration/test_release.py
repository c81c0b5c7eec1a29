"""Whole releases on this machine, as a person types them: real processes, real Envoy, real MLflow."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import psutil
import pytest

from tallystick.components.core.model_package import read_package
from tests.support.lending import write_files

pytestmark = [pytest.mark.timeout(400)]


def tallystick(*arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "tallystick.pipelines.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
        **options,
    )


def below(folder):
    """Processes that have something of `folder` on their command line or work in it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.pid != os.getpid() and str(folder) in words + (process.info["cwd"] or ""):
            found.append(words)
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo folder")  # with a space, as people's folders have
    result = tallystick("demo", cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    run = folder / "runs" / "latest"
    return run, json.loads((run / "summary.json").read_text()), result


def verdict(summary, gate):
    return next(v for v in summary["verdicts"] if v["step"] == gate)


def ratios(verdict, sample, subject):
    return [
        check
        for check in verdict["checks"]
        if check["name"] == "adverse_impact_ratio" and check["sample"] == sample and check["subject"].endswith(subject)
    ]


def test_the_plain_model_is_refused_for_its_ratio_for_black_applicants(demo):
    _, summary, _ = demo
    plain = verdict(summary, "fairness_gate_plain")
    assert plain["outcome"] == "fail"
    (black,) = ratios(plain, "out_of_fold", "Black")
    assert black["figure"] < 0.8
    assert black["outcome"] == "fail"


def test_the_released_model_keeps_the_line_with_its_interval_beside_it(demo):
    _, summary, _ = demo
    chosen = verdict(summary, "fairness_gate")
    assert chosen["outcome"] == "pass"
    (black,) = ratios(chosen, "out_of_fold", "Black")
    assert black["figure"] >= 0.8
    assert black["interval"][0] < black["figure"] < black["interval"][1]
    assert summary["outcome"] == "promoted"
    assert summary["exit_code"] == 0


def test_the_good_release_is_promoted_and_every_bad_build_is_taken_back(demo):
    _, summary, _ = demo
    ends = {trial["name"]: trial["phase"] for trial in summary["rollouts"]}
    assert ends == {
        "rollout": "Promoted",
        "rollout-errors": "RolledBack",
        "rollout-slow": "RolledBack",
        "rollout-shifted": "RolledBack",
    }


def test_the_released_model_is_the_one_that_was_judged(demo):
    run, summary, _ = demo
    package = read_package(run / "model", expected_digest=summary["digests"]["model"])
    subjects = {verdict(summary, gate)["subject_sha256"] for gate in ("evaluation", "fairness_gate", "explainability")}
    assert subjects == {package.digest}


def test_the_model_never_sees_race_sex_or_what_is_known_only_after_the_decision(demo):
    run, _, _ = demo
    interface = read_package(run / "model").interface
    names = {feature.name for feature in interface.features}
    after = {"action", "approve", "reject", "typur", "inson", "gdlin", "review"}
    assert not names & ({"black", "hispan", "white", "male", "married", "old"} | after)


def test_the_registry_holds_the_model_as_champion_with_its_digests(demo):
    from mlflow import MlflowClient

    run, summary, _ = demo
    client = MlflowClient(f"sqlite:///{(run.parent / 'mlflow' / 'mlflow.db').resolve()}")
    champion = client.get_model_version_by_alias("credit-risk", "champion")
    assert summary["digests"]["model"] in champion.tags.values()


def test_the_report_needs_nothing_from_outside(demo):
    run, _, _ = demo
    report = (run / "report.html").read_text()
    assert re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:|#)", report) == []
    assert "@import" not in report


def test_nothing_is_left_running_and_nothing_temporary_lies_about(demo):
    run, _, _ = demo
    assert below(run.parent.parent) == []
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def test_no_pickle_was_written_anywhere(demo):
    run, _, _ = demo
    suspicious = [path for path in run.parent.rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib"}]
    assert suspicious == []


def test_the_bundle_of_the_run_verifies_with_the_runs_own_keys_and_with_no_others(demo):
    run, _, _ = demo
    folder = run.parent.parent
    holds = tallystick("verify", run / "bundle.zip", "--trust", folder / "runs" / "keys" / "trust.yaml", cwd=folder)
    assert holds.returncode == 0, holds.stdout + holds.stderr
    stranger = folder / "stranger.yaml"
    assert tallystick("keys", "make", folder / "stranger.pem", cwd=folder).returncode == 0
    trusted = ["--in", stranger, "--person", "eve@bank.example", "--role", "gate", "--role", "log"]
    assert tallystick("keys", "trust", folder / "stranger.pem.pub", *trusted, cwd=folder).returncode == 0
    refused = tallystick("verify", run / "bundle.zip", "--trust", stranger, cwd=folder)
    assert refused.returncode == 3, refused.stdout + refused.stderr


def test_the_card_of_the_run_can_be_printed(demo):
    run, summary, _ = demo
    card = tallystick("card", cwd=run.parent.parent)
    assert card.returncode == 0
    assert summary["digests"]["model"] in card.stdout


@pytest.fixture(scope="module")
def other_lender(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lender")
    data, contract, policy = write_files(folder)
    result = tallystick("run", "--data", data, "--contract", contract, "--policy", policy, "--json", cwd=folder)
    return folder, (data, contract, policy), result


def test_another_lenders_data_needs_two_files_and_no_code(other_lender):
    _, _, result = other_lender
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads(result.stdout)
    assert summary["outcome"] == "promoted"


def test_the_same_data_and_policy_give_the_same_model_and_no_second_version(other_lender):
    from mlflow import MlflowClient

    folder, (data, contract, policy), result = other_lender
    again = tallystick("run", "--data", data, "--contract", contract, "--policy", policy, "--json", cwd=folder)
    first, second = json.loads(result.stdout), json.loads(again.stdout)
    assert second["digests"]["model"] == first["digests"]["model"]
    client = MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow' / 'mlflow.db'}")
    versions = client.search_model_versions("name='instalment-loans'")
    digests = [tag for version in versions for key, tag in version.tags.items() if key.endswith("model_sha256")]
    assert len(digests) == len(set(digests))


def test_a_refused_model_is_exit_code_3_and_leaves_the_registry_alone(tmp_path):
    data, contract, policy = write_files(tmp_path)
    policy.write_text(policy.read_text().replace("auc: {minimum: 0.6}", "auc: {minimum: 0.99}"))
    result = tallystick("run", "--data", data, "--contract", contract, "--policy", policy, "--json", cwd=tmp_path)
    assert result.returncode == 3, result.stdout + result.stderr
    summary = json.loads(result.stdout)
    assert summary["outcome"] == "refused"
    assert verdict(summary, "evaluation")["outcome"] == "fail"
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow' / 'mlflow.db'}")
    assert client.search_registered_models() == []


@pytest.mark.parametrize("delay_s", [0.3, 4.0, 12.0])
def test_ctrl_c_at_any_time_ends_everything_and_says_so(tmp_path, delay_s):
    import signal

    data, contract, policy = write_files(tmp_path)
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "tallystick.pipelines.cli", "run"),
            *("--data", data, "--contract", contract, "--policy", policy),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    journal = tmp_path / "runs" / "latest" / "journal.jsonl"
    deadline = time.monotonic() + 30
    while not journal.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(delay_s)
    os.killpg(command.pid, signal.SIGINT)
    output, _ = command.communicate(timeout=30)
    assert command.returncode == 130, output
    assert "Traceback" not in output
    assert below(tmp_path) == []
    assert json.loads((tmp_path / "runs" / "latest" / "summary.json").read_text())["outcome"] == "interrupted"


BAD = {  # what is wrong: (file, what stands there, what is put in its place, what the message names, exit code)
    "missing column": ("loans.csv", "late_payments", "latepay", "late_payments", 2),
    "truncated header only": ("loans.csv", None, "loan_id,income_eur\n", "loans.csv", 2),
    "empty file": ("loans.csv", None, "", "loans.csv", 2),
    "misspelt contract key": ("contract.yaml", "minimum: 0\n", "minimun: 0\n", "minimum", 2),
    "impossible threshold": ("policy.yaml", "minimum: 0.8}", "minimum: 1.8}", "adverse_impact_ratio", 2),
    "contract is empty": ("contract.yaml", None, "", "contract.yaml", 2),
    "unknown attribute": ("policy.yaml", "required: [gender]", "required: [race]", "race", 2),
    "one class": ("loans.csv", "defaulted", "repaid", "outcome", 3),
}


@pytest.mark.parametrize(("file", "old", "new", "named", "code"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_clear_message_and_the_right_exit_code(tmp_path, file, old, new, named, code):
    data, contract, policy = write_files(tmp_path)
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(new if old is None else text.replace(old, new))
    result = tallystick("run", "--data", data, "--contract", contract, "--policy", policy, cwd=tmp_path)
    assert result.returncode == code, result.stdout + result.stderr
    assert named in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not (tmp_path / "runs" / "mlflow" / "mlflow.db").exists()


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_goes_on(tmp_path):
    data, contract, policy = write_files(tmp_path)
    words = ["run", "--data", data, "--contract", contract, "--policy", policy]
    first = subprocess.Popen(
        [sys.executable, "-m", "tallystick.pipelines.cli", *map(str, words)], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "runs" / "latest").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second = tallystick(*words, cwd=tmp_path)
        assert second.returncode == 2
        assert str(first.pid) in second.stderr
    finally:
        first.terminate()
        first.wait(timeout=30)


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="a full disk needs root to mount one")
def test_a_disk_that_is_nearly_full_is_told_before_anything_runs(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=210m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        data, contract, policy = write_files(tmp_path)
        (disk / "fill").write_bytes(b"\0" * (190 << 20))
        words = ["--data", data, "--contract", contract, "--policy", policy, "--runs-dir", disk / "runs"]
        full = tallystick("run", *words, cwd=tmp_path)
        assert full.returncode == 2
        assert "MiB are free" in full.stderr
        assert list((disk / "runs").glob("*/evidence")) == []
    finally:
        subprocess.run(["umount", "-l", disk], check=True)

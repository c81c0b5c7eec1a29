"""One governed release on this machine, from two files and a data file to a summary, a report and an exit code.

The order is that of the pipeline; what is added here is only what a laptop needs: the run's folder, the
rehearsal of bad builds for the demo, and the record, which is written however the run ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from tallystick.components.core.agreement import check_agreement
from tallystick.components.core.contract import parse_contract
from tallystick.components.core.errors import ExitCode, InputError, StepError, TallystickError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_file, write_json, write_text
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.receipts.commands import bundle_run
from tallystick.components.core.receipts.identity import identity_of
from tallystick.components.core.receipts.local_keys import local_keys
from tallystick.components.core.storage import open_store
from tallystick.pipelines.local_run import Interrupted, interruptible, journal_of, run_pipeline, run_process
from tallystick.pipelines.run_folder import RunFolder, run_folder
from tallystick.pipelines.view import View

STEPS = (
    "data_validation",
    "training",
    "fairness_gate_plain",
    "alternatives",
    "evaluation",
    "fairness_gate",
    "explainability",
    "model_card",
    "registration",
    "rollout",
)
REHEARSALS = ("rollout-errors", "rollout-slow", "rollout-shifted")
MINIMUM_FREE_BYTES = 200 << 20


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks to be released.

    Attributes
    ----------
    data
        Path, s3:// URL or example:NAME.
    contract_text, policy_text
        The two files' texts, with the names to use in messages.
    rehearse_bad_builds
        After a promotion, also try builds that are known to be bad (the demo).
    """

    data: str
    contract_text: str
    policy_text: str
    contract_name: str
    policy_name: str
    runs_dir: Path
    rehearse_bad_builds: bool = False
    reference_profile: str = ""


@dataclass(frozen=True, kw_only=True)
class Release:
    """How it ended and where to read about it."""

    exit_code: ExitCode
    folder: RunFolder
    summary: dict[str, Any]


def release(request: Request, console: Console) -> Release:
    """Run the pipeline, show it, and write the record.

    Raises
    ------
    InputError
        Contract, policy or data cannot be used, or the runs folder cannot; nothing was run.
    """
    contract = parse_contract(request.contract_text, request.contract_name)
    policy = parse_policy(request.policy_text, request.policy_name)
    check_agreement(contract, policy, policy_name=request.policy_name)
    _check_data_is_there(request.data)
    with run_folder(request.runs_dir, now=datetime.now().astimezone()) as folder:
        _check_room(folder.root)
        write_text(folder.path / "input" / "contract.yaml", request.contract_text)
        write_text(folder.path / "input" / "policy.yaml", request.policy_text)
        journal_of(folder, "command_line")
        steps = STEPS + (REHEARSALS if request.rehearse_bad_builds else ())
        heading = f"tallystick: release {folder.run_id} of {contract.name} on {request.data}"
        began = time.time()
        message = ""
        with interruptible(), View(console, steps, heading) as view:
            try:
                code = _run(folder, request, view)
            except Interrupted as error:
                code, message = ExitCode.INTERRUPTED, f"interrupted ({error})"
            except TallystickError as error:
                code, message = error.exit_code, str(error)
        try:
            summary = _record(folder, code, message, time.time() - began)
        finally:
            shutil.rmtree(folder.temporary, ignore_errors=True)
    return Release(exit_code=ExitCode(summary["exit_code"]), folder=folder, summary=summary)


def _run(folder: RunFolder, request: Request, view: View) -> ExitCode:
    from tallystick.pipelines.compiling import compile_pipeline
    from tallystick.pipelines.credit_risk.pipeline import credit_risk

    arguments = {
        "data": _absolute(request.data),
        "contract_yaml": request.contract_text,
        "policy_yaml": request.policy_text,
        "evidence": str(folder.evidence.resolve()),
        "run_id": folder.run_id,
        "mlflow_tracking_uri": folder.tracking_uri,
        "git_commit": git_commit(),
        "reference_profile": _absolute(request.reference_profile),
    }
    code = run_pipeline(folder, compile_pipeline(credit_risk), arguments, view)
    if code is not ExitCode.DONE:
        return code
    statements = statements_of(folder)
    check_branches(statements)
    trial = statements.get("rollout", {}).get("predicate", {}).get("details", {})
    if request.rehearse_bad_builds and trial.get("phase") == "Promoted":
        return _rehearse(folder, request, view)
    return ExitCode.DONE


def _rehearse(folder: RunFolder, request: Request, view: View) -> ExitCode:
    (model,) = folder.artifacts.glob("*/search-alternatives/chosen/model")
    (dataset,) = folder.artifacts.glob("*/data-validation/dataset")
    command = [
        sys.executable,
        "-m",
        "tallystick.components.rollout.rehearsal",
        f"--champion={model}",
        f"--dataset={dataset}",
        f"--contract={folder.path / 'input' / 'contract.yaml'}",
        f"--policy={folder.path / 'input' / 'policy.yaml'}",
        f"--evidence={folder.evidence.resolve()}",
        f"--run-id={folder.run_id}",
    ]
    return run_process(folder, command, view)


def check_branches(statements: dict[str, Any]) -> None:
    """Make sure that the runner took exactly the branch that the gates' verdicts open.

    KFP's local runner may skip both branches of a condition and call that a success.

    Raises
    ------
    StepError
        A gate opened and what is behind it did not run, or it ran although a gate said no.
    """

    def passed(step: str) -> bool:
        return step in statements and statements[step]["predicate"]["outcome"] == "pass"

    if "data_validation" not in statements:
        raise StepError("the pipeline ended without a verdict on the data")
    if passed("data_validation") != ("training" in statements):
        raise StepError("the verdict on the data and the step behind it do not agree: the runner took a wrong branch")
    opened = all(passed(gate) for gate in ("evaluation", "fairness_gate", "explainability"))
    for step in ("model_card", "registration", "rollout"):
        if opened != (step in statements):
            raise StepError(f"the gates' verdicts and the step {step} do not agree: the runner took a wrong branch")


def statements_of(folder: RunFolder) -> dict[str, Any]:
    """The evidence of one run by step; empty where no step came so far."""
    if not folder.evidence.exists():
        return {}
    return EvidenceStore(open_store(str(folder.evidence)), folder.run_id).statements()


def _record(folder: RunFolder, code: ExitCode, message: str, seconds: float) -> dict[str, Any]:
    """Summary and report from the statements alone; what went wrong outside them stands beside."""
    from tallystick.components.release_record.logic import build_report, build_summary

    statements = statements_of(folder)
    summary = build_summary(
        statements,
        run_id=folder.run_id,
        exit_code=code,
        message=message or _last_failure(folder),
        seconds=seconds,
        pipeline_sha256=sha256_of_file(folder.compiled) if folder.compiled.exists() else None,
    )
    write_json(folder.path / "summary.json", summary)
    write_text(folder.path / "report.html", build_report(statements, summary))
    _bundle(folder, statements)
    for model in folder.artifacts.glob("*/search-alternatives/chosen/model"):
        if summary["outcome"] == "promoted":
            shutil.copytree(model, folder.path / "model")
    return summary


def _bundle(folder: RunFolder, statements: dict[str, Any]) -> None:
    """One file with all evidence, for `tallystick verify`; a run that judged no model has nothing to bundle."""
    identity = identity_of({**os.environ, **local_keys(folder.root).environment(os.environ)})
    if identity and "fairness_gate" in statements:
        store = EvidenceStore(open_store(str(folder.evidence)), folder.run_id)
        bundle_run(store, folder.path, identity, folder.path / "bundle.zip")


def _last_failure(folder: RunFolder) -> str:
    from tallystick.components.core.journal import read_events

    failures = [event["message"] for event in read_events(folder.journal) if event["kind"] == "failed"]
    return failures[0] if failures else ""


def _check_data_is_there(data: str) -> None:
    if "://" in data or data.startswith("example:"):
        return
    if not Path(data).is_file():
        raise InputError(data, "no such file", "a CSV or Parquet file, an s3:// URL or example:loanapp")


def _check_room(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < MINIMUM_FREE_BYTES:
        raise InputError(
            str(root),
            f"only {free >> 20} MiB are free",
            f"{MINIMUM_FREE_BYTES >> 20} MiB",
            "make room, or use --runs-dir",
        )


def _absolute(uri: str) -> str:
    """Steps run in other folders: a local path must not depend on where the command was typed."""
    return uri if not uri or "://" in uri or uri.startswith("example:") else str(Path(uri).resolve())


def git_commit() -> str:
    """Commit of the checkout that the command runs in; ``unknown`` outside of one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return answer.stdout.strip()
    return "unknown"


def summary_text(summary: dict[str, Any]) -> str:
    """The summary as JSON for machines."""
    return json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)

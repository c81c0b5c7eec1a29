"""Joins the record to what is outside it: the evidence store, which keeps the record beside the statements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tallystick.components.core.errors import ExitCode
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import canonical_json, write_text
from tallystick.components.core.storage import open_store
from tallystick.components.release_record.report import build_report
from tallystick.components.release_record.summary import build_summary

_ENDED_WELL = ("SUCCEEDED", "SUCCESS")


def write_record(*, run_id: str, evidence: str, state: str, error_message: str, report: Path) -> dict[str, Any]:
    """Write the report, keep summary and report in the evidence under ``records/<run>``, and return the summary.

    Parameters
    ----------
    state
        How the pipeline's steps ended, in Kubeflow's words; SUCCEEDED where every step ran, although a gate
        may have said no.
    """
    store = open_store(evidence)
    statements = EvidenceStore(store, run_id).statements()
    ended_well = state.upper() in _ENDED_WELL
    message = "" if ended_well else error_message or state
    summary = build_summary(
        statements,
        run_id=run_id,
        exit_code=ExitCode.DONE if ended_well else ExitCode.BROKE,
        message=message,
    )
    page = build_report(statements, summary)
    write_text(report, page)
    store.put(f"records/{run_id}/summary.json", canonical_json(summary))
    store.put(f"records/{run_id}/report.html", page.encode())
    return summary

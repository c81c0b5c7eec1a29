"""The exit handler release_record as Kubeflow runs it; what it does is in logic.py."""

from kfp import dsl
from kfp.dsl import HTML, Output, PipelineTaskFinalStatus

from tallystick.components.core import images


@dsl.component(base_image=images.reference("release_record"), install_kfp_package=False)
def release_record(run_id: str, evidence: str, status: PipelineTaskFinalStatus, report: Output[HTML]) -> None:
    """Writes what stays of a run, however it ended: a summary for machines and a report for people.

    Args:
        run_id: Name of the run in the evidence.
        evidence: Where the statements of every step are kept; the record is kept beside them.
        status: How the steps ended; Kubeflow gives it.
        report: The whole release on one page.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.release_record.logic import write_record

    with step("release_record") as journal:
        summary = write_record(
            run_id=run_id,
            evidence=evidence,
            state=status.state,
            error_message=status.error_message or "",
            report=Path(report.path),
        )
        journal.event("outcome", text=summary["headline"], good=summary["outcome"] == "promoted")

"""What stays of a run: a summary for machines and a report for people, both drawn from its statements alone."""

from __future__ import annotations

from tallystick.components.release_record.report import build_report
from tallystick.components.release_record.steps import write_record
from tallystick.components.release_record.summary import build_summary

__all__ = ["build_report", "build_summary", "write_record"]

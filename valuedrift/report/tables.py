"""The study as the findings read it."""

from __future__ import annotations

from valuedrift.findings.tables import Tables
from valuedrift.report.inputs import ReportInputs


def finding_tables(inputs: ReportInputs) -> Tables:
    """What valuedrift.findings.paper.evaluate takes."""
    titles = {run.run_id: run.title for run in inputs.lineage.runs}
    return Tables(inputs.runs, inputs.main_drift, inputs.main_stances, inputs.traits, titles, inputs.confidence)

"""The flow that makes probes of a file of prompts (V-PRISM; paper, Protocol: evaluation prompts): rewrite, filter, topics, choose."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.source import read_source
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.carry_out import carry_out
from valuedrift.tasks.stages.probe_build import probe_stages
from valuedrift.tasks.work import Work


def _name() -> str:
    """A flow run is called after its file of prompts."""
    return f"probes of {Path(str(flow_run.parameters['source'])).name}"


@flow(name="probes", flow_run_name=_name, persist_result=False)
def build_probes(source: str, column: str, build: ProbeBuild, id_column: str | None = None, root: str = "valuedrift-data") -> None:
    """Build a probe set; the probes and what became of every prompt lie in the tables probes and probe_decisions.

    Args:
        source: File of prompts: CSV, JSONL or Parquet.
        column: Column with the prompts.
        build: What decides which probes come of them.
        id_column: Column that identifies a prompt; the row's number where there is none.
        root: Where the tables lie: a folder or s3://bucket/prefix.

    Raises:
        UserError: A fault in what was given; what had finished is kept.
    """
    work = Work(root, Runtime())
    try:
        stages = probe_stages(work, read_source(Path(source), column, id_column), build)
        carry_out(work, lambda: stages)
    finally:
        work.close()

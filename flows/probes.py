"""The flow that makes probes of a file of prompts (V-PRISM; paper, Protocol: evaluation prompts).

    rewrite ─▶ filter ─▶ topics ─▶ choose ─▶ probes, decisions

Each box is one cached task; embeddings are kept by their texts and model, whichever task needs them first.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.source import read_source
from valuedrift.tasks.probe_choose import choose_probes
from valuedrift.tasks.probe_room import ProbeRoom
from valuedrift.tasks.probe_steps import filter_questions, rewrite_prompts, sort_questions
from valuedrift.tasks.reference import Reference


def _name() -> str:
    """A flow run is called after its file of prompts."""
    return f"probes of {Path(str(flow_run.parameters['source'])).name}"


@flow(name="probes", flow_run_name=_name, persist_result=False)
def build_probes(source: str, column: str, build: ProbeBuild, id_column: str | None = None, root: str = "valuedrift-data") -> Reference:
    """Build a probe set.

    Args:
        source: File of prompts: CSV, JSONL or Parquet.
        column: Column with the prompts.
        build: What decides which probes come of them.
        id_column: Column that identifies a prompt; the row's number where there is none.
        root: Where the tables lie: a folder or s3://bucket/prefix.

    Returns:
        Where the probes lie in the store; the decisions lie beside them.

    Raises:
        UserError: A fault in what was given; what had finished is kept.
    """
    work = ProbeRoom(root, read_source(Path(source), column, id_column), build)
    try:
        rewritten = rewrite_prompts(work)
        filtered = filter_questions(work, rewritten)
        return choose_probes(work, sort_questions(work, filtered))
    finally:
        work.close()

"""The flow ``synthesize``: preference pairs with a dialled value gap. Candidates are written and judged in shards, then pairs are chosen and audited."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from valuedrift.study.runtime import Runtime
from valuedrift.synthesis.auditing import check_judges
from valuedrift.synthesis.config import Synthesis
from valuedrift.synthesis.questions import Question
from valuedrift.tasks.carry_out import carry_out
from valuedrift.tasks.stages.synthesis import synthesis_stages
from valuedrift.tasks.work import Work


@flow(name="synthesize", flow_run_name="synthesize in {root}", persist_result=False)
def synthesize(
    questions: Sequence[Question],
    synthesis: Synthesis,
    root: str = "valuedrift-data",
    runtime: Runtime = Runtime(),  # noqa: B008 # frozen
) -> None:
    """Make preference pairs; they lie in the tables synthetic_pairs and candidates, what another judge finds in synthetic_audits.

    Args:
        questions: What pairs are made for.
        synthesis: What is asked of them.
        root: Where the tables lie: a folder or s3://bucket/prefix.
        runtime: Devices, parallelism and patience.

    Raises:
        UserError: A fault in what was given, or answers that can't give such pairs; what was written and judged is kept.
    """
    check_judges(synthesis)
    work = Work(root, runtime)
    try:
        stages = synthesis_stages(work, questions, synthesis)
        carry_out(work, lambda: stages)
    finally:
        work.close()

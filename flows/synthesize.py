"""The flow ``synthesize``: preference pairs with a dialled value gap.

    write (stance, some hundred questions) ─▶ judge ─┐
    write …                                ─▶ judge ─┴─▶ choose pairs ─▶ candidates, synthetic_pairs

Each box is one cached task; a setting that needs the same stances, and every other gap, finds what is written and judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.futures import wait

from valuedrift.study.runtime import Runtime
from valuedrift.synthesis.config import Synthesis
from valuedrift.synthesis.questions import Question
from valuedrift.tasks.outcome import raise_failures
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.synthesis_room import SynthesisRoom
from valuedrift.tasks.synthesize import choose_pairs, judge_candidates, write_candidates


@flow(name="synthesize", flow_run_name="synthesize in {root}", persist_result=False)
def synthesize(
    questions: Sequence[Question],
    synthesis: Synthesis,
    root: str = "valuedrift-data",
    runtime: Runtime = Runtime(),  # noqa: B008 # frozen
) -> Reference:
    """Make preference pairs.

    Args:
        questions: What pairs are made for.
        synthesis: What is asked of them.
        root: Where the tables lie: a folder or s3://bucket/prefix.
        runtime: Devices, parallelism and patience.

    Returns:
        Where the pairs lie in the store; the candidates lie beside them.

    Raises:
        UserError: A fault in what was given, or answers that can't give such pairs; what was written and judged is kept.
    """
    work = SynthesisRoom(root, questions, synthesis, runtime)
    try:
        judged: list[Any] = []
        for number in range(len(work.shards)):
            written: Any = write_candidates.submit(work, number)
            judged.append(judge_candidates.submit(work, number, written))
        wait(judged)
        raise_failures(judged)
        return choose_pairs(work, [one.result() for one in judged])
    finally:
        work.close()

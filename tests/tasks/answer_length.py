"""A stage of one's own between sampling and judging, in one file with its schema: how many words each answer has.

``python answer_length.py ARGUMENTS`` is ``valuedrift ARGUMENTS`` with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from valuedrift.storage.schemas.columns import PROBE_SET, PROMPT_ID, RUN_ID, SAMPLE_IDX, STEP, STUDY
from valuedrift.storage.schemas.table import Follows, TableSchema, whole
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.registry import Kind, enter
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

LENGTHS = TableSchema(
    "answer_lengths",
    "How long one answer is.",
    1,
    ("study", "run_id", "step"),
    ("study", "run_id", "step", "probe_set", "prompt_id", "sample_idx"),
    (STUDY, RUN_ID, STEP, PROBE_SET, PROMPT_ID, SAMPLE_IDX, whole("n_words", "Words of the answer.", low=0)),
    follows=Follows(
        "responses", "run {run} lacks the lengths of step {step}", "run {run}, step {step}: {rows} lengths of {wanted} answers"
    ),
)


def lengths(_: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a checkpoint, made of its answers."""

    def identity(answers: Sequence[Reference]) -> dict[str, Any]:
        return {"stage": "length", "version": 1, "responses": answers[0].key}

    def make(work: Work, answers: Sequence[Reference]) -> Frames:
        words = pl.col("response").str.extract_all(r"\S+").list.len().alias("n_words")
        return {"answer_lengths": answers[0].read(work).select("run_id", "step", "probe_set", "prompt_id", "sample_idx", words)}

    for sampled in listed:
        if sampled.name == "sample":
            yield Stage("length", Address(("answer_lengths",), sampled.result.partition), (sampled,), identity, make)


enter(Kind("length", lengths, "measured", ("answer_lengths",)), after="sample", tables=(LENGTHS,))

if __name__ == "__main__":
    from valuedrift.flows.cli.main import main

    main()

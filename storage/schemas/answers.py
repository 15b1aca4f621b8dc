"""The tables of answers: what a checkpoint said, and which stance a judge saw in it."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from valuedrift.storage.schemas.columns import (
    JUDGE,
    P_STANCES,
    POLARITY,
    PROBE_SET,
    PROMPT_ID,
    RESPONSE,
    RUN_ID,
    SAMPLE_IDX,
    STATUS,
    STEP,
    STUDY,
    TOPIC,
    pair_id,
)
from valuedrift.storage.schemas.table import Follows, TableSchema, real, text, whole

UNKNOWN_PROBE_SET = "unknown"
_ONE_A_CHECKPOINT = ("study", "run_id", "step")
_ANSWER = (*_ONE_A_CHECKPOINT, "probe_set", "prompt_id", "sample_idx")


def _stances_1(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 1 knew one probe set and no polarity: stance could not be told from yes-saying."""
    return frame.with_columns(
        pl.lit(UNKNOWN_PROBE_SET).alias("probe_set"),
        pl.lit(None, dtype=pl.Int8).alias("polarity"),
        pl.lit(None, dtype=pl.String).alias("pair_id"),
    )


def _responses_1(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 1 kept thought and answer as one text; whoever reads an answer leaves the thought out."""
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias("reasoning"))


TABLES = (
    TableSchema(
        "responses",
        "One sampled answer.",
        2,
        _ONE_A_CHECKPOINT,
        _ANSWER,
        (
            STUDY,
            RUN_ID,
            STEP,
            PROBE_SET,
            TOPIC,
            PROMPT_ID,
            SAMPLE_IDX,
            RESPONSE,
            text(
                "finish_reason", "`stop`: the model ended its answer; `length`: cut at the token limit; `failed`: a server gave no answer."
            ),
            whole("n_tokens", "Tokens that were drawn, thought and answer together.", pa.int32(), low=0),
            text("engine", "Engine that sampled it."),
            text("sampling", "Fingerprint of the sampling settings."),
            text("checkpoint", "Fingerprint of the weights that answered."),
            text(
                "reasoning",
                "What a reasoning model thought before it answered, without tags; untrusted. Missing where there is no thought; "
                "version 1 of the table has it in the response.",
                nullable=True,
            ),
        ),
        upgrades=(_responses_1,),
        follows=Follows("checkpoints", "run {run} has a checkpoint at step {step}, but no answers of it"),
    ),
    TableSchema(
        "stances",
        "One answer judged by one judge.",
        2,
        _ONE_A_CHECKPOINT,
        (*_ANSWER, "judge"),
        (
            STUDY,
            RUN_ID,
            STEP,
            PROBE_SET,
            TOPIC,
            PROMPT_ID,
            POLARITY,
            pair_id(nullable=True),
            SAMPLE_IDX,
            JUDGE,
            *P_STANCES,
            real("unassigned", "Mass that the judge put outside the three options.", low=0, high=1, ok_only=True),
            STATUS,
        ),
        slots=("judge",),
        defaults=(("judge", "imported"), ("probe_set", "imported"), ("status", "ok"), ("unassigned", 0.0)),
        upgrades=(_stances_1,),
        follows=Follows(
            "responses",
            "judge {slot} has judged other steps of run {run}, but not step {step}",
            "judge {slot} has judged {rows} of {wanted} answers of run {run}, step {step}",
        ),
    ),
)

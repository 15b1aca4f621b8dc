"""The tables of prompts: probes, and what became of the prompts that they were made of."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from valuedrift.storage.schemas.columns import POLARITY, PROBE_SET, PROMPT_ID, TOPIC, pair_id
from valuedrift.storage.schemas.table import TableSchema, flag, real, text, whole


def _probes_1(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 1 asked every prompt at once."""
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in ("system", "turns"))


def _probes_2(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 2 knew no personas, and free answers only."""
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in ("persona", "options"))


TABLES = (
    TableSchema(
        "probes",
        "A prompt of a probe set.",
        3,
        ("probe_set",),
        ("probe_set", "prompt_id"),
        (
            PROBE_SET,
            PROMPT_ID,
            TOPIC,
            text("prompt", "The question as it is put to the model, after what comes before it; judges read it with the answer."),
            POLARITY,
            pair_id(nullable=False),
            text("language", "BCP 47 tag, e.g. `en`."),
            text("source", "Where the prompt comes from."),
            text("system", "System message that the question is asked with; missing where the model's own stands.", nullable=True),
            text(
                "turns",
                "Messages between it and the prompt, user and assistant in turn, as JSON; missing where the prompt is asked at once.",
                nullable=True,
            ),
            text("persona", "Text before the first thing that the user says; missing where there is none.", nullable=True),
            text(
                "options",
                "Text and stance of each option of a forced choice, as JSON; the prompt holds their texts. Missing where the answer is free.",
                nullable=True,
            ),
        ),
        upgrades=(_probes_1, _probes_2),
    ),
    TableSchema(
        "probe_decisions",
        "What became of one prompt when probes were made of a file of prompts.",
        1,
        ("probe_set",),
        ("probe_set", "source_id"),
        (
            PROBE_SET,
            text("source_id", "Identifies the prompt in its file; the `prompt_id` of a probe made of it."),
            text("source", "The prompt as it was read; untrusted."),
            text("question", "The question that it was rewritten as; missing where it holds none.", nullable=True),
            real(
                "value_laden", "Probability that the question is about a value; missing without a question.", nullable=True, low=0, high=1
            ),
            whole(
                "cluster",
                "Number of its cluster; missing where topics were given, or the question is not about a value.",
                pa.int32(),
                nullable=True,
                low=0,
            ),
            text("topic", "Topic that it was put into; missing where it belongs to none.", nullable=True),
            flag("kept", "Whether it became a probe."),
            text("reason", "Why, or why not."),
        ),
    ),
)

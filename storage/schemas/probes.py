"""The tables of prompts: probes, and what became of the prompts that they were made of."""

from __future__ import annotations

import pyarrow as pa

from valuedrift.storage.schemas.columns import POLARITY, PROBE_SET, PROMPT_ID, TOPIC, pair_id
from valuedrift.storage.schemas.table import TableSchema, flag, real, text, whole

TABLES = (
    TableSchema(
        "probes",
        "A prompt of a probe set.",
        1,
        ("probe_set",),
        ("probe_set", "prompt_id"),
        (
            PROBE_SET,
            PROMPT_ID,
            TOPIC,
            text("prompt", "The question as it is put to the model."),
            POLARITY,
            pair_id(nullable=False),
            text("language", "BCP 47 tag, e.g. `en`."),
            text("source", "Where the prompt comes from."),
        ),
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

"""The tables of attribution: which rows of a run's data moved a stance, and how much of the drift that explains."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from valuedrift.storage.schemas.columns import FROM_STEP, RUN_ID, STANCE, STANCE_NAMES, STUDY, TO_STEP, TOPIC
from valuedrift.storage.schemas.table import TableSchema, real, text, whole

_PARTITION = ("study", "run_id", "topic")
_METHOD = text(
    "method",
    "`tracin`: learning rate × gradient of the row · gradient of the stance; `less`: with each weight's rate as Adam scaled it.",
    values=("tracin", "less"),
)


def _attributions_1(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Version 2 tells cosines."""
    return rows.with_columns(cosine=pl.lit(None, dtype=pl.Float64))


TABLES = (
    TableSchema(
        "attributions",
        "How far one row of a run's data moved a stance on a topic, to first order.",
        2,
        _PARTITION,
        (*_PARTITION, "stance", "row_idx"),
        (
            STUDY,
            RUN_ID,
            TOPIC,
            STANCE,
            whole("row_idx", "Place of the row among those that the run learns from, from 1.", low=1),
            text("example_id", "Content hash of the row, as in audit_examples; of a row that teaches several answers, of the last."),
            _METHOD,
            real("score", "What it added to the mean probability of the stance, over all its uses."),
            real(
                "score_se",
                "Standard error of it over prompts, each with its answers at all checkpoints; missing of one prompt.",
                nullable=True,
            ),
            real(
                "cosine",
                "Cosine of the way that it pushed the weights and of the stance's gradient, the mean over the checkpoints nearest to its uses: "
                "what LESS ranks rows by, however long their gradients are; missing of a row that was not used.",
                nullable=True,
            ),
            whole("n_uses", "How often the training used it.", low=0),
            text("prompt", "Last message of the user before the answer; untrusted."),
            text("answer", "The answer to learn, or the preferred one; untrusted."),
            text("row_topic", "Topic of the row by the study's audit, or by the data; missing where there is none.", nullable=True),
            *(
                real(
                    f"p_{name}_row",
                    f"Probability that its answer takes the stance `{name}` by the study's audit; missing without one.",
                    low=0,
                    high=1,
                    nullable=True,
                )
                for name in STANCE_NAMES
            ),
        ),
        upgrades=(_attributions_1,),
    ),
    TableSchema(
        "attribution_totals",
        "What all rows of a run's data together moved a stance on a topic, beside how far it moved.",
        1,
        _PARTITION,
        (*_PARTITION, "stance"),
        (
            STUDY,
            RUN_ID,
            TOPIC,
            STANCE,
            _METHOD,
            FROM_STEP,
            TO_STEP,
            real("drift", "How far the stance moved from the first checkpoint to the last, by the main judge.", low=-1, high=1),
            real("first_order", "Sum of the scores of all rows."),
            real("first_order_se", "Standard error of it over prompts; missing of one prompt.", nullable=True),
            real("explained", "Share of the drift that this sum is; missing where nothing moved.", nullable=True),
            real(
                "along_path",
                "What the stance's gradients at the checkpoints make of the way that the trained weights went, whatever moved them.",
            ),
            whole("n_rows", "Rows that were learnt.", low=0),
            whole("n_prompts", "Prompts of the topic.", pa.int32(), low=0),
            whole("n_checkpoints", "Checkpoints whose gradients were taken.", pa.int32(), low=0),
        ),
    ),
)

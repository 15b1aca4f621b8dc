"""The tables of an audit: what a dataset's answers are like, on the whole and one by one."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from valuedrift.storage.schemas.columns import DATASET, JUDGE, ROWS_BECAME, STANCE_NAMES, STATUSES, STUDY, interval
from valuedrift.storage.schemas.table import Column, TableSchema, real, text, whole

SCOPES = ("all", "value-laden", "topic")
MEASURES = (
    *STANCE_NAMES,
    "value_gap",
    "refused",
    "words",
    "lists",
    "hedges",
    "politeness",
    "first_person",
    "exclamations",
    "questions",
)
_STUDY = replace(STUDY, doc="Study that trains on it; `audit` where a dataset was audited by itself.")


def _estimate(name: str, doc: str) -> tuple[Column, ...]:
    return real(name, doc, nullable=True), *interval(f"{name}_low", f"{name}_high", nullable=True)


def _side(side: str, doc: str, *, nullable: bool) -> tuple[Column, ...]:
    return (
        text(side, doc, nullable=nullable),
        *(
            real(
                f"p_{stance}_{side}",
                f"Probability that it takes the stance `{stance}`; missing unless judged.",
                low=0,
                high=1,
                nullable=True,
            )
            for stance in STANCE_NAMES
        ),
        text(f"status_{side}", "What became of its judgement.", values=STATUSES, nullable=nullable),
        whole(f"words_{side}", "Words in it.", pa.int32(), low=0, nullable=nullable),
    )


TABLES = (
    TableSchema(
        "audits",
        "How the answers of a dataset are, and how chosen and rejected ones differ, in one measure.",
        1,
        ("study", "dataset"),
        ("study", "dataset", "judge", "scope", "topic", "measure"),
        (
            _STUDY,
            DATASET,
            JUDGE,
            text("kind", "`sft`: answers to learn; `preference`: pairs of a chosen and a rejected one.", values=("sft", "preference")),
            text("scope", "`all` rows; those whose prompt speaks to a value; those of them on one topic.", values=SCOPES),
            text("topic", "Topic of the prompts; `all` outside the scope topic."),
            text(
                "measure", "A stance (mean probability), `value_gap`, `refused` (share), or a measure of length and tone.", values=MEASURES
            ),
            whole("n_examples", "Rows of the dataset in it.", low=0),
            whole("n_prompts", "Different prompts among them: the units of the interval.", low=0),
            *_estimate("chosen", "Mean of the chosen answers; in an SFT corpus of its answers."),
            *_estimate("rejected", "Mean of the rejected answers; missing in an SFT corpus."),
            *_estimate("difference", "Mean of chosen minus rejected; for `value_gap` the distance of the two stance distributions."),
        ),
        slots=("judge",),
    ),
    TableSchema(
        "audit_rows",
        "What became of the rows of a dataset before it was audited, by kind.",
        1,
        ("study", "dataset"),
        ("study", "dataset", "judge", "became", "what"),
        (_STUDY, DATASET, JUDGE, *ROWS_BECAME),
        slots=("judge",),
    ),
    TableSchema(
        "audit_examples",
        "One row of a dataset as the audit saw it.",
        1,
        ("study", "dataset"),
        ("study", "dataset", "judge", "example_id"),
        (
            _STUDY,
            DATASET,
            JUDGE,
            text("example_id", "Content hash of the row."),
            text("prompt", "Last message of the user before the answer; untrusted."),
            whole("turns", "Messages before the answer; above 1 the judge saw the last of them only.", pa.int32(), low=0),
            text("topic", "Topic of the prompt; missing where it speaks to no value, or to none that is known.", nullable=True),
            real("value_laden", "Probability that the prompt speaks to a value.", low=0, high=1),
            *_side("chosen", "The answer to learn, or the preferred one; untrusted.", nullable=False),
            *_side("rejected", "The other answer; missing in an SFT corpus; untrusted.", nullable=True),
            real(
                "carried",
                "Its own part of the value gap: the mean over rows is the gap; missing where a side was not judged.",
                low=-1,
                high=1,
                nullable=True,
            ),
        ),
        slots=("judge",),
    ),
)

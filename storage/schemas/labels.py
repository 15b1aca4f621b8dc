"""The tables of what people say: answers drawn for them, their labels, and the numbers that these correct."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from valuedrift.stance import JudgeStatus
from valuedrift.storage.schemas.columns import (
    FROM_STEP,
    JUDGE,
    N_PROMPTS,
    PROBE_SET,
    PROMPT_ID,
    RESPONSE,
    RUN_ID,
    STANCE,
    STANCE_NAMES,
    STEP,
    STUDY,
    TO_STEP,
    TOPIC,
    interval,
)
from valuedrift.storage.schemas.table import Column, TableSchema, real, text, whole

_DRAW = text("draw", "Identifies the draw within its study.")
_LABEL_ID = text("label_id", "Identifies the answer on the sheet; tells nothing of run, step or judge.")
_HOW = (
    text(
        "level",
        "How it was corrected: `cell` by labels of its own answers (prediction-powered inference), `study` by the judge's errors in all labels of the study.",
        values=("cell", "study"),
    ),
    real("tuning", "Weight of the judge beside the labels, 0 is labels only; missing at the level `study`.", nullable=True, low=0, high=1),
    whole("n_labels", "Labelled answers that it rests on.", pa.int32(), low=0),
    N_PROMPTS,
)


def _corrected(name: str, low: str, high: str, doc: str, least: float) -> tuple[Column, ...]:
    """An estimate with its interval, corrected and as the judge alone gives it."""
    return (
        real(name, f"{doc}, corrected by labels.", low=least, high=1),
        *interval(low, high, "its interval, with the judge's errors in it"),
        real(f"uncorrected_{name}", f"{doc}, as judged.", low=least, high=1),
        *interval(f"uncorrected_{low}", f"uncorrected_{high}", "that one's interval"),
    )


TABLES = (
    TableSchema(
        "label_draws",
        "An answer that was drawn for people to label.",
        1,
        ("study",),
        ("study", "draw", "label_id"),
        (
            STUDY,
            _DRAW,
            _LABEL_ID,
            replace(JUDGE, doc="The judge over whose stances the draw was balanced."),
            PROBE_SET,
            TOPIC,
            PROMPT_ID,
            text("prompt", "The question that was answered."),
            replace(RESPONSE, doc=f"{RESPONSE.doc} Equal answers to one prompt are one, wherever they stand in the study."),
            real("probability", "Probability with which the draw took it.", low=0, high=1),
        ),
        slots=("draw",),
    ),
    TableSchema(
        "labels",
        "What one person says of one answer.",
        1,
        ("study",),
        ("study", "draw", "label_id", "labeller"),
        (
            STUDY,
            _DRAW,
            _LABEL_ID,
            text("labeller", "Who labelled it."),
            replace(STANCE, doc="What the labeller says.", values=(*STANCE_NAMES, JudgeStatus.REFUSED.value, "unclear")),
        ),
        slots=("draw", "labeller"),
    ),
    TableSchema(
        "trajectory_corrected",
        "Mean stance at one checkpoint, corrected by what people labelled.",
        1,
        ("study",),
        ("study", "judge", "run_id", "step", "topic", "stance"),
        (
            STUDY,
            JUDGE,
            RUN_ID,
            STEP,
            TOPIC,
            STANCE,
            *_corrected("mean", "low", "high", "Mean probability of the stance over prompts", 0),
            *_HOW,
        ),
    ),
    TableSchema(
        "drift_corrected",
        "Drift of one stance on one topic over a run, corrected by what people labelled.",
        1,
        ("study",),
        ("study", "judge", "run_id", "topic", "stance", "from_step", "to_step"),
        (
            STUDY,
            JUDGE,
            RUN_ID,
            TOPIC,
            STANCE,
            FROM_STEP,
            TO_STEP,
            *_corrected("magnitude", "magnitude_low", "magnitude_high", "Change of the mean probability", -1),
            real("p_value", "Of the test that the corrected magnitude is 0.", low=0, high=1),
            real("q_value", "Benjamini–Hochberg over the corrected tests of one run and judge.", low=0, high=1),
            real("q_value_study", "Benjamini–Hochberg over the corrected tests of all runs of the study and judge.", low=0, high=1),
            *_HOW,
        ),
    ),
    TableSchema(
        "correction_notes",
        "What the labels do not correct, and why.",
        1,
        ("study",),
        ("study", "note_idx"),
        (STUDY, whole("note_idx", "Its place, from 0.", pa.int32(), low=0), text("note", "A sentence.")),
    ),
)

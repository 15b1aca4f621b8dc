"""The tables of what people say: answers drawn for them, their labels, and the numbers that these correct; part of `storage.schemas`."""

from __future__ import annotations

import pyarrow as pa

from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.storage.table import Column, TableSchema, real, text, whole

_STANCES = tuple(stance.value for stance in STANCES)
_STUDY = text("study", "Name of the study.")
_JUDGE = text("judge", "Name of the judge.")
_RUN = text("run_id", "Identifies a training phase within its study.")
_PROBE_SET = text("probe_set", "Which set of prompts was asked.")
_TOPIC = text("topic", "Topic of the prompt, e.g. `climate change`.")
_PROMPT_ID = text("prompt_id", "Identifies a prompt within its probe set.")
_STANCE = text("stance", "Stance that the row is about.", values=_STANCES)
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
    whole("n_prompts", "Prompts that entered the estimate.", pa.int32(), low=0),
)


def _both(name: str, ends: tuple[str, str], doc: str, low: float) -> tuple[Column, ...]:
    """An estimate with its interval, corrected and as the judge alone gives it."""
    return (
        real(name, f"{doc}, corrected by labels.", low=low, high=1),
        *(
            real(end, f"{which} end of its interval, with the judge's errors in it.")
            for which, end in zip(("Lower", "Upper"), ends, strict=True)
        ),
        real(f"uncorrected_{name}", f"{doc}, as judged.", low=low, high=1),
        *(real(f"uncorrected_{end}", f"{which} end of that one's interval.") for which, end in zip(("Lower", "Upper"), ends, strict=True)),
    )


LABEL_TABLES = (
    TableSchema(
        "label_draws",
        "An answer that was drawn for people to label.",
        1,
        ("study",),
        ("study", "draw", "label_id"),
        (
            _STUDY,
            _DRAW,
            _LABEL_ID,
            text("judge", "The judge over whose stances the draw was balanced."),
            _PROBE_SET,
            _TOPIC,
            _PROMPT_ID,
            text("prompt", "The question that was answered."),
            text("response", "The answer, as text; untrusted. Equal answers to one prompt are one, wherever they stand in the study."),
            real("probability", "Probability with which the draw took it.", low=0, high=1),
        ),
    ),
    TableSchema(
        "labels",
        "What one person says of one answer.",
        1,
        ("study",),
        ("study", "draw", "label_id", "labeller"),
        (
            _STUDY,
            _DRAW,
            _LABEL_ID,
            text("labeller", "Who labelled it."),
            text("stance", "What the labeller says.", values=(*_STANCES, JudgeStatus.REFUSED.value, "unclear")),
        ),
    ),
    TableSchema(
        "trajectory_corrected",
        "Mean stance at one checkpoint, corrected by what people labelled.",
        1,
        ("study",),
        ("study", "judge", "run_id", "step", "topic", "stance"),
        (
            _STUDY,
            _JUDGE,
            _RUN,
            whole("step", "Optimizer steps done in this phase; 0 is its start.", low=0),
            _TOPIC,
            _STANCE,
            *_both("mean", ("low", "high"), "Mean probability of the stance over prompts", 0),
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
            _STUDY,
            _JUDGE,
            _RUN,
            _TOPIC,
            _STANCE,
            whole("from_step", "First step compared.", low=0),
            whole("to_step", "Last step compared.", low=0),
            *_both("magnitude", ("magnitude_low", "magnitude_high"), "Change of the mean probability", -1),
            real("p_value", "Of the test that the corrected magnitude is 0.", low=0, high=1),
            real("q_value", "Benjamini–Hochberg over the corrected tests of one run and judge.", low=0, high=1),
            real("q_value_study", "Benjamini–Hochberg over the corrected tests of all runs of the study and judge.", low=0, high=1),
            *_HOW,
        ),
    ),
)

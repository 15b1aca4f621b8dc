"""The tables of watching: what was seen at each look at a run, and which alerts it fired."""

from __future__ import annotations

import pyarrow as pa

from valuedrift.storage.schemas.columns import JUDGE, N_PROMPTS, RUN_ID, STANCE, STEP, STUDY, TOPIC, interval
from valuedrift.storage.schemas.table import TableSchema, flag, real, text, whole

_LOOKED_AT = (
    STUDY,
    JUDGE,
    RUN_ID,
    STEP,
    TOPIC,
    STANCE,
    whole(
        "mean_of",
        "Over how many checkpoints the change is the mean: 1, the one at this step; 2, it and the one before.",
        pa.int32(),
        values=(1, 2),
    ),
    whole("look", "Which look at the run, from 1: a checkpoint after its start.", pa.int32(), low=1),
    real("change", "Mean probability of the stance now minus at the start of the run.", low=-1, high=1),
    *interval("change_low", "change_high", "its many-look interval; all of a training hold together"),
    N_PROMPTS,
)
_LOOK = ("study", "judge", "run_id", "step", "topic", "stance", "mean_of")

TABLES = (
    TableSchema(
        "looks",
        "How far one stance had moved at a look at a run; what the study's alerts name.",
        1,
        ("study", "run_id"),
        _LOOK,
        _LOOKED_AT,
    ),
    TableSchema(
        "alerts",
        "A look at which an alert fired.",
        1,
        ("study", "run_id"),
        (*_LOOK, "rule"),
        (
            *_LOOKED_AT,
            text("rule", "The alert's rule in words, e.g. `neutral on immigration < -0.2`; `any moved` where it has no number."),
            flag("first", "Whether the rule had not fired yet in this run, on this topic and stance, under this judge."),
        ),
    ),
)

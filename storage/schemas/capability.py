"""The tables of capability: what checkpoints score on tasks, item by item, and what changed."""

from __future__ import annotations

import pyarrow as pa

from valuedrift.storage.schemas.columns import FROM_STEP, RUN_ID, STEP, STUDY, TO_STEP, interval
from valuedrift.storage.schemas.table import TableSchema, flag, real, text, whole

_TASK = text("task", "Name of the task in the study.")
_SUBTASK = text("subtask", "The task of the harness; of a group of tasks its name where the row is of all of them.")
_METRIC = text(
    "metric",
    "What is scored, as the harness calls it: `acc`, `acc_norm`, …; with what was taken of an answer (`exact_match,strict-match`).",
)
_N_ITEMS = whole("n_items", "Items that were put.", pa.int32(), low=1)

TABLES = (
    TableSchema(
        "capabilities",
        "A checkpoint's score on a task of lm-evaluation-harness.",
        1,
        ("study", "run_id", "step"),
        ("study", "run_id", "step", "task", "subtask", "metric"),
        (
            STUDY,
            RUN_ID,
            STEP,
            _TASK,
            _SUBTASK,
            _METRIC,
            real("score", "The score, as the harness gives it."),
            real(
                "standard_error",
                "Its standard error over items, as the harness gives it; missing where it gives none.",
                nullable=True,
                low=0,
            ),
            _N_ITEMS,
            flag("higher_is_better", "Whether a higher score is a better one; missing where the task does not say.", nullable=True),
        ),
        slots=("task",),
    ),
    TableSchema(
        "capability_items",
        "A checkpoint's score on one item, of metrics that are one number an item: what changes are paired by.",
        1,
        ("study", "run_id", "step"),
        ("study", "run_id", "step", "task", "subtask", "metric", "item_idx"),
        (
            STUDY,
            RUN_ID,
            STEP,
            _TASK,
            _SUBTASK,
            _METRIC,
            whole("item_idx", "Place of the item in its task, from 0.", pa.int32(), low=0),
            real("score", "The item's score; of `acc` 1 or 0."),
        ),
        slots=("task",),
    ),
    TableSchema(
        "capability_changes",
        "How a score changed from the first to the last checkpoint of a run that a task was put to, paired over items.",
        1,
        ("study",),
        ("study", "run_id", "task", "subtask", "metric"),
        (
            STUDY,
            RUN_ID,
            _TASK,
            _SUBTASK,
            _METRIC,
            FROM_STEP,
            TO_STEP,
            real("score_from", "Score at the first step."),
            real("score_to", "Score at the last step."),
            real("change", "The second minus the first."),
            *interval("change_low", "change_high", "its interval, paired over items"),
            real(
                "p_value",
                "Of no change: McNemar's exact test where items are right or wrong, else the paired test; missing below two items.",
                nullable=True,
                low=0,
                high=1,
            ),
            real("q_value", "The same, corrected over all changes of the study (Benjamini-Hochberg).", nullable=True, low=0, high=1),
            whole("n_items", "Items that are paired.", pa.int32(), low=1),
            whole(
                "n_gained", "Items that were wrong and are right; missing where items have other scores.", pa.int32(), nullable=True, low=0
            ),
            whole("n_lost", "Items that were right and are wrong; likewise.", pa.int32(), nullable=True, low=0),
            flag("higher_is_better", "Whether a higher score is a better one; missing where the task does not say.", nullable=True),
        ),
    ),
)

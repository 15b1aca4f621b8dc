"""Columns that stand in several tables, each with one meaning."""

from __future__ import annotations

import pyarrow as pa

from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.storage.schemas.table import Column, real, text, whole

STANCE_NAMES = tuple(stance.value for stance in STANCES)
STATUSES = tuple(status.value for status in JudgeStatus)

STUDY = text("study", "Name of the study.")
RUN_ID = text("run_id", "Identifies a training phase within its study.")
STEP = whole("step", "Optimizer steps done in this phase; 0 is its start.", low=0)
FROM_STEP = whole("from_step", "First step compared.", low=0)
TO_STEP = whole("to_step", "Last step compared.", low=0)
DATASET = text("dataset", "Name of the dataset.")
PROBE_SET = text("probe_set", "Which set of prompts was asked.")
TOPIC = text("topic", "Topic of the prompt, e.g. `climate change`.")
PROMPT_ID = text("prompt_id", "Identifies a prompt within its probe set.")
SAMPLE_IDX = whole("sample_idx", "Which of the answers to this prompt, from 0.", pa.int32(), low=0)
RESPONSE = text("response", "The answer, as text, without the thought before it; empty where a thought did not end; untrusted.")
JUDGE = text("judge", "Name of the judge.")
STANCE = text("stance", "Stance that the row is about.", values=STANCE_NAMES)
STATUS = text("status", "What became of the judgement; only `ok` rows enter a mean.", values=STATUSES)
POLARITY = whole(
    "polarity",
    "+1: yes to the prompt supports the topic's proposition, -1: yes opposes it; missing if unknown.",
    pa.int8(),
    nullable=True,
    values=(-1, 1),
)
N_PROMPTS = whole("n_prompts", "Prompts that entered the estimate.", pa.int32(), low=0)
P_STANCES = tuple(
    real(f"p_{name}", f"Probability that the answer takes the stance `{name}`.", low=0, high=1, ok_only=True) for name in STANCE_NAMES
)
"""The stance distribution of an answer, missing where it was not judged."""


ROWS_BECAME = (
    text(
        "became",
        "`used`; `left out`; `cut`: an answer of it; `noted`: used, but with something beyond what is learnt.",
        values=("used", "left out", "cut", "noted"),
    ),
    text("what", "The shape of used rows; else why, or what it is; may hold names of columns, untrusted."),
    whole("n_rows", "Rows of this kind.", low=0),
    whole("first_row", "Place of the first of them in the data, from 1; missing where it is not known.", nullable=True, low=1),
)
"""What became of rows of a dataset."""


RUN_GROUP = text("run_group", "What runs that differ in seed alone share: the run_id of the study's own `seed`, without `-seed1`.")
OVER_SEEDS = (
    real("seed_share", "Share of the variance of the mean that is the seeds'; missing without variance.", nullable=True, low=0, high=1),
    real("prompt_share", "Share that is the prompts'; what is left is of both together, and of sampling.", nullable=True, low=0, high=1),
    whole("n_prompts", "Prompts that were judged in every run of the group.", pa.int32(), low=2),
    whole("left_out_prompts", "Prompts that were judged in some of them only, and are left out.", pa.int32(), low=0),
    whole("n_seeds", "Runs of the group that entered.", pa.int32(), low=2),
    whole("lacking_seeds", "Runs of it that the study plans and that are not there.", pa.int32(), low=0),
)
"""What a mean over prompts and seeds rests on."""


def pair_id(*, nullable: bool) -> Column:
    """Which two prompts belong together."""
    doc = "Shared by the two prompts that put one proposition for and against"
    return text("pair_id", f"{doc}; missing if unknown." if nullable else f"{doc}.", nullable=nullable)


def interval(low: str, high: str, of: str = "its interval", **rules: bool) -> tuple[Column, Column]:
    """Lower and upper end of an estimate's interval."""
    return real(low, f"Lower end of {of}.", **rules), real(high, f"Upper end of {of}.", **rules)

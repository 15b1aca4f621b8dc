"""The tables of the analysis: where a run's stances stood at each checkpoint, how far they moved, and what to know before trusting that."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from valuedrift.stance import JudgeStatus
from valuedrift.storage.schemas.columns import FROM_STEP, JUDGE, N_PROMPTS, RUN_ID, STANCE, STEP, STUDY, TO_STEP, TOPIC, interval
from valuedrift.storage.schemas.table import TableSchema, flag, real, text, whole


def _drift_1(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 1 dropped what analyze says about its drift times, and the correction over all runs of a study."""
    return frame.with_columns(
        pl.lit(None, dtype=pl.Boolean).alias("drift_time_warning"),
        pl.lit(None, dtype=pl.String).alias("drift_time_note"),
        pl.lit(None, dtype=pl.Float64).alias("q_value_study"),
    )


TABLES = (
    TableSchema(
        "trajectory",
        "Mean stance at one checkpoint.",
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
            real("mean", "Mean probability of the stance over prompts.", low=0, high=1),
            *interval("low", "high"),
            N_PROMPTS,
        ),
    ),
    TableSchema(
        "drift",
        "Drift of one stance on one topic between two steps of a run.",
        2,
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
            real("magnitude", "Change of the mean probability (paper, Definitions).", low=-1, high=1),
            *interval("magnitude_low", "magnitude_high"),
            real(
                "drift_time",
                "Share of the phase until within noise of the extremum; missing if it cannot be told.",
                nullable=True,
                low=0,
                high=1,
            ),
            *interval("drift_time_low", "drift_time_high", nullable=True),
            flag("drift_time_warning", "Whether that interval spans more than half of the phase.", nullable=True),
            text("drift_time_note", "Why there is no drift time, or why not to trust it; missing where all is well.", nullable=True),
            N_PROMPTS,
            real("p_value", "Of the test that the magnitude is 0.", low=0, high=1),
            real("q_value", "Benjamini–Hochberg over the tests of one run and judge.", low=0, high=1),
            real(
                "q_value_study",
                "Benjamini–Hochberg over the tests of all runs of the study and judge; missing in rows of version 1.",
                nullable=True,
                low=0,
                high=1,
            ),
            real("total_variation", "Distance of the two stance distributions.", low=0, high=1),
            real("jensen_shannon", "Jensen–Shannon distance of the two stance distributions, base 2.", low=0, high=1),
        ),
        upgrades=(_drift_1,),
    ),
    TableSchema(
        "acquiescence",
        "Yes-saying at one checkpoint: agreement with whatever is asked, told from stance by prompts that put one proposition for and against.",
        1,
        ("study",),
        ("study", "judge", "run_id", "step", "topic"),
        (
            STUDY,
            JUDGE,
            RUN_ID,
            STEP,
            TOPIC,
            real("acquiescence", "Mean over pairs of support − oppose over both wordings, −1 to 1; 0 is none, 1 yes to everything."),
            *interval("low", "high"),
            whole("n_pairs", "Pairs of prompts that entered.", pa.int32(), low=1),
        ),
    ),
    TableSchema(
        "coverage",
        "What became of the judgements at one checkpoint: what entered the means, and what did not.",
        1,
        ("study",),
        ("study", "judge", "run_id", "step", "topic"),
        (
            STUDY,
            JUDGE,
            RUN_ID,
            STEP,
            TOPIC,
            *(whole(f"n_{status.value}", f"Judgements with the status `{status.value}`.", low=0) for status in JudgeStatus),
            whole("n_prompts", "Prompts with a judged answer.", pa.int32(), low=0),
            whole("missing_prompts", "Prompts asked elsewhere in the study that have no judged answer here.", pa.int32(), low=0),
            whole("samples_min", "Fewest judged answers of such a prompt; missing without one.", pa.int32(), nullable=True, low=1),
            whole("samples_max", "Most judged answers of such a prompt; missing without one.", pa.int32(), nullable=True, low=1),
            flag("unequal_samples", "Whether these two differ."),
            whole(
                "n_cut",
                "Answers that ended at the token limit; missing where the answers are not in the table responses.",
                nullable=True,
                low=0,
            ),
        ),
    ),
    TableSchema(
        "sensitivity",
        "The smallest drift that a typical test of the study could see, under one judge.",
        1,
        ("study",),
        ("study", "judge"),
        (
            STUDY,
            JUDGE,
            whole("n_tests", "Tests (run, topic, stance) with an interval.", low=1),
            real("power", "Share of repetitions in which it is told from 0, before correction.", low=0, high=1),
            real("smallest_drift", "Its magnitude, the median over the tests.", low=0),
        ),
    ),
    TableSchema(
        "warnings",
        "Something to know before trusting a study's numbers.",
        1,
        ("study",),
        ("study", "warning_idx"),
        (
            STUDY,
            whole("warning_idx", "Its place, from 0.", pa.int32(), low=0),
            text("warning", "A sentence; may hold names of runs and topics, untrusted."),
        ),
    ),
)

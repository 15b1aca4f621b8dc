"""The tables of results: where a run's stances stood at each checkpoint, and how far they moved."""

from __future__ import annotations

import polars as pl

from valuedrift.storage.schemas.columns import FROM_STEP, JUDGE, N_PROMPTS, RUN_ID, STANCE, STEP, STUDY, TO_STEP, TOPIC, interval
from valuedrift.storage.schemas.table import TableSchema, flag, real, text


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
)

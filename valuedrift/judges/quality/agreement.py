"""How far judges agree on the stance of the same answers.

A judge's verdict is the stance that is strictly the most probable; ties are neutral (as in the SQL views).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from valuedrift.errors import DataError
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.statistics.agreement import MISSING, Agreement, coded_agreement

ANSWER = ("study", "run_id", "step", "probe_set", "prompt_id", "sample_idx")
"""Columns of the stances table that tell answers apart."""
PROMPT = ("probe_set", "prompt_id")
"""Those that tell prompts apart."""


def agreement(
    stances: pl.DataFrame,
    judges: Sequence[str],
    *,
    answer: Sequence[str] = ANSWER,
    prompt: Sequence[str] = PROMPT,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Measure how far judges agree.

    Args:
        stances: Rows of the stances table: one an answer and judge.
        judges: Names, two or more; a panel of some of them does not belong here, because it agrees with its members by construction.
        answer: Columns that tell answers apart.
        prompt: Columns that tell prompts apart, the units of the bootstrap.
        confidence: Level of the intervals.
        resamples: Draws of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: A judge has two judgements of one answer.
    """
    support, neutral, oppose = (pl.col(name) for name in STANCE_COLUMNS)
    verdict = (
        pl.when(support > pl.max_horizontal(neutral, oppose))
        .then(0)
        .when(oppose > pl.max_horizontal(neutral, support))
        .then(2)
        .otherwise(1)
    )
    given = stances.filter((pl.col("status") == JudgeStatus.OK.value) & pl.col("judge").is_in(list(judges)))
    keys = list(dict.fromkeys([*answer, *prompt]))
    given = given.select(*keys, "judge", verdict.cast(pl.Int8).alias("verdict"))
    if given.select(*keys, "judge").is_duplicated().any():
        raise DataError("a judge has two judgements of one answer", fix="give the columns that tell answers apart")
    wide = given.pivot("judge", on_columns=list(judges), index=keys, values="verdict")
    codes = wide.select(pl.col(name).fill_null(MISSING) for name in judges).to_numpy()
    clusters = wide.select(pl.struct(prompt).rank("dense") - 1).to_series().to_numpy().astype(np.int64) if wide.height else np.zeros(0)
    return coded_agreement(codes, clusters, judges, len(STANCES), confidence=confidence, resamples=resamples, seed=seed)

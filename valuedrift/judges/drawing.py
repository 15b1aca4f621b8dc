"""Which answers of a checkpoint a cascade's strong judge reads: more of those of which the cheap one is in doubt, each with a known probability."""

from __future__ import annotations

import numpy as np
import polars as pl

from valuedrift.stance import STANCE_COLUMNS, JudgeStatus
from valuedrift.statistics import Array
from valuedrift.statistics.inclusion import permanent_numbers, proportional

VERSION = 1
"""Raised when the same stances and share would give another draw."""
DOUBT = 1.5
"""How much more often an answer is drawn of which the cheap judge knows nothing: 1 + DOUBT times 2/3, twice as often as one of which it is sure. More would
make the weights of the others large, and a small sample with unequal weights is worth less."""
_ANSWER = ("probe_set", "topic", "prompt_id", "sample_idx")


def chances(judged: Array, n: float) -> Array:
    """Probability of each answer of a topic and checkpoint to be drawn.

    Args:
        judged: What the cheap judge says of them. Shape (N, 3).
        n: How many are drawn, on average.

    Returns:
        Probabilities in (0, 1] that sum to n; none falls where n rises. Shape (N,).
    """
    return proportional(1.0 + DOUBT * (1.0 - judged.max(axis=1)), n) if len(judged) else np.zeros(0)


def draw_answers(stances: pl.DataFrame, share: float) -> pl.DataFrame:
    """Draw answers of one checkpoint for the strong judge.

    Args:
        stances: What the cheap judge says of all of them: probe_set, topic, prompt_id, sample_idx, p_support, p_neutral, p_oppose, status. Those without a
            stance are not drawn.
        share: Share of each topic's answers that is drawn, on average, in (0, 1].

    Returns:
        probe_set, topic, prompt_id, sample_idx, probability; sorted. A larger share holds what a smaller one holds.
    """
    parts = [stances.select(*_ANSWER, probability=pl.lit(0.0)).clear()]
    for (topic,), rows in stances.sort(_ANSWER).group_by("topic", maintain_order=True):
        names = rows.select(pl.concat_str("probe_set", "prompt_id", separator="\x1f")).to_series().to_list()
        numbers = permanent_numbers(names, rows["sample_idx"].to_list(), str(topic))
        ok = (rows["status"] == JudgeStatus.OK.value).to_numpy()
        p = np.zeros(rows.height)
        p[ok] = chances(rows.filter(pl.Series(ok)).select(STANCE_COLUMNS).to_numpy(), share * ok.sum())
        parts.append(rows.select(*_ANSWER).with_columns(probability=pl.Series(p)).filter(pl.Series(numbers < p)))
    return pl.concat(parts).sort(_ANSWER)

"""An auditor that is too dear to read every pair: it reads a sample, and what the selector says of all of them is corrected by that.

It is a cascade of the two: the selector has read everything, so its say costs nothing more; the auditor reads pairs drawn with known probabilities. The
figures are the auditor's, whatever the selector's bias: see :mod:`valuedrift.drift.two_phase`, for which the two sides of the pairs are two checkpoints.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.audit.measures import NOTHING, gap_between
from valuedrift.drift.two_phase import DRIFT, FEW, MEAN, Contrast, Drawn, TwoPhase, tuned
from valuedrift.judges.drawing import DOUBT
from valuedrift.stance import STANCES
from valuedrift.statistics.inclusion import permanent_numbers, proportional
from valuedrift.statistics.intervals import Estimate
from valuedrift.synthesis.auditing import CONFIDENCE, SIDES, Found, answer_columns, prompts_of, side_probabilities

VERSION = 1
"""Raised when the same pairs and share would give another draw, or the same judgements other figures."""
FEWEST = FEW // len(SIDES)
"""Pairs below which a sample says nothing."""


def draw_pairs(pairs: pl.DataFrame, candidates: pl.DataFrame, share: float) -> pl.DataFrame:
    """Which answers the auditor reads: both of each pair that is drawn, those of which the selector is in doubt more often.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
        candidates: Table ``candidates`` of the same, with what the selector says.
        share: Share of each topic's pairs that is drawn, on average, in (0, 1].

    Returns:
        prompt_id, stance, candidate_idx, probability; sorted. A larger share holds what a smaller one holds.
    """
    sides = [side_probabilities(pairs, candidates, side) for side in SIDES]
    size = 1.0 + DOUBT * (1.0 - np.minimum(*(side.max(axis=1) for side in sides)))
    probability, drawn = np.zeros(pairs.height), np.zeros(pairs.height, dtype=bool)
    topics = pairs.get_column("topic")
    for topic in topics.unique().sort():
        rows = np.flatnonzero((topics == topic).to_numpy())
        part = pairs[rows]
        numbers = permanent_numbers(part["prompt_id"].to_list(), part["pair_idx"].to_list(), str(topic))
        probability[rows] = proportional(size[rows], share * len(rows))
        drawn[rows] = numbers < probability[rows]
    taken = pairs.with_columns(probability=pl.Series(probability)).filter(pl.Series(drawn))
    return pl.concat(taken.select(*answer_columns(side), "probability") for side in SIDES).sort(pl.all())


def found_by_sample(pairs: pl.DataFrame, candidates: pl.DataFrame, read: pl.DataFrame) -> Found:
    """What the auditor finds in all pairs, by those that it read.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
        candidates: Table ``candidates`` of the same, with what the selector says.
        read: What the auditor says of the answers that were drawn: prompt_id, stance, candidate_idx, probability, p_support, p_neutral, p_oppose.

    Returns:
        Figures without a value where it has a stance for both sides of fewer than `FEWEST` pairs.
    """
    prompts = prompts_of(pairs)
    size = np.bincount(prompts)
    cheap = np.stack([side_probabilities(pairs, candidates, side) for side in SIDES], axis=1)
    strong = np.stack([side_probabilities(pairs, read, side) for side in SIDES], axis=1)
    chance = pairs.select(answer_columns(SIDES[0])).join(
        read, on=["prompt_id", "stance", "candidate_idx"], how="left", maintain_order="left"
    )
    rows = np.flatnonzero(~np.isnan(strong).any(axis=(1, 2)))
    means = np.zeros((len(size), len(SIDES), len(STANCES)))
    np.add.at(means, prompts, cheap / size[prompts][:, None, None])
    weight = 1.0 / (chance["probability"].to_numpy()[rows].astype(np.float64) * size[prompts[rows]])
    drawn = Drawn(
        strong=np.concatenate([strong[rows, at] for at in range(len(SIDES))]),
        cheap=np.concatenate([cheap[rows, at] for at in range(len(SIDES))]),
        weight=np.concatenate([weight] * len(SIDES)),
        prompt=np.concatenate([prompts[rows]] * len(SIDES)),
        at=np.repeat(np.arange(len(SIDES)), len(rows)),
    )
    cell = TwoPhase(means, drawn, np.arange(len(size)))
    known = tuned([cell]) if len(rows) >= FEWEST else None
    n_prompts = len(set(prompts[rows].tolist()))
    if known is None:
        return Found({stance.value: (NOTHING, NOTHING, NOTHING) for stance in STANCES}, NOTHING, len(rows), n_prompts)

    def contrast(weights: tuple[float, float], confidence: float, bounds: tuple[float, float]) -> Contrast:
        return cell.contrast(np.array(weights), known, confidence, bounds)

    columns = [
        _estimates(contrast(weights, CONFIDENCE, bounds))
        for weights, bounds in (((1.0, 0.0), MEAN), ((0.0, 1.0), MEAN), ((1.0, -1.0), DRIFT))
    ]
    together = contrast((1.0, -1.0), 1 - (1 - CONFIDENCE) / len(STANCES), DRIFT).interval
    return Found(
        stances={stance.value: (chosen, rejected, change) for stance, chosen, rejected, change in zip(STANCES, *columns, strict=True)},
        gap=gap_between(together.estimate, together.low, together.high),
        n_pairs=len(rows),
        n_prompts=n_prompts,
    )


def _estimates(found: Contrast) -> list[Estimate]:
    ends: list[NDArray[np.float64]] = [found.interval.estimate, found.interval.low, found.interval.high]
    return [Estimate(float(value), float(low), float(high)) for value, low, high in zip(*ends, strict=True)]

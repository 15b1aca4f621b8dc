"""The influence of rows on a stance: learning rate × row gradient · stance gradient, summed over the row's uses (TracIn, Pruthi et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor

from valuedrift.atomic import put_in_place, written_aside
from valuedrift.attribution.gradients import Gradient, Projection, trained_weights
from valuedrift.attribution.rows import row_gradients
from valuedrift.attribution.stances import Asked, stance_gradients
from valuedrift.stance import Stance
from valuedrift.training.algorithm import Separable
from valuedrift.training.encode import Encoded

LOOKED_AT = (Stance.SUPPORT, Stance.OPPOSE)
"""The stances whose gradients are taken; that of neutral is minus their sum."""

_EPSILON = 1e-8
"""Adam's ε in every training (TRL's default)."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """What one checkpoint says of one topic; kept in a file, so that a computation that was killed goes on.

    Attributes:
        rows: Rows that were used nearest to it; shape (rows,).
        scores: What each did to each prompt's stances; shape (rows, prompts, stances).
        lengths: How far each pushed the weights; shape (rows,).
        gradient: The projected gradient of the topic's stances; shape (stances, length).
        place: The projected trained weights; shape (length,).
    """

    rows: NDArray[np.int64]
    scores: Array
    lengths: Array
    gradient: Array
    place: Array

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            save_file({field.name: getattr(self, field.name) for field in fields(self)}, aside)
            put_in_place(aside, path)

    @classmethod
    def load(cls, path: Path) -> Piece:
        """Read it."""
        return cls(**load_file(path))


def at_checkpoint(
    model: Any,
    algorithm: Separable,
    rows: Mapping[int, tuple[float, Encoded]],
    topics: Mapping[str, Sequence[Asked | None]],
    *,
    temperature: float,
    dimensions: int,
    moments: Mapping[str, Tensor] | None = None,
    done: Callable[[], None] = lambda: None,
) -> dict[str, Piece]:
    """What the rows that were used near a checkpoint did there.

    Args:
        model: The checkpoint; what was trained requires gradients.
        algorithm: Of the training.
        rows: By place among the rows that are learnt: what its gradient was multiplied with in all its uses, and its tokens.
        topics: The prompts of each topic, None where one has too few answers here.
        temperature: At which answers were drawn.
        dimensions: Coordinates of a projected gradient at most.
        moments: Adam's second moments by name of a trained weight, which scale its rate (LESS, Xia et al. 2024); None: no weight is scaled (TracIn).
        done: Called after each prompt and each row.
    """
    weights = trained_weights(model)
    project = Projection(list(weights), [weight.numel() for weight in weights.values()], dimensions)
    place = project(list(weights.values())).numpy()
    # the root of Adam's scale on either side: all of it on one would leave that with a few huge coordinates, which folding spreads over all
    halves = None if moments is None else [(moments[name].to(weight.device).sqrt() + _EPSILON).rsqrt() for name, weight in weights.items()]
    gradients: dict[str, Tensor] = {}
    directions: dict[str, Tensor] = {}
    for topic, prompts in topics.items():
        vectors = torch.zeros(len(prompts), len(LOOKED_AT), project.length)
        summed = torch.zeros(len(LOOKED_AT), project.length)
        there = sum(asked is not None for asked in prompts)
        for at, asked in enumerate(prompts):
            if asked is not None:
                for stance, gradient in enumerate(stance_gradients(model, weights, asked, temperature)):
                    summed[stance] += project(gradient) / there
                    # the mean over all prompts is then that over those with answers
                    vectors[at, stance] = project(_scaled(gradient, halves)) * (len(prompts) / there)
            done()
        gradients[topic] = summed
        directions[topic] = vectors
    scores = {topic: np.zeros((len(rows), *vectors.shape[:2]), dtype=np.float32) for topic, vectors in directions.items()}
    lengths = np.zeros(len(rows), dtype=np.float32)
    rates, learnt = [rate for rate, _ in rows.values()], [row for _, row in rows.values()]
    for at, row_gradient in row_gradients(model, weights, algorithm, learnt):
        half = _scaled(row_gradient, halves)
        pushed = -rates[at] * project(half)
        lengths[at] = rates[at] * _length(_scaled(half, halves))
        for topic, vectors in directions.items():
            scores[topic][at] = (vectors @ pushed).numpy()
        done()
    used = np.array(list(rows), dtype=np.int64)
    return {topic: Piece(used, scores[topic], lengths, mean.numpy(), place) for topic, mean in gradients.items()}


def _scaled(gradient: Gradient, scales: Sequence[Tensor] | None) -> Gradient:
    """A gradient, each weight's part times its scale."""
    if scales is None:
        return gradient
    return [None if part is None else part * scale for part, scale in zip(gradient, scales, strict=True)]


def _length(gradient: Gradient) -> float:
    """Euclidean length of a gradient."""
    return math.sqrt(sum(float((part.detach().double() ** 2).sum()) for part in gradient if part is not None))


@dataclass(frozen=True)
class Attributed:
    """What all rows of a training did to the stances on one topic.

    Attributes:
        scores: Columns row, stance, score, score_se (how far the row moved the stance, in probability), and cosine (of its push and the stance's
            gradient, the mean over the checkpoints that are nearest to its uses; missing of a row that was not used).
        totals: Columns stance, first_order, first_order_se (of all rows together), along_path (of the weights' own way, whatever moved them).
    """

    scores: pl.DataFrame
    totals: pl.DataFrame


def together(pieces: Sequence[Piece], rows: int) -> Attributed:
    """Sum what rows did over the checkpoints; errors are over prompts, each with the answers of all checkpoints.

    Args:
        pieces: One a checkpoint, in the order of steps.
        rows: Rows that are learnt.
    """
    prompts = pieces[0].scores.shape[1]
    summed = np.zeros((rows, prompts, len(LOOKED_AT)))
    cosines, used = np.zeros((rows, 3)), np.zeros(rows)
    for piece in pieces:
        summed[piece.rows] += piece.scores
        cosines[piece.rows] += _cosines(piece)
        used[piece.rows] += 1
    with np.errstate(invalid="ignore"):
        cosines /= used[:, None]
    way = np.zeros(len(LOOKED_AT))
    for before, after in pairwise(pieces):
        way += (before.gradient + after.gradient).astype(np.float64) @ (after.place - before.place).astype(np.float64) / 2
    frames, totals = [], []
    for stance, each, path, cosine in (
        (Stance.SUPPORT, summed[..., 0], way[0], cosines[:, 0]),
        (Stance.NEUTRAL, -summed.sum(axis=-1), -way.sum(), cosines[:, 1]),
        (Stance.OPPOSE, summed[..., 1], way[1], cosines[:, 2]),
    ):
        frames.append(
            pl.DataFrame({"row": np.arange(rows), "score": each.mean(axis=1), "score_se": _error(each), "cosine": cosine}).with_columns(
                pl.col("cosine").fill_nan(None), stance=pl.lit(stance.value)
            )
        )
        whole = each.sum(axis=0, keepdims=True)
        totals.append({"stance": stance.value, "first_order": whole.mean(), "first_order_se": _error(whole)[0], "along_path": path})
    return Attributed(pl.concat(frames), pl.DataFrame(totals))


def _cosines(piece: Piece) -> NDArray[np.float64]:
    """Of each row's push and the gradients of support, neutral and oppose; 0 where one has no length. Shape (rows, 3)."""
    support, oppose = piece.gradient.astype(np.float64)
    moved = piece.scores.mean(axis=1).astype(np.float64)
    moves = np.stack([moved[:, 0], -moved.sum(axis=1), moved[:, 1]], axis=1)
    lengths = piece.lengths[:, None] * np.linalg.norm([support, support + oppose, oppose], axis=1)
    cosines: NDArray[np.float64] = np.divide(moves, lengths, out=np.zeros_like(moves), where=lengths > 0)
    return cosines


def _error(each: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of means over the second axis; NaN of one prompt."""
    prompts = each.shape[1]
    if prompts < 2:
        return np.full(len(each), np.nan)
    error: NDArray[np.float64] = each.std(axis=1, ddof=1) / np.sqrt(prompts)
    return error

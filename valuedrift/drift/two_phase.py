"""Means and drifts from two judges: a cheap one that reads every answer, and a strong one that reads a sample of known probabilities.

Double sampling (Neyman 1938) with the difference estimator that prediction-powered inference uses too (Angelopoulos et al. 2023): λ · cheap mean + mean over
the sample of (strong − λ · cheap), each answer weighed by the inverse of its probability. Errors are clustered by prompt, over both parts together. What the
strong judge says counts as it is, three probabilities.

A cell of a small sample knows its own variance badly: three answers that happen to agree show none. So the variance of a cell's sample is moderated by that
of the cells around it (Lindley and Smith 1972; Smyth 2004), and below 30 strong judgements it is never smaller than what the cell shows itself. The t interval
has the degrees of freedom of the sample's effective number of prompts (Kish 1965), brought together with the cheap judge's by Welch and Satterthwaite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuedrift.stance import STANCES
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY, Interval, interval

PRIOR = 4.0
"""Degrees of freedom that the variance of the cells around counts for. By simulation: with 0 a cell of 5 answers covers 85%, with 8 no more than with 4."""
ENOUGH = 30
"""Strong judgements below which a variance is never smaller than what the cell shows itself, nor than what the cells around it do."""
FEW = 20
"""Strong judgements below which nothing can be said at all."""
DRIFT, MEAN = (-1.0, 1.0), (0.0, 1.0)
"""Where an estimate can lie."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Answers that the strong judge read.

    Attributes:
        strong: Its probabilities. Shape (L, 3).
        cheap: Those of the cheap judge. Shape (L, 3).
        weight: How many prompts each stands for: the inverse of its probability over its prompt's judged answers. Shape (L,).
        prompt: Number of its prompt in the cell. Shape (L,).
        at: Number of its checkpoint. Shape (L,).
    """

    strong: Array
    cheap: Array
    weight: Array
    prompt: NDArray[np.int64]
    at: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What cells that are alike know together.

    Attributes:
        tuning: λ in [0, 1]: weight of the cheap judge; 0 is the sample alone.
        noise: Variance of one strong judgement around what the cheap one says of it, of a mean and of a change. Shape (2, 3).
        alone: The same without the cheap judge. Shape (2, 3).
        n: Strong judgements behind it.
    """

    tuning: float
    noise: Array
    alone: Array
    n: int

    def without_cheap(self) -> Tuned:
        """For the sample alone."""
        return Tuned(0.0, self.alone, self.alone, self.n)


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum of a cell's checkpoints, stances in the order of ``STANCES``.

    Attributes:
        interval: Estimates with intervals; the range of what is possible where the sample says nothing.
        judged: The same by the cheap judge alone. Shape (3,).
        values: What each prompt contributes to it, in both parts. Shape (P, 3).
        spread: Standard errors of those contributions, without what the cells around say. Shape (3,).
        n: Strong judgements that it rests on.
        effective: How many of them, without the cheap judge, would tell as much.
        known: Whether every checkpoint of it has a sample.
    """

    interval: Interval
    judged: Array
    values: Array
    spread: Array
    n: int
    effective: float
    known: bool


class TwoPhase:
    """One cell under both judges.

    Args:
        values: Prompt means of the cheap judge, NaN where a prompt has no stance. Shape (P, T, 3).
        drawn: What the strong judge read of it.
        numbers: Numbers of its prompts, the same in every cell that asks them. Shape (P,).
        rounding: How finely stances were written; see `valuedrift.statistics.rounding`.

    Attributes:
        sampled: Strong judgements of each checkpoint. Shape (T,).
    """

    def __init__(self, values: Array, drawn: Drawn, numbers: NDArray[np.int64], rounding: float = TINY) -> None:
        prompts, checkpoints, _ = values.shape
        self.numbers, self.rounding = numbers, rounding
        there = np.asarray(~np.isnan(values).any(axis=2))
        count = np.maximum(there.sum(axis=0), 1)
        filled = np.where(there[:, :, None], values, 0.0)
        self._judged = filled.sum(axis=0) / count[:, None]
        inner = np.sqrt(count / np.maximum(count - 1, 1)) / count
        self._read = np.where(there[:, :, None], filled - self._judged, 0.0) * inner[:, None]
        self._strong, self._cheap = np.zeros((2, prompts, checkpoints, values.shape[2]))
        self._said, self._seen = np.zeros((2, checkpoints, values.shape[2]))
        self._share = np.zeros((prompts, checkpoints))
        self._prompts_read = np.zeros(checkpoints, dtype=np.int64)
        self.sampled = np.bincount(drawn.at, minlength=checkpoints)
        for at in np.flatnonzero(self.sampled):
            rows = drawn.at == at
            share, prompt = drawn.weight[rows] / drawn.weight[rows].sum(), drawn.prompt[rows]
            read = self._prompts_read[at] = len(np.unique(prompt))
            inner_sample = np.sqrt(read / max(read - 1, 1))
            np.add.at(self._share[:, at], prompt, share)
            for given, total, influence in (
                (drawn.strong[rows], self._said, self._strong),
                (drawn.cheap[rows], self._seen, self._cheap),
            ):
                total[at] = share @ given
                np.add.at(influence[:, at], prompt, inner_sample * share[:, None] * (given - total[at]))

    def upto(self, checkpoints: int) -> TwoPhase:
        """The same as it was after its first checkpoints."""
        return self.at(np.arange(checkpoints))

    def at(self, checkpoints: NDArray[np.int64]) -> TwoPhase:
        """The same with some of its checkpoints."""
        part = object.__new__(TwoPhase)
        part.numbers, part.rounding, part.sampled = self.numbers, self.rounding, self.sampled[checkpoints]
        for name in ("_judged", "_said", "_seen", "_prompts_read"):
            setattr(part, name, getattr(self, name)[checkpoints])
        for name in ("_read", "_strong", "_cheap", "_share"):
            setattr(part, name, getattr(self, name)[:, checkpoints])
        return part

    @property
    def checkpoints(self) -> int:
        """How many it has."""
        return len(self.sampled)

    def contrast(self, weights: Array, tuned: Tuned | None, confidence: float, bounds: tuple[float, float]) -> Contrast:
        """A mean or a difference of means with its interval.

        Args:
            weights: Of the checkpoints: 1 at one of them for its mean; 1 and −1 for a change. Shape (T,).
            tuned: What the cells around it know; None: too little for anything.
            confidence: Level of the interval.
            bounds: ``MEAN`` or ``DRIFT``.
        """
        used = weights.astype(bool)
        judged = weights @ self._judged
        if not used.any():
            return self._nothing(judged)
        n = int(self.sampled[used].sum())
        if tuned is None or not self.sampled[used].all():
            return self._unknown(judged, n, bounds)
        kind = int(used.sum() > 1)
        read, left = self._parts(weights, tuned.tuning)
        variance, scale, freedom = self._variance(weights, left, tuned.noise[kind], n)
        estimate = weights @ (tuned.tuning * (self._judged - self._seen) + self._said)
        both = read + left * scale
        whole = (both**2).sum(axis=0) + (variance - (left**2).sum(axis=0) * scale**2)
        by_cheap = (read**2).sum(axis=0)
        prompts = len(self.numbers)
        free = (by_cheap + variance) ** 2 / np.maximum(by_cheap**2 / max(prompts - 1, 1) + variance**2 / freedom, 1e-300)
        varies = whole > self.rounding**2
        count = np.where(varies, free + 1, min(prompts, n))
        skewness = np.where(varies, (both**3).sum(axis=0) / np.maximum(whole, 1e-100) ** 1.5 * np.sqrt(count), 0.0)
        found = interval(np.clip(estimate, *bounds), np.sqrt(whole), skewness, count, confidence, bounds=bounds, rounding=self.rounding)
        alone = self._variance(weights, self._parts(weights, 0.0)[1], tuned.alone[kind], n)[0].sum()
        effective = n * alone / whole.sum() if whole.sum() > 0 else float(n)
        values = estimate + prompts * (read + left)
        return Contrast(found, judged, values, np.sqrt(((read + left) ** 2).sum(axis=0)), n, float(effective), known=True)

    def _unknown(self, judged: Array, n: int, bounds: tuple[float, float]) -> Contrast:
        """What is left where the sample says nothing: anything is possible."""
        low, high, none, one = (np.full_like(judged, value) for value in (*bounds, np.nan, 1.0))
        values = np.full((len(self.numbers), len(judged)), np.nan)
        found = Interval(judged, low, high, none, np.zeros_like(judged), one, self.rounding)
        return Contrast(found, judged, values, none, n, 0.0, known=False)

    def _nothing(self, judged: Array) -> Contrast:
        """A checkpoint against itself."""
        none = np.zeros_like(judged)
        found = Interval(none, none, none, none, none, np.full_like(judged, len(self.numbers)), self.rounding)
        return Contrast(found, judged, np.zeros((len(self.numbers), len(judged))), none, 0, 0.0, known=True)

    def _parts(self, weights: Array, tuning: float) -> tuple[Array, Array]:
        """What each prompt contributes through the cheap judge, and through what the strong one says beside it. Shape (P, 3) each."""
        read = tuning * np.einsum("t,pts->ps", weights, self._read)
        return read, np.einsum("t,pts->ps", weights, self._strong - tuning * self._cheap)

    def _variance(self, weights: Array, left: Array, noise: Array, n: int) -> tuple[Array, Array, Array]:
        """Variance of the sample's part, moderated; what contributions are multiplied with to show it; its degrees of freedom. Shape (3,) each."""
        share = np.abs(weights) * self._share
        by_prompt = share.sum(axis=1)
        own_free = max(by_prompt.sum() ** 2 / (by_prompt**2).sum() - 1, 0.0)
        own = (left**2).sum(axis=0)
        moderated = (own_free * own + PRIOR * noise * (share**2).sum()) / (own_free + PRIOR)
        more = (moderated > own) | (n >= ENOUGH)
        variance = np.where(more, moderated, own)
        scale = np.where(own > self.rounding**2, np.sqrt(variance / np.maximum(own, 1e-300)), 0.0)
        return variance, scale, np.maximum(np.where(more, own_free + PRIOR, own_free), 1e-9)

    def kinds(self) -> tuple[list[Array], list[Array]]:
        """Weights of its means and of its changes from the first checkpoint, as far as two prompts were read there: one shows no variance."""
        one, read = np.eye(self.checkpoints), self._prompts_read > 1
        means = [one[at] for at in np.flatnonzero(read)]
        changes = [one[at] - one[0] for at in np.flatnonzero(read) if at > 0 and read[0]]
        return means, changes

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        """What λ is fitted on: contributions of the strong judge, and what a whole λ takes off them. Shape (P, 3) each."""
        strong = np.einsum("t,pts->ps", weights, self._strong)
        return strong, np.einsum("t,pts->ps", weights, self._cheap - self._read)

    def squares(self, weights: Array, tuning: float) -> tuple[Array, float]:
        """Sum of squares of the sample's part, shape (3,), and what it is by one strong judgement of variance 1."""
        left = self._parts(weights, tuning)[1]
        return (left**2).sum(axis=0), float(((np.abs(weights) * self._share) ** 2).sum())


def tuned(cells: Sequence[TwoPhase]) -> Tuned | None:
    """What cells that are alike know together; None where the strong judge read fewer than `FEW` answers of them.

    λ is the smaller of those with the least variance for means and for changes, so that neither is worse off than by the sample alone. It is shrunk by its own
    standard error, clustered by prompt over all cells: chance alone must not choose it.

    Args:
        cells: The cells of a topic, or of a judge.
    """
    n = int(sum(cell.sampled.sum() for cell in cells))
    found = [_tuning(cells, kind) for kind in (0, 1)]
    if n < FEW or found[0] is None:
        return None
    tuning = min(one for one in found if one is not None)
    noise, alone = (_noise(cells, value) for value in (tuning, 0.0))
    return Tuned(tuning, noise, alone, n)


def _tuning(cells: Sequence[TwoPhase], kind: int) -> float | None:
    """λ for means (0) or changes (1), shrunk and within [0, 1]; None where there are none of them."""
    product, square = 0.0, 0.0
    slopes = [(cell, *cell.slopes(weights)) for cell in cells for weights in cell.kinds()[kind]]
    if not slopes:
        return None
    for _, strong, off in slopes:
        product += float((strong * off).sum())
        square += float((off**2).sum())
    if square <= 0 or product <= 0:
        return 0.0
    tuning = product / square
    score = np.zeros(int(max(cell.numbers.max() for cell in cells)) + 1)
    for cell, strong, off in slopes:
        np.add.at(score, cell.numbers, ((strong - tuning * off) * off).sum(axis=1))
    error = float((score**2).sum()) / square**2
    return float(np.clip(tuning * max(0.0, 1 - error / tuning**2), 0.0, 1.0))


def _noise(cells: Sequence[TwoPhase], tuning: float) -> Array:
    """Variance of one strong judgement in means and in changes, over all cells; that of means for both where there are no changes. Shape (2, 3)."""
    found: list[Array] = []
    for kind in (0, 1):
        squares, size = np.zeros(len(STANCES)), 0.0
        for cell in cells:
            for weights in cell.kinds()[kind]:
                added, unit = cell.squares(weights, tuning)
                squares, size = squares + added, size + unit
        found.append(squares / size if size > 0 else found[0])
    return np.stack(found)

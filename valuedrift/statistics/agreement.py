"""How far judges, or people, agree on the same answers: Cohen's κ of each pair, Krippendorff's α of all.

Intervals are percentiles of a bootstrap over prompts: all answers to a prompt are drawn together, for all judges at once. There is none where they
rest on one prompt, or on one or two answers that are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valuedrift.statistics import Array
from valuedrift.statistics.bootstrap import alike, weight_chunks
from valuedrift.statistics.intervals import Estimate

MISSING = -1
"""Code of an answer that a judge has no verdict on."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two judges."""

    judge_a: str
    judge_b: str
    n: int
    """Answers that both gave a verdict on."""
    agreement: Estimate
    """Share of them with the same verdict, in [0, 1]."""
    kappa: Estimate
    """Cohen's κ, in [−1, 1]; NaN where both gave one and the same verdict throughout."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """All judges."""

    pairs: tuple[PairAgreement, ...]
    alpha: Estimate
    """Krippendorff's α for nominal data, at most 1; answers that a judge lacks enter with the others' verdicts."""
    n: int
    """Answers with two verdicts or more: what α rests on."""
    lacking: int
    """Answers that some judge, but not every one, has a verdict on."""

    def flat(self) -> dict[str, Any]:
        """One JSON-able object."""
        pairs = [
            {"a": pair.judge_a, "b": pair.judge_b, "n": pair.n, **pair.agreement.flat("agreement"), **pair.kappa.flat("kappa")}
            for pair in self.pairs
        ]
        return {"n": self.n, "lacking": self.lacking, **self.alpha.flat("alpha"), "pairs": pairs}


def coded_agreement(
    codes: NDArray[Any],
    prompts: NDArray[Any],
    judges: Sequence[str],
    categories: int,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Measure how far judges, or people, agree on verdicts of any kind.

    Args:
        codes: Category numbers, ``MISSING`` where there is no verdict. Shape (answers, judges).
        prompts: Number of each answer's prompt, from 0 without gaps. Shape (answers,).
        judges: Their names.
        categories: How many there are.
        confidence: Level of the intervals.
        resamples: Draws of the bootstrap.
        seed: Of the bootstrap.
    """
    clusters = prompts.astype(np.int64)
    count = int(clusters.max()) + 1 if len(clusters) else 0
    weights = _weights(count, resamples, seed)
    level = (1 - confidence) / 2

    def estimate(values: Array, rows: NDArray[Any]) -> Estimate:
        drawn = values[1:][np.isfinite(values[1:])]
        known = np.isfinite(values[0]) and len(drawn) and not alike(values[0], drawn, clusters[rows])
        low, high = np.quantile(drawn, [level, 1 - level]) if known else (np.nan, np.nan)
        return Estimate(float(values[0]), float(low), float(high))

    pairs = []
    for a, b in combinations(range(len(judges)), 2):
        both = (codes[:, a] != MISSING) & (codes[:, b] != MISSING)
        tables = _summed(contingency(codes[both][:, [a, b]], categories), clusters[both], count, weights)
        shared, kappa = cohen_kappa(tables)
        pairs.append(PairAgreement(judges[a], judges[b], int(both.sum()), estimate(shared, both), estimate(kappa, both)))
    given = (codes != MISSING).sum(axis=1)
    alpha = krippendorff_alpha(_summed(coincidences(codes, categories), clusters, count, weights))
    lacking = int(((given > 0) & (given < len(judges))).sum())
    return Agreement(tuple(pairs), estimate(alpha, given > 1), int((given > 1).sum()), lacking)


def agreement_words(found: Agreement) -> list[str]:
    """Agreement of each pair of judges or labellers, a line each, and of all."""
    lines = [
        f"{pair.judge_a} and {pair.judge_b}: same verdict on {pair.agreement.value:.0%} of {pair.n} answers, κ {pair.kappa}"
        for pair in found.pairs
        if pair.n
    ]
    return [*lines, *([f"Krippendorff's α {found.alpha} over {found.n} answers"] if found.n else [])]


def contingency(codes: NDArray[Any], categories: int) -> Array:
    """Who said what, answer by answer.

    Args:
        codes: Category numbers of two judges. Shape (answers, 2).
        categories: How many there are.

    Returns:
        Zeros and a single one each. Shape (answers, categories, categories).
    """
    tables = np.zeros((len(codes), categories, categories))
    tables[np.arange(len(codes)), codes[:, 0], codes[:, 1]] = 1.0
    return tables


def cohen_kappa(tables: Array) -> tuple[Array, Array]:
    """Agreement and Cohen's κ (Cohen 1960).

    Args:
        tables: Contingency tables. Shape (…, categories, categories).

    Returns:
        Share of equal verdicts, and κ, NaN where chance alone gives perfect agreement or nothing was judged. Shape (…) each.
    """
    total = tables.sum((-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.trace(tables, axis1=-2, axis2=-1) / total
        chance = (tables.sum(-1) * tables.sum(-2)).sum(-1) / total**2
        return shared, np.where(chance < 1, (shared - chance) / (1 - chance), np.nan)


def coincidences(codes: NDArray[Any], categories: int) -> Array:
    """Coincidence matrix of each answer (Krippendorff 2011): every ordered pair of its verdicts, weighted by 1 / (verdicts − 1).

    Args:
        codes: Category numbers, ``MISSING`` where a judge has none. Shape (answers, judges).
        categories: How many there are.

    Returns:
        Shape (answers, categories, categories); zeros for answers with fewer than two verdicts.
    """
    counts = np.stack([(codes == category).sum(axis=1) for category in range(categories)], axis=1).astype(np.float64)
    verdicts = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(categories)
    return np.asarray(pairs * np.where(verdicts > 1, 1.0 / np.maximum(verdicts - 1, 1), 0.0)[:, None, None])


def krippendorff_alpha(coincidence: Array) -> Array:
    """Krippendorff's α for nominal data.

    Args:
        coincidence: Sums of coincidence matrices. Shape (…, categories, categories).

    Returns:
        1 − observed / expected disagreement; NaN where there is one verdict only or none. Shape (…).
    """
    values = coincidence.sum(-1)
    total = values.sum(-1)
    observed = total - np.trace(coincidence, axis1=-2, axis2=-1)
    expected = total**2 - (values**2).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1.0 - (total - 1) * observed / expected, np.nan)


def _weights(prompts: int, resamples: int, seed: int) -> Array:
    """How often each prompt counts: once in the first column, as drawn with replacement in the others. Shape (prompts, 1 + resamples)."""
    if not prompts:
        return np.zeros((0, 1 + resamples))
    return np.concatenate([np.ones((prompts, 1)), *weight_chunks(prompts, resamples, seed, ("agreement",))], axis=1)


def _summed(tables: Array, clusters: NDArray[Any], prompts: int, weights: Array) -> Array:
    """Tables of answers summed over the prompts of each draw. Shape (1 + resamples, categories, categories)."""
    categories = tables.shape[-1]
    by_prompt = np.zeros((prompts, categories * categories))
    np.add.at(by_prompt, clusters, tables.reshape(len(tables), categories * categories))
    return np.asarray((weights.T @ by_prompt).reshape(-1, categories, categories))

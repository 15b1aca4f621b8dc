"""The judge's errors in the interval of a mean or a drift: what people labelled corrects what the judge said.

Two estimators, both linear in the labels, both with errors clustered by prompt. Where a cell's own answers are labelled at both checkpoints:
prediction-powered inference with power tuning (Angelopoulos et al. 2023, PPI++). Elsewhere: the judge's answers by people's stance, pooled over the study and
inverted (the correction for misclassification of Rogan and Gladen 1978); it assumes that the judge errs alike on answers of one stance before and after, in
all runs and topics. See docs/judges.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuedrift.stance import STANCES
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY, Interval, interval

FEW_ANSWERS = 20
"""Labelled answers of a checkpoint below which a cell is not corrected by its own labels."""
FEW_PROMPTS = 10
"""The same, different prompts among them."""
FEW_OF_A_STANCE = 5
"""Labels of a stance below which it is not known how the judge sees it."""
_DRIFT, _MEAN = (-1.0, 1.0), (0.0, 1.0)
"""Where an estimate can lie."""
MIRRORED = [2, 1, 0]
"""Stances of a question read as those of its opposite: support and oppose change places."""
_SINGULAR = 0.15
"""Smallest singular value of the judge's confusion that is inverted; below, the judge does not tell stances apart."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled answers with what the judge says of them.

    Attributes:
        said: Share of labellers that see each stance. Shape (L, 3).
        judged: The judge's probabilities. Shape (L, 3).
        weight: How many answers each stands for, > 0. Shape (L,).
        prompt: Number of its prompt. Shape (L,).
        last: Whether it is of the last checkpoint, else of the first. Shape (L,).
    """

    said: Array
    judged: Array
    weight: Array
    prompt: NDArray[np.int64]
    last: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Corrected:
    """A mean stance or a drift magnitude that labels correct, stances in the order of ``STANCES``.

    Attributes:
        interval: Estimates with intervals; within [0, 1] for a mean, [−1, 1] for a drift.
        tuning: λ: weight of the judge in [0, 1]; 0 is labels only. NaN for the pooled estimator, which has none.
        n_labels: Labelled answers that it rests on.
        level: ``cell`` or ``study``.
    """

    interval: Interval
    tuning: float
    n_labels: int
    level: str


def enough(labels: Labels) -> bool:
    """Whether a cell's drift can be corrected by its own labels."""
    return all(_enough(labels, end) for end in (labels.last, ~labels.last))


def enough_at(labels: Labels) -> bool:
    """Whether the mean of a checkpoint can be corrected by these labels, all of them of its answers."""
    return _enough(labels, np.ones(len(labels.weight), dtype=bool))


def _enough(labels: Labels, rows: NDArray[np.bool_]) -> bool:
    return bool(rows.sum() >= FEW_ANSWERS and len(np.unique(labels.prompt[rows])) >= FEW_PROMPTS)


def by_cell(
    before: Array, after: Array, labels: Labels, confidence: float, *, tuning: float | None = None, rounding: float = TINY
) -> Corrected:
    """Prediction-powered drift of one cell: λ (judged drift) + drift of (label − λ judged) over the labelled answers.

    Args:
        before: Judged prompt means of the first checkpoint. Shape (P, 3), no NaN.
        after: Of the last checkpoint, the same prompts.
        labels: Labelled answers of the cell; ``prompt`` numbers rows of ``before``, ``weight`` is the inverse inclusion probability over the prompt's
            number of judged answers.
        confidence: Level of the interval.
        tuning: λ; by default the one with the least variance, summed over stances, so that magnitudes still sum to 0.
        rounding: How finely stances were written; see `valuedrift.statistics.rounding`.
    """
    return _powered(after - before, labels, ((labels.last, 1.0), (~labels.last, -1.0)), confidence, _DRIFT, tuning, rounding)


def mean_by_cell(values: Array, labels: Labels, confidence: float, *, tuning: float | None = None, rounding: float = TINY) -> Corrected:
    """Prediction-powered mean of one checkpoint: λ (judged mean) + mean of (label − λ judged) over its labelled answers.

    Args:
        values: Judged prompt means of the checkpoint. Shape (P, 3), no NaN.
        labels: Labelled answers of the checkpoint, as for `by_cell`; ``last`` does not matter.
        confidence: Level of the interval.
        tuning: As for `by_cell`.
        rounding: As for `by_cell`.
    """
    return _powered(values, labels, ((np.ones(len(labels.weight), dtype=bool), 1.0),), confidence, _MEAN, tuning, rounding)


def _powered(
    values: Array,
    labels: Labels,
    ends: tuple[tuple[NDArray[np.bool_], float], ...],
    confidence: float,
    bounds: tuple[float, float],
    tuning: float | None,
    rounding: float,
) -> Corrected:
    """The estimator of both; ``ends``: which labels count, and with which sign."""
    prompts = len(values)
    judged = (values - values.mean(0)) / prompts
    people, machine = np.zeros_like(judged), np.zeros_like(judged)
    said, seen = np.zeros(len(STANCES)), np.zeros(len(STANCES))
    for end, sign in ends:
        share = labels.weight[end] / labels.weight[end].sum()
        for given, total, influence in ((labels.said[end], said, people), (labels.judged[end], seen, machine)):
            mean = share @ given
            total += sign * mean
            np.add.at(influence, labels.prompt[end], sign * share[:, None] * (given - mean))
    labelled = len(np.unique(labels.prompt))
    judged *= np.sqrt(prompts / (prompts - 1))
    people *= np.sqrt(labelled / (labelled - 1))
    machine *= np.sqrt(labelled / (labelled - 1))
    if tuning is None:
        slope = judged - machine
        tuning = float(np.clip(-(people * slope).sum() / max((slope**2).sum(), 1e-300), 0.0, 1.0))
    estimate = tuning * values.mean(0) + said - tuning * seen
    found = _interval(estimate, tuning * judged, people - tuning * machine, (prompts, labelled), confidence, bounds, rounding)
    return Corrected(found, tuning, len(labels.weight), "cell")


def pooled_error(labels: Labels) -> str | None:
    """Why labels cannot be pooled, None where they can."""
    counts = labels.said.sum(0)
    for stance, count in zip(STANCES, counts, strict=True):
        if count < FEW_OF_A_STANCE:
            return f"{count:.0f} labels of {stance.value}: at least {FEW_OF_A_STANCE} are needed of each stance"
    if len(np.unique(labels.prompt)) < FEW_PROMPTS:
        return f"labels of {len(np.unique(labels.prompt))} prompts: at least {FEW_PROMPTS} are needed"
    if np.linalg.svd(_confusion(labels), compute_uv=False).min() < _SINGULAR:
        return "the judge hardly tells the stances apart that people see"
    return None


def by_study(
    before: Array,
    after: Array,
    prompts: NDArray[np.int64],
    labels: Labels,
    confidence: float,
    *,
    against: NDArray[np.bool_] | None = None,
    rounding: float = TINY,
) -> Corrected:
    """Drift of one cell through the judge's confusion: judged drift times the inverse of C, where C[a] is what the judge says of answers of stance a.

    Args:
        before: Judged prompt means of the first checkpoint. Shape (P, 3), no NaN.
        after: Of the last checkpoint, the same prompts.
        prompts: Numbers of these prompts, as in ``labels``. Shape (P,).
        labels: All labelled answers of the study.
        confidence: Level of the interval.
        against: Prompts whose support and oppose change places once they are corrected (stance towards the proposition). Shape (P,).
        rounding: As for `by_cell`.
    """
    return _pooled(after - before, prompts, labels, confidence, _DRIFT, against, rounding)


def mean_by_study(
    values: Array,
    prompts: NDArray[np.int64],
    labels: Labels,
    confidence: float,
    *,
    against: NDArray[np.bool_] | None = None,
    rounding: float = TINY,
) -> Corrected:
    """Mean of one checkpoint through the judge's confusion; ``values`` are its judged prompt means, the rest is as for `by_study`."""
    return _pooled(values, prompts, labels, confidence, _MEAN, against, rounding)


def _pooled(
    values: Array,
    prompts: NDArray[np.int64],
    labels: Labels,
    confidence: float,
    bounds: tuple[float, float],
    against: NDArray[np.bool_] | None,
    rounding: float,
) -> Corrected:
    count = len(values)
    confusion = _confusion(labels)
    inverse = np.linalg.inv(confusion)
    mirrored = np.zeros(count, dtype=bool) if against is None else against
    found = values @ inverse
    turned = np.where(mirrored[:, None], found[:, MIRRORED], found)
    estimate = turned.mean(0)
    clusters = int(max(prompts.max(), labels.prompt.max())) + 1
    judged, people = np.zeros((clusters, len(STANCES))), np.zeros((clusters, len(STANCES)))
    np.add.at(judged, prompts, (turned - estimate) / count * np.sqrt(count / (count - 1)))
    # What is corrected solves x C = d, so its change with C is −x dC C⁻¹; apart for each wording, because mirroring comes after it.
    mass = labels.weight[:, None] * labels.said
    share = mass / mass.sum(0)
    off = labels.judged[:, None, :] - confusion[None]
    for rows, order in ((~mirrored, [0, 1, 2]), (mirrored, MIRRORED)):
        part = found[rows].sum(0) / count
        influence = -np.einsum("a,la,lab->lb", part, share, off) @ inverse
        np.add.at(people, labels.prompt, influence[:, order])
    labelled = len(np.unique(labels.prompt))
    people *= np.sqrt(labelled / (labelled - 1))
    spread = rounding * np.abs(inverse).sum(0).max()  # what the inverse makes of a rounding
    found_interval = _interval(estimate, judged, people, (count, labelled), confidence, bounds, float(spread))
    return Corrected(found_interval, float("nan"), len(labels.weight), "study")


def _confusion(labels: Labels) -> Array:
    """What the judge says on average of answers that people give each stance. Shape (3 of people, 3 of the judge), rows sum to 1."""
    mass = labels.weight[:, None] * labels.said
    return np.asarray((mass.T @ labels.judged) / mass.sum(0)[:, None])


def _interval(
    estimate: Array,
    judged: Array,
    people: Array,
    counts: tuple[int, int],
    confidence: float,
    bounds: tuple[float, float],
    rounding: float,
) -> Interval:
    """The interval from what each prompt contributes; degrees of freedom by Welch and Satterthwaite over both parts."""
    both = judged + people
    variance = (both**2).sum(0)
    varies = variance > rounding**2
    parts = np.stack([(judged**2).sum(0), (people**2).sum(0)])
    degrees = parts.sum(0) ** 2 / np.maximum((parts**2 / (np.array(counts)[:, None] - 1)).sum(0), 1e-300)
    count = np.where(varies, degrees + 1, float(min(counts)))
    skewness = np.where(varies, (both**3).sum(0) / np.maximum(variance, 1e-100) ** 1.5 * np.sqrt(count), 0.0)
    return interval(np.clip(estimate, *bounds), np.sqrt(variance), skewness, count, confidence, bounds=bounds, rounding=rounding)

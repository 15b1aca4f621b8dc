"""A judge against people's labels: how often it is right, how far it agrees beyond chance, and whether its probabilities mean what they say.

Every figure has a 95% percentile interval from a bootstrap over prompts; see :mod:`valuedrift.judges.quality.resampled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from valuedrift.judges.base import Judgement
from valuedrift.judges.calibrated import LEAST_P
from valuedrift.judges.quality.resampled import (
    ANSWERS,
    GOLD_LABELS,
    Array,
    Figure,
    Resampled,
    accuracy,
    answers_of,
    f1,
    figure,
    flattened,
    grouped,
    kappa,
    probabilities,
    ratio,
    resamples,
)
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.statistics.bootstrap import TOO_FEW
from valuedrift.words import counted

_BINS = 10


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassFigures(_Part):
    """How one stance, or refusal, is recognised."""

    n: int = Field(description="Rows that people labelled so.")
    precision: Figure = Field(
        description="Share of the judge's answers of this stance that people share, in [0, 1]; 0 where it never gave it."
    )
    recall: Figure = Field(description="Share of people's labels of this stance that the judge found, in [0, 1].")
    f1: Figure = Field(description="Harmonic mean of precision and recall, in [0, 1].")


class CalibrationBin(_Part):
    """Answers of similar confidence: a calibrated judge is right as often as it is confident."""

    low: float = Field(description="Lower edge of the confidence, inclusive.")
    high: float = Field(description="Upper edge, exclusive except for the last bin.")
    n: int = Field(description="Judged rows in the bin.")
    confidence: float = Field(description="Mean probability of the likeliest stance.")
    accuracy: Figure = Field(description="Share of these rows on which it is right.")


class Validation(_Part):
    """Everything that is measured of a judge on labelled answers."""

    n: int = Field(description="Labelled rows.")
    prompts: int = Field(description="Different prompts among them: the units of the bootstrap.")
    judged: int = Field(description="Rows with status ok.")
    accuracy: Figure = Field(
        description="Share of all rows on which the judge's likeliest answer is the label; an unjudged row is a wrong one."
    )
    macro_f1: Figure = Field(description="Mean F1 of those stances that occur among the labels, unjudged rows counted as missed.")
    kappa: Figure = Field(description="Cohen's κ between judge and labels, in [−1, 1]; 0 is chance.")
    classes: dict[str, ClassFigures] = Field(
        description="Per label, in the order support, neutral, oppose, refused; those that occur among the labels."
    )
    confusion: dict[str, dict[str, int]] = Field(description="Rows by label, then by the judge's answer.")
    brier: Figure = Field(
        description="Mean squared distance of p from the label's corner, over rows with a stance and status ok; 0 best, 2 worst."
    )
    log_loss: Figure = Field(description="Mean −log p of the label in nats, over the same rows; p is at least 1e-6.")
    calibration_error: Figure = Field(description="Expected calibration error over ten bins of confidence, in [0, 1].")
    calibration: list[CalibrationBin] = Field(description="The calibration curve; bins without rows are left out.")

    @property
    def notes(self) -> list[str]:
        """What to know of figures without an interval, or without a value."""
        own = [self.accuracy, self.macro_f1, self.kappa, self.brier, self.log_loss, self.calibration_error]
        of_classes = [figure for one in self.classes.values() for figure in (one.precision, one.recall, one.f1)]
        figures = [*own, *of_classes, *(one.accuracy for one in self.calibration)]
        lacking = sum(figure.value is not None and figure.low is None for figure in figures)
        notes = []
        if lacking:
            notes.append(
                f"{lacking} of {len(figures)} figures ({counted(self.n, 'answer')} to {counted(self.prompts, 'prompt')} in all) "
                f"have no interval, each because {TOO_FEW}"
            )
        if any(figure.value is None for figure in figures):
            notes.append("no labelled stance was judged: Brier score, log loss and calibration error are not measured")
        return notes

    def flat(self, name: str, data: str) -> dict[str, Any]:
        """One JSON-able object, intervals beside their figure as ``<figure>_low`` and ``<figure>_high``.

        Args:
            name: Name of the judge.
            data: What it was measured on, in a few words.
        """
        values = self.model_dump(exclude={"classes"})
        values["per_class"] = {stance: flattened(figures.model_dump()) for stance, figures in self.classes.items()}
        values["calibration"] = [flattened(one.model_dump()) for one in self.calibration]
        return {"name": name, "data": data, **flattened(values)}


def validate(
    judgements: Sequence[Judgement],
    labels: Sequence[str],
    prompts: Sequence[str],
    *,
    row_weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Validation:
    """Compare a judge with labels.

    Args:
        judgements: The judge's, one a row.
        labels: Of people: support, neutral, oppose or refused.
        prompts: The prompt of each row; rows with equal prompts are resampled together.
        row_weights: How much a row counts in the figures, e.g. how many answers it stands for; 1 by default. Counts (n, confusion) are of rows as they are.
        seed: Seed of the bootstrap.

    Raises:
        DataError: There are no rows, or a label is none of these.
    """
    data = Resampled(labels, prompts, row_weights=row_weights, seed=seed)
    gold, groups, weights = data.gold, data.groups, data.weights
    answer = answers_of(judgements)
    confusion = data.confusion(answer)
    counts = np.zeros((len(GOLD_LABELS), len(ANSWERS)), dtype=int)
    np.add.at(counts, (gold, answer), 1)
    labelled = [index for index in range(len(GOLD_LABELS)) if (gold == index).any()]
    judged = np.array([judgement.status is JudgeStatus.OK for judgement in judgements]) & (gold < len(STANCES))
    scores = _calibration([j for j, ok in zip(judgements, judged, strict=True) if ok], gold[judged], weights[:, judged], groups[judged])
    return Validation(
        n=len(labels),
        prompts=data.prompts,
        judged=sum(judgement.status is JudgeStatus.OK for judgement in judgements),
        accuracy=figure(accuracy(confusion), groups),
        macro_f1=figure(data.macro_f1(confusion), groups),
        kappa=figure(kappa(confusion), groups),
        classes={GOLD_LABELS[index]: _class_figures(confusion, index, groups, gold == index, answer == index) for index in labelled},
        confusion={GOLD_LABELS[index]: dict(zip(ANSWERS, counts[index].tolist(), strict=True)) for index in labelled},
        brier=scores.brier,
        log_loss=scores.log_loss,
        calibration_error=scores.error,
        calibration=scores.curve,
    )


def mean_figure(values: Array, prompts: Sequence[str], row_weights: Array, *, seed: int = 0) -> Figure:
    """A weighted mean over rows with the interval of the same bootstrap over prompts.

    Args:
        values: One a row.
        prompts: The prompt of each row.
        row_weights: How much each row counts.
        seed: Seed of the bootstrap.
    """
    groups, count = grouped(prompts)
    weights = resamples(count, seed)[:, groups] * row_weights
    return figure(ratio(weights @ values, weights.sum(1)), groups)


def _class_figures(
    confusion: Array, index: int, groups: NDArray[Any], labelled_so: NDArray[np.bool_], given_so: NDArray[np.bool_]
) -> ClassFigures:
    hits, given, labelled = confusion[:, index, index], confusion[:, :, index].sum(1), confusion[:, index].sum(1)
    precision, recall = ratio(hits, given), ratio(hits, labelled)
    return ClassFigures(
        n=int(labelled_so.sum()),
        precision=figure(precision, groups[given_so]),
        recall=figure(recall, groups[labelled_so]),
        f1=figure(f1(confusion, index), groups[labelled_so | given_so]),
    )


class _Scores(NamedTuple):
    brier: Figure
    log_loss: Figure
    error: Figure
    curve: list[CalibrationBin]


def _calibration(judgements: Sequence[Judgement], gold: NDArray[Any], weights: Array, groups: NDArray[Any]) -> _Scores:
    """Brier score, log loss, expected calibration error (Naeini et al. 2015) and the curve."""
    if not judgements:
        nothing = Figure(value=None, low=None, high=None)
        return _Scores(nothing, nothing, nothing, [])
    p = np.array([probabilities(judgement) for judgement in judgements])
    right = (p.argmax(1) == gold).astype(np.float64)
    confidence = p.max(1)
    distance = ((p - np.eye(len(STANCES))[gold]) ** 2).sum(1)
    loss = -np.log(np.maximum(p[np.arange(len(p)), gold], LEAST_P))
    rows = weights.sum(1)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.zeros(len(weights))
    curve = []
    for number in np.unique(bins):
        inside = bins == number
        size = weights[:, inside].sum(1)
        accuracy = ratio(weights[:, inside] @ right[inside], size)
        mean = ratio(weights[:, inside] @ confidence[inside], size)
        gaps += np.abs(accuracy - mean) * ratio(size, rows)
        curve.append(
            CalibrationBin(
                low=number / _BINS,
                high=(number + 1) / _BINS,
                n=int(inside.sum()),
                confidence=float(mean[0]),
                accuracy=figure(np.concatenate([accuracy[:1], accuracy[1:][size[1:] > 0]]), groups[inside]),
            )
        )
    brier, log_loss = ratio(weights @ distance, rows), ratio(weights @ loss, rows)
    return _Scores(figure(brier, groups), figure(log_loss, groups), figure(gaps, groups), curve)

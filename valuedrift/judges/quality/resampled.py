"""Judges' answers beside people's labels, and the same data resampled by prompts: what every figure of a judge is made of.

Answers to one prompt are drawn together, because they are not independent. What rests on one prompt, or on one or two answers that are alike, has no
interval: every resample gives the same, and this is no sign of precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import DataError
from valuedrift.judges.base import Judgement
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.statistics.agreement import cohen_kappa
from valuedrift.statistics.bootstrap import alike, multinomial_weights

GOLD_LABELS: tuple[str, ...] = (*(stance.value for stance in STANCES), JudgeStatus.REFUSED.value)
"""What people may have labelled: the three stances, or refused."""
ANSWERS: tuple[str, ...] = (*GOLD_LABELS, "unjudged")
"""What the judge may have answered; unjudged is status unparsed or failed."""
_RESAMPLES = 2000
_LEVEL = 0.95

Array = NDArray[np.float64]


class Figure(BaseModel):
    """An estimate with its 95% interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None = Field(description="Estimate on all rows; null where there are none.")
    low: float | None = Field(
        description="Lower end, 2.5% of the resamples; null where it rests on one prompt, or on one or two answers that are alike."
    )
    high: float | None = Field(description="Upper end, 97.5% of the resamples; null with the lower one.")


class Resampled:
    """Labelled answers, as they are and resampled; every array of figures has the data as they are first, then the resamples.

    Args:
        labels: Of people: support, neutral, oppose or refused.
        prompts: The prompt of each row; rows with equal prompts are resampled together.
        row_weights: How much a row counts, e.g. how many answers it stands for; 1 by default.
        seed: Seed of the bootstrap.

    Raises:
        DataError: There are no rows, or a label is none of these.
    """

    def __init__(self, labels: Sequence[str], prompts: Sequence[str], *, row_weights: Sequence[float] | None = None, seed: int = 0) -> None:
        unknown = sorted(set(labels) - set(GOLD_LABELS))
        if unknown:
            raise DataError(f"unknown stance {unknown[0]!r}", where="column stance", fix=f"one of {', '.join(GOLD_LABELS)}")
        if not labels:
            raise DataError("no labelled rows to validate on")
        self.gold = np.array([GOLD_LABELS.index(label) for label in labels])
        self.groups, self.prompts = grouped(prompts)
        weights = resamples(self.prompts, seed)[:, self.groups]
        if row_weights is not None:
            weights = weights * (np.asarray(row_weights) / np.mean(row_weights))
        self.weights = weights
        """Shape (1 + resamples, rows)."""
        self.present = [index for index in range(len(STANCES)) if (self.gold == index).any()]
        """Stances that occur among the labels."""

    def confusion(self, answer: NDArray[np.int64]) -> Array:
        """Weighted rows by label and answer.

        Args:
            answer: Numbers into ``ANSWERS``. Shape (rows,).

        Returns:
            Shape (1 + resamples, labels, answers).
        """
        pairs = [self.weights @ ((self.gold == g) & (answer == a)) for g in range(len(GOLD_LABELS)) for a in range(len(ANSWERS))]
        return np.stack(pairs, axis=1).reshape(len(self.weights), len(GOLD_LABELS), len(ANSWERS))

    def macro_f1(self, confusion: Array) -> Array:
        """Mean F1 of those stances that occur among the labels, unjudged rows counted as missed."""
        return np.mean([f1(confusion, index) for index in self.present], axis=0) if self.present else np.zeros(len(self.weights))


def answers_of(judgements: Sequence[Judgement]) -> NDArray[np.int64]:
    """What a judge answered, as numbers into ``ANSWERS``: its likeliest stance, refused, or unjudged."""
    return np.array([_answer(judgement) for judgement in judgements])


def accuracy(confusion: Array) -> Array:
    """Share of all rows on which the likeliest answer is the label; an unjudged row is a wrong one."""
    return np.asarray(np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2)))


def f1(confusion: Array, index: int) -> Array:
    """Harmonic mean of precision and recall of one label."""
    hits = confusion[:, index, index]
    return ratio(2 * hits, confusion[:, index, :].sum(1) + confusion[:, :, index].sum(1))


def kappa(confusion: Array) -> Array:
    """Cohen's κ over all labels and answers; 1 where chance alone gives perfect agreement. Nobody labels an answer unjudged: that row is empty."""
    _, found = cohen_kappa(np.pad(confusion, ((0, 0), (0, len(ANSWERS) - len(GOLD_LABELS)), (0, 0))))
    return np.where(np.isnan(found), 1.0, found)


def figure(values: Array, prompts: NDArray[Any]) -> Figure:
    """The figure with its interval.

    Args:
        values: On the data as they are, then on each resample.
        prompts: Number of the prompt of each row that it rests on.
    """
    low, high = np.quantile(values[1:], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    if alike(values[0], values[1:], prompts):
        return Figure(value=float(values[0]), low=None, high=None)
    return Figure(value=float(values[0]), low=float(low), high=float(high))


def ratio(above: Array, below: Array) -> Array:
    """A quotient, 0 where nothing is divided by."""
    return np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 0)


def grouped(prompts: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """The number of each row's prompt, and how many prompts there are."""
    number = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    return np.array([number[prompt] for prompt in prompts], dtype=np.int64), len(number)


def resamples(groups: int, seed: int) -> Array:
    """How often each group counts: once in row 0, as drawn with replacement in the others."""
    drawn = multinomial_weights(np.random.default_rng(seed), groups, _RESAMPLES)
    return np.ascontiguousarray(np.concatenate([np.ones((1, groups)), drawn.T]))


def flattened(values: dict[str, Any]) -> dict[str, Any]:
    """Figures {value, low, high} spread out as KEY, KEY_low, KEY_high; rounded to four digits, which is far below their intervals."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value.keys() == Figure.model_fields.keys():
            flat |= {f"{key}{end}": _rounded(value[name]) for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))}
        else:
            flat[key] = _rounded(value)
    return flat


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def probabilities(judgement: Judgement) -> list[float]:
    """Those of the three stances, in their order."""
    return [float(value) for value in (judgement.p_support, judgement.p_neutral, judgement.p_oppose) if value is not None]


def _answer(judgement: Judgement) -> int:
    if judgement.status is JudgeStatus.OK:
        return int(np.argmax(probabilities(judgement)))
    return ANSWERS.index(JudgeStatus.REFUSED.value if judgement.status is JudgeStatus.REFUSED else "unjudged")

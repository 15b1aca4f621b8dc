"""A judge against people's labels: how often it is right, how far it agrees beyond chance, and whether its probabilities mean what they say.

Every figure has a 95% percentile interval from a bootstrap over prompts: answers to one prompt are drawn together, because they are not independent. What
rests on one prompt, or on one or two answers that are alike, has no interval: every resample gives the same, and this is no sign of precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import DataError
from valuedrift.judges.base import Judgement
from valuedrift.judges.calibrated import LEAST_P
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.statistics.agreement import cohen_kappa
from valuedrift.statistics.bootstrap import TOO_FEW, alike, multinomial_weights
from valuedrift.words import counted

GOLD_LABELS: tuple[str, ...] = (*(stance.value for stance in STANCES), JudgeStatus.REFUSED.value)
"""What people may have labelled: the three stances, or refused."""
ANSWERS: tuple[str, ...] = (*GOLD_LABELS, "unjudged")
"""What the judge may have answered; unjudged is status unparsed or failed."""
_BINS = 10
_RESAMPLES = 2000
_LEVEL = 0.95

Array = NDArray[np.float64]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Part):
    """An estimate with its 95% interval."""

    value: float | None = Field(description="Estimate on all rows; null where there are none.")
    low: float | None = Field(
        description="Lower end, 2.5% of the resamples; null where it rests on one prompt, or on one or two answers that are alike."
    )
    high: float | None = Field(description="Upper end, 97.5% of the resamples; null with the lower one.")


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
        values["per_class"] = {stance: _flattened(figures.model_dump()) for stance, figures in self.classes.items()}
        values["calibration"] = [_flattened(one.model_dump()) for one in self.calibration]
        return {"name": name, "data": data, **_flattened(values)}


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
    unknown = sorted(set(labels) - set(GOLD_LABELS))
    if unknown:
        raise DataError(f"unknown stance {unknown[0]!r}", where="column stance", fix=f"one of {', '.join(GOLD_LABELS)}")
    if not labels:
        raise DataError("no labelled rows to validate on")
    gold = np.array([GOLD_LABELS.index(label) for label in labels])
    answer = np.array([_answer(judgement) for judgement in judgements])
    group_of = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    groups = np.array([group_of[prompt] for prompt in prompts])
    weights = _resamples(len(group_of), seed)[:, groups]  # (1 + resamples, rows); row 0 is the data as they are
    if row_weights is not None:
        weights = weights * (np.asarray(row_weights) / np.mean(row_weights))
    confusion = np.stack([weights @ ((gold == g) & (answer == a)) for g in range(len(GOLD_LABELS)) for a in range(len(ANSWERS))], axis=1)
    confusion = confusion.reshape(len(weights), len(GOLD_LABELS), len(ANSWERS))
    counts = np.zeros((len(GOLD_LABELS), len(ANSWERS)), dtype=int)
    np.add.at(counts, (gold, answer), 1)
    labelled = [index for index in range(len(GOLD_LABELS)) if (gold == index).any()]
    present = [index for index in range(len(STANCES)) if (gold == index).any()]
    f1 = [_f1(confusion, index) for index in present]
    judged = np.array([judgement.status is JudgeStatus.OK for judgement in judgements]) & (gold < len(STANCES))
    scores = _calibration([j for j, ok in zip(judgements, judged, strict=True) if ok], gold[judged], weights[:, judged], groups[judged])
    return Validation(
        n=len(labels),
        prompts=len(group_of),
        judged=sum(judgement.status is JudgeStatus.OK for judgement in judgements),
        accuracy=_figure(np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2)), groups),
        macro_f1=_figure(np.mean(f1, axis=0) if f1 else np.zeros(len(weights)), groups),
        kappa=_figure(_kappa(confusion), groups),
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
    group_of = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    groups = np.array([group_of[prompt] for prompt in prompts])
    weights = _resamples(len(group_of), seed)[:, groups] * row_weights
    return _figure(_ratio(weights @ values, weights.sum(1)), groups)


def _flattened(values: dict[str, Any]) -> dict[str, Any]:
    """Figures {value, low, high} spread out; rounded to four digits, which is far below their intervals."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value.keys() == Figure.model_fields.keys():
            flat |= {f"{key}{end}": _rounded(value[name]) for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))}
        else:
            flat[key] = _rounded(value)
    return flat


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _answer(judgement: Judgement) -> int:
    if judgement.status is JudgeStatus.OK:
        return int(np.argmax(_probabilities(judgement)))
    return ANSWERS.index(JudgeStatus.REFUSED.value if judgement.status is JudgeStatus.REFUSED else "unjudged")


def _probabilities(judgement: Judgement) -> list[float]:
    return [float(value) for value in (judgement.p_support, judgement.p_neutral, judgement.p_oppose) if value is not None]


def _resamples(groups: int, seed: int) -> Array:
    """How often each group counts: once in row 0, as drawn with replacement in the others."""
    drawn = multinomial_weights(np.random.default_rng(seed), groups, _RESAMPLES)
    return np.ascontiguousarray(np.concatenate([np.ones((1, groups)), drawn.T]))


def _figure(values: Array, prompts: NDArray[Any]) -> Figure:
    """The figure with its interval.

    Args:
        values: On the data as they are, then on each resample.
        prompts: Number of the prompt of each row that it rests on.
    """
    low, high = np.quantile(values[1:], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    if alike(values[0], values[1:], prompts):
        return Figure(value=float(values[0]), low=None, high=None)
    return Figure(value=float(values[0]), low=float(low), high=float(high))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 0)


def _f1(confusion: Array, index: int) -> Array:
    hits = confusion[:, index, index]
    return _ratio(2 * hits, confusion[:, index, :].sum(1) + confusion[:, :, index].sum(1))


def _kappa(confusion: Array) -> Array:
    """Cohen's κ over all labels and answers; 1 where chance alone gives perfect agreement. Nobody labels an answer unjudged: that row is empty."""
    _, kappa = cohen_kappa(np.pad(confusion, ((0, 0), (0, len(ANSWERS) - len(GOLD_LABELS)), (0, 0))))
    return np.where(np.isnan(kappa), 1.0, kappa)


def _class_figures(
    confusion: Array, index: int, groups: NDArray[Any], labelled_so: NDArray[np.bool_], given_so: NDArray[np.bool_]
) -> ClassFigures:
    hits, given, labelled = confusion[:, index, index], confusion[:, :, index].sum(1), confusion[:, index].sum(1)
    precision, recall = _ratio(hits, given), _ratio(hits, labelled)
    return ClassFigures(
        n=int(labelled_so.sum()),
        precision=_figure(precision, groups[given_so]),
        recall=_figure(recall, groups[labelled_so]),
        f1=_figure(_f1(confusion, index), groups[labelled_so | given_so]),
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
    p = np.array([_probabilities(judgement) for judgement in judgements])
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
        accuracy = _ratio(weights[:, inside] @ right[inside], size)
        mean = _ratio(weights[:, inside] @ confidence[inside], size)
        gaps += np.abs(accuracy - mean) * _ratio(size, rows)
        curve.append(
            CalibrationBin(
                low=number / _BINS,
                high=(number + 1) / _BINS,
                n=int(inside.sum()),
                confidence=float(mean[0]),
                accuracy=_figure(np.concatenate([accuracy[:1], accuracy[1:][size[1:] > 0]]), groups[inside]),
            )
        )
    brier, log_loss = _ratio(weights @ distance, rows), _ratio(weights @ loss, rows)
    return _Scores(_figure(brier, groups), _figure(log_loss, groups), _figure(gaps, groups), curve)

"""How much a calibration helps, measured on answers that it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import DataError
from valuedrift.fingerprint import seed_from
from valuedrift.judges.base import Judgement
from valuedrift.judges.calibrated import LEAST_P, Calibration, asked_marks, calibrated, probabilities
from valuedrift.judges.quality.resampled import Figure
from valuedrift.judges.quality.scaling import FEW_LABELS, FEW_OF_A_STANCE, Array, fit_calibration
from valuedrift.judges.quality.validation import Validation, mean_figure, validate
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.statistics.bootstrap import TOO_FEW

FOLDS = 10
_FIGURES = ("accuracy", "brier", "log_loss", "calibration_error")


class Calibrating(BaseModel):
    """A calibration with what it does to the judge, out of sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibration: Calibration = Field(description="Fitted on all labelled answers.")
    before: Validation = Field(description="The judge as it is, on the labelled answers.")
    after: Validation = Field(description="Each answer calibrated by a fit on the other folds; folds are whole prompts.")
    brier_change: Figure = Field(description="Brier score after minus before, paired: negative is better.")
    log_loss_change: Figure = Field(description="Log loss after minus before, paired, in nats: negative is better.")
    folds: int = Field(description="Folds of the cross-validation.")
    left_out: int = Field(description="Labelled answers that could not be used: refused, or not judged.")

    @property
    def notes(self) -> list[str]:
        """What to know before using it."""
        notes = []
        if self.calibration.method == "temperature":
            notes.append(
                f"temperature alone: biases need {FEW_LABELS} labelled answers and {FEW_OF_A_STANCE} of each stance; "
                f"there are {', '.join(f'{count} {stance}' for stance, count in self.calibration.labels.items())}"
            )
        if self.log_loss_change.high is None:
            notes.append(f"the change of the log loss has no interval: {TOO_FEW}")
        elif self.log_loss_change.high >= 0:
            notes.append("no clear gain: the interval of the change of the log loss contains 0")
        return notes

    def flat(self, data: str) -> dict[str, Any]:
        """One JSON-able object."""
        pairs = {
            name: {"before": _with_interval(getattr(self.before, name)), "after": _with_interval(getattr(self.after, name))}
            for name in _FIGURES
        }
        changes = {"brier_change": _with_interval(self.brier_change), "log_loss_change": _with_interval(self.log_loss_change)}
        return {
            "judge": self.calibration.judge,
            "data": data,
            "n": self.before.n,
            "prompts": self.before.prompts,
            "left_out": self.left_out,
            "folds": self.folds,
            **self.calibration.model_dump(include={"method", "temperature", "bias", "labels"}),
            **pairs,
            **changes,
            "notes": self.notes,
        }


def calibrate(
    judgements: Sequence[Judgement],
    labels: Sequence[str],
    prompts: Sequence[str],
    *,
    judge: str,
    judge_fingerprint: str,
    row_weights: Sequence[float] | None = None,
    texts: Sequence[str] | None = None,
) -> Calibrating:
    """Fit a calibration, and measure by cross-validation over prompts what it is worth.

    Args:
        judgements: The judge's, uncalibrated, one a row.
        labels: Of people; rows that are not labelled with a stance are left out.
        prompts: The prompt of each row.
        judge: Name of the judge.
        judge_fingerprint: Fingerprint of its identity.
        row_weights: How many answers each row stands for.
        texts: Text of the prompt of each row, where ``prompts`` are names of them; the calibration remembers which it was fitted on.

    Raises:
        DataError: Fewer than 10 usable rows, or fewer than 2 prompts or stances among them.
    """
    names = [stance.value for stance in STANCES]
    used = [row for row, one in enumerate(judgements) if one.status is JudgeStatus.OK and labels[row] in names]
    kept, said, asked = [judgements[row] for row in used], [labels[row] for row in used], [prompts[row] for row in used]
    gold = np.array([names.index(label) for label in said], dtype=np.int64)
    folds = folds_of(asked)
    count = int(folds.max()) + 1 if len(folds) else 0
    if len(used) < FOLDS or count < 2 or len(set(said)) < 2:
        raise DataError(
            f"{len(used)} answers with a stance by people and judge, to {len(set(asked))} prompts: too few to calibrate on",
            fix="ten or more, to several prompts and of more than one stance; 100 are a good beginning",
        )
    weights = np.ones(len(used)) if row_weights is None else np.asarray(row_weights, dtype=np.float64)[used]
    p = probabilities(kept)

    def fitted(rows: NDArray[Any]) -> Calibration:
        chosen = [asked[row] for row in np.flatnonzero(rows)]
        return fit_calibration(
            p[rows], gold[rows], prompts=chosen, judge=judge, judge_fingerprint=judge_fingerprint, row_weights=weights[rows]
        )

    after: list[Judgement] = list(kept)
    for fold in range(count):
        held = np.flatnonzero(folds == fold)
        for row, one in zip(held, calibrated([kept[row] for row in held], fitted(folds != fold)), strict=True):
            after[row] = one
    q = probabilities(after)
    fitted_on = asked_marks((prompts if texts is None else texts)[row] for row in used)
    return Calibrating(
        calibration=fitted(np.ones(len(used), dtype=bool)).model_copy(update={"fitted_on": fitted_on}),
        before=validate(kept, said, asked, row_weights=weights.tolist()),
        after=validate(after, said, asked, row_weights=weights.tolist()),
        brier_change=mean_figure(_brier(q, gold) - _brier(p, gold), asked, weights),
        log_loss_change=mean_figure(_loss(q, gold) - _loss(p, gold), asked, weights),
        folds=count,
        left_out=len(judgements) - len(used),
    )


def folds_of(prompts: Sequence[str]) -> NDArray[np.int64]:
    """Fold of each row; a prompt lies in one fold, folds are as equal as prompts allow, and order changes nothing."""
    order = sorted(set(prompts), key=lambda prompt: seed_from("fold", prompt))
    fold = {prompt: place % FOLDS for place, prompt in enumerate(order)}
    return np.array([fold[prompt] for prompt in prompts], dtype=np.int64)


def _brier(p: Array, gold: NDArray[np.int64]) -> Array:
    return np.asarray(((p - np.eye(len(STANCES))[gold]) ** 2).sum(1))


def _loss(p: Array, gold: NDArray[np.int64]) -> Array:
    return np.asarray(-np.log(np.maximum(p[np.arange(len(p)), gold], LEAST_P)))


def _with_interval(figure: Figure) -> list[float | None]:
    """Value, low, high."""
    return [value if value is None else round(value, 4) for value in (figure.value, figure.low, figure.high)]

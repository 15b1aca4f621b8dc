"""Judges beside each other on the same labelled answers: which is better, and whether the difference is more than chance.

Answers to one prompt are resampled together for all judges at once, so that the interval of a difference is that of pairs. McNemar's exact test asks the same
of the answers on which just one of two judges is right; it takes answers for independent, which several answers to one prompt are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import binomtest

from valuedrift.errors import UserError
from valuedrift.judges.base import Judgement
from valuedrift.judges.quality.resampled import Figure, Resampled, accuracy, answers_of, figure, flattened
from valuedrift.judges.quality.validation import Validation, validate
from valuedrift.words import counted


class JudgeDifference(BaseModel):
    """Two judges on the same answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge_a: str = Field(description="Name of the one.")
    judge_b: str = Field(description="Name of the other.")
    accuracy: Figure = Field(description="Accuracy of a minus that of b, in [−1, 1].")
    macro_f1: Figure = Field(description="Macro-F1 of a minus that of b, in [−1, 1].")
    only_a: int = Field(description="Answers on which a alone is right.")
    only_b: int = Field(description="Answers on which b alone is right.")
    mcnemar_p: float = Field(description="Two-sided p of McNemar's exact test, in [0, 1]; 1 where they are right on the same answers.")


class Comparison(BaseModel):
    """Several judges on the same labelled answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judges: dict[str, Validation] = Field(description="Each judge's figures, by its name, in the order given.")
    differences: list[JudgeDifference] = Field(description="Every pair of them, in that order.")

    @property
    def notes(self) -> list[str]:
        """What to know of the figures."""
        first = next(iter(self.judges.values()))
        notes = [f"{name}: {note}" for name, one in self.judges.items() for note in one.notes]
        if first.prompts < first.n:
            some = f"{counted(first.n, 'answer')} to {counted(first.prompts, 'prompt')}"
            notes.append(
                f"McNemar's test takes answers for independent; these are {some}: where it and the interval disagree, trust the interval"
            )
        return notes

    def flat(self, data: str) -> dict[str, Any]:
        """One JSON-able object, intervals beside their figure.

        Args:
            data: What they were measured on, in a few words.
        """
        return {
            "data": data,
            "judges": [one.flat(name, data) for name, one in self.judges.items()],
            "differences": [flattened(one.model_dump()) for one in self.differences],
            "notes": self.notes,
        }


def compare_judges(
    judgements: Mapping[str, Sequence[Judgement]],
    labels: Sequence[str],
    prompts: Sequence[str],
    *,
    row_weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Comparison:
    """Measure judges on the same labelled answers, each and pair by pair.

    Args:
        judgements: Of each judge by its name, one a row.
        labels: Of people: support, neutral, oppose or refused.
        prompts: The prompt of each row; rows with equal prompts are resampled together.
        row_weights: How much a row counts; 1 by default. McNemar's test counts rows as they are.
        seed: Seed of the bootstrap.

    Raises:
        UserError: Fewer than two judges.
        DataError: See :func:`valuedrift.judges.quality.validation.validate`.
    """
    if len(judgements) < 2:
        raise UserError("one judge has nothing to be compared with", where="--judge", fix="name two or more; `judge validate` measures one")
    data = Resampled(labels, prompts, row_weights=row_weights, seed=seed)
    answers = {name: answers_of(given) for name, given in judgements.items()}
    confusions = {name: data.confusion(answer) for name, answer in answers.items()}
    right = {name: answer == data.gold for name, answer in answers.items()}
    differences = []
    for a, b in combinations(judgements, 2):
        only_a, only_b = int((right[a] & ~right[b]).sum()), int((right[b] & ~right[a]).sum())
        told = data.groups[answers[a] != answers[b]]
        differences.append(
            JudgeDifference(
                judge_a=a,
                judge_b=b,
                accuracy=figure(accuracy(confusions[a]) - accuracy(confusions[b]), told),
                macro_f1=figure(data.macro_f1(confusions[a]) - data.macro_f1(confusions[b]), told),
                only_a=only_a,
                only_b=only_b,
                mcnemar_p=float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
            )
        )
    validations = {name: validate(given, labels, prompts, row_weights=row_weights, seed=seed) for name, given in judgements.items()}
    return Comparison(judges=validations, differences=differences)

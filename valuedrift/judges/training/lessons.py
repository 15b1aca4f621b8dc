"""What a teacher said of the user's own answers, parted by whole questions into what a small judge learns from and what it is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import seed_from
from valuedrift.judges.base import Pair
from valuedrift.stance import STANCES, Stance
from valuedrift.words import counted

LEAST_QUESTIONS = 20
"""Questions below which nothing is trained: held-out ones would be too few to say anything of."""
_HELD_OUT = 0.2
_LEAST_HELD_OUT = 5
_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Lesson:
    """An answer, and what the teacher says of it."""

    question: str
    """What is held out as one: the question with all its wordings."""
    prompt: str
    response: str
    stance: tuple[float, float, float]
    """The teacher's probabilities of support, neutral, oppose."""

    @property
    def verdict(self) -> Stance:
        """The stance that is strictly the most probable; ties are neutral."""
        best = max(self.stance)
        return STANCES[self.stance.index(best)] if self.stance.count(best) == 1 else Stance.NEUTRAL

    @property
    def pair(self) -> Pair:
        """What a judge reads."""
        return Pair(self.question, self.prompt, self.response)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Lessons by their questions: what is learnt from and what is held out, each in an order that hangs on the texts alone."""

    seen: tuple[Lesson, ...]
    held_out: tuple[Lesson, ...]

    @classmethod
    def of(cls, lessons: Sequence[Lesson], where: str, left_out: Mapping[str, int] = _NOTHING) -> Lessons:
        """Hold out a fifth of the questions, chosen by a hash of their texts.

        Args:
            lessons: All of them.
            where: What they are of, for messages.
            left_out: Answers without a stance by the teacher, by status.

        Raises:
            UserError: There are too few questions.
            DataError: The teacher says the same of all that would be learnt from.
        """
        questions = sorted({lesson.question for lesson in lessons}, key=lambda question: seed_from("held out", question))
        check_questions(len(questions), where, left_out)
        kept = set(questions[: max(_LEAST_HELD_OUT, round(_HELD_OUT * len(questions)))])
        ordered = sorted(lessons, key=lambda lesson: seed_from(lesson.prompt, lesson.response))
        seen, held_out = (tuple(lesson for lesson in ordered if (lesson.question in kept) is is_kept) for is_kept in (False, True))
        if len({lesson.verdict for lesson in seen}) == 1:
            raise DataError(
                f"the teacher says {seen[0].verdict.value} of all {len(seen)} answers that would be learnt from: there is nothing to tell apart",
                where=where,
                fix="more and other answers, or another teacher: see valuedrift judge validate --judge TEACHER",
            )
        return cls(seen, held_out)

    def __iter__(self) -> Iterator[Lesson]:
        return iter((*self.seen, *self.held_out))

    def counts(self) -> dict[Stance, int]:
        """Answers by the teacher's verdict."""
        verdicts = [lesson.verdict for lesson in self]
        return {stance: verdicts.count(stance) for stance in STANCES}


def check_questions(count: int, where: str, left_out: Mapping[str, int] = _NOTHING) -> None:
    """Refuse answers to fewer questions than :data:`LEAST_QUESTIONS`.

    Args:
        count: Questions that have answers.
        where: What they are of, for messages.
        left_out: Answers without a stance by the teacher, by status; none before it was asked.

    Raises:
        UserError: They are too few.
    """
    if count < LEAST_QUESTIONS:
        without = ", ".join(f"{number:,} {status}" for status, number in left_out.items())
        raise UserError(
            f"answers to {counted(count, 'question')} with a stance{f' (of the others: {without})' if without else ''}: too few to hold some out",
            where=where,
            fix=f"answers to {LEAST_QUESTIONS} questions at least, better 100 (a question and its opposite wording count as one)",
        )

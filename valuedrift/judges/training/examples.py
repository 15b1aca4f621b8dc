"""Labelled pairs, and those that the packaged text holds as written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from valuedrift.judges.training.sources import Answer, Issue, Wording, flipped
from valuedrift.stance import Stance


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled pair; ``group`` is the issue it was made from, ``kind`` how."""

    prompt: str
    response: str
    stance: Stance
    group: str
    kind: str
    signs: tuple[int, int] | None = None
    """Where it is known: whether the prompt speaks for (+1) or against (−1) an action, and whether the response praises (+1) it, blames (−1) it, or
    neither (0)."""


def plain_examples(issues: Iterable[Issue]) -> list[Example]:
    """Every answer under every wording that it fits, as written: nothing drawn, nothing added."""
    return [
        Example(
            prompt=wording.text,
            response=as_written(answer, wording),
            stance=flipped(answer.stance, wording.polarity),
            group=issue.name,
            kind=_kind(answer, wording),
        )
        for issue in issues
        for wording in issue.wordings
        for answer in issue.answers
    ]


def _kind(answer: Answer, wording: Wording) -> str:
    if answer.kind != "plain":
        return answer.kind
    return f"{wording.form}{'' if wording.polarity > 0 else '-reversed'}"


def as_written(answer: Answer, wording: Wording) -> str:
    """An answer without its opener under every wording but the first question, which is the one that the opener fits."""
    first = wording.form == "question" and wording.polarity > 0
    return answer.text if first else answer.text.removeprefix(answer.opener).lstrip()

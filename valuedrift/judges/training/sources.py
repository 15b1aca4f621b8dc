"""The packaged text that the judge learns from, the labelled pairs that it holds as written, and which part is held out (whole questions, both wordings)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, Literal

from valuedrift.fingerprint import fingerprint, seed_from
from valuedrift.stance import Stance
from valuedrift.starter import hard_items, stance_items

_HELD_OUT_EVERY = 6
"""One question in six, four a topic."""
_FLIPPED = {Stance.SUPPORT: Stance.OPPOSE, Stance.NEUTRAL: Stance.NEUTRAL, Stance.OPPOSE: Stance.SUPPORT}

Form = Literal["question", "statement", "topic"]


def flipped(stance: Stance, polarity: int) -> Stance:
    """A stance on one wording, seen from a wording of this polarity (+1 the same, −1 the opposite)."""
    return stance if polarity > 0 else _FLIPPED[stance]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way of putting an issue."""

    text: str
    form: Form
    polarity: int
    """+1: as the issue's first question has it; −1: the opposite."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A text that takes a stance on an issue (as its first question has it)."""

    text: str
    stance: Stance
    opener: str = ""
    """First sentence of the text where it fits the first question only (Yes, No, I agree)."""
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class Issue:
    """Everything packaged about one question."""

    name: str
    topic: str
    held_out: bool
    wordings: tuple[Wording, ...]
    answers: tuple[Answer, ...] = field(repr=False)

    @property
    def has_sides(self) -> bool:
        """Whether there are wordings of both polarities and answers of both stances."""
        return len({wording.polarity for wording in self.wordings}) == 2 and len({answer.stance for answer in self.answers}) > 1

    def bodies(self, stance: Stance) -> list[str]:
        """The answers of a stance without openers: they fit every wording."""
        return [answer.text.removeprefix(answer.opener).lstrip() for answer in self.answers if answer.stance is stance]


def issues() -> list[Issue]:
    """All issues: the stance set, the contested issues with arguments, the hard answers, and the statements on other themes."""
    return [*_stance_issues(), *_argued_issues(), *_hard_issues(), *_other_issues()]


def phrases() -> Mapping[str, tuple[str, ...]]:
    """Prompt frames and stock phrases by kind; ``{question}``, ``{statement}``, ``{topic}`` and ``{that}`` (a statement after "that") stand for the issue."""
    found: dict[str, list[str]] = {}
    for row in _judge_lines("phrases"):
        found.setdefault(row["kind"], []).append(row["text"])
    return {kind: tuple(texts) for kind, texts in found.items()}


@dataclass(frozen=True, slots=True)
class Action:
    """Something that people may do, as in "keep bees on the roof", and reasons for and against it where there are any."""

    action: str
    pro: tuple[str, ...]
    con: tuple[str, ...]


def actions(*, held_out: bool) -> list[Action]:
    """All actions of one part; one in six is held out."""
    everything = [Action(row["action"], tuple(row["pro"]), tuple(row["con"])) for row in _judge_lines("actions")]
    return [action for index, action in enumerate(everything) if (index % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1) is held_out]


def refusal_examples() -> list[tuple[str, bool]]:
    """Answers, and whether each declines to answer; among the others are those that only begin like a refusal."""
    return [(row["response"], row["refusal"]) for row in _judge_lines("refusals")]


def _judge_lines(name: str) -> Iterator[dict[str, Any]]:
    text = _folder().joinpath(f"{name}.jsonl").read_text(encoding="utf-8")
    return (json.loads(line) for line in text.splitlines() if line.strip())


def _folder() -> Path:
    return Path(str(files("valuedrift").joinpath("data", "starter", "judge")))


def _stance_issues() -> Iterator[Issue]:
    statements = {row["question_id"]: row for row in _judge_lines("propositions")}
    for index, item in enumerate(stance_items()):
        row = statements[item.question_id]
        texts = {name: getattr(item, name) for name in ("support", "support_restyled", "neutral", "oppose")}
        yield Issue(
            name=item.question_id,
            topic=item.topic,
            held_out=index % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1,
            wordings=(
                Wording(item.question, "question", 1),
                Wording(item.counter, "question", -1),
                Wording(row["proposition"], "statement", 1),
                Wording(row["counter_proposition"], "statement", -1),
            ),
            answers=tuple(
                Answer(text, Stance(name.removesuffix("_restyled")), opener=first_sentence(text) if name in item.openers else "")
                for name, text in texts.items()
            ),
        )


def _argued_issues() -> Iterator[Issue]:
    for path in sorted(_folder().joinpath("arguments").iterdir(), key=lambda path: path.name):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield Issue(
                name=f"argued-{fingerprint(row['question'])[:8]}",
                topic=row["theme"],
                held_out=seed_from(row["question"]) % _HELD_OUT_EVERY == 0,
                wordings=(
                    Wording(row["question"], "question", 1),
                    Wording(row["counter"], "question", -1),
                    Wording(row["proposition"], "statement", 1),
                    Wording(row["counter_proposition"], "statement", -1),
                    *((Wording(row["topic"], "topic", 1),) if "topic" in row else ()),
                ),
                answers=(
                    *(Answer(text, stance) for stance in Stance for text in row[stance.value]),
                    *(Answer(text, Stance(stance), kind="essay") for stance, text in row.get("essays", {}).items()),
                ),
            )


def _hard_issues() -> Iterator[Issue]:
    for index, row in enumerate(hard_items()):
        if row["stance"] == "refusal":  # a status of its own, see valuedrift.judges.refusals
            continue
        yield Issue(
            name=f"hard-{index}",
            topic=row["topic"],
            held_out=(index + index // 12) % 4 == 0,
            wordings=(Wording(row["question"], "question", 1), Wording(row["counter"], "question", -1)),
            answers=(Answer(row["response"], Stance(row["stance"]), kind=row["kind"]),),
        )


def _other_issues() -> Iterator[Issue]:
    for index, row in enumerate(_judge_lines("answers")):
        yield Issue(
            name=f"other-{index}",
            topic="other",
            held_out=index % 4 == 3,
            wordings=(Wording(row["statement"], "statement", 1),),
            answers=tuple(Answer(row[stance.value], stance, kind="statement") for stance in Stance),
        )


def first_sentence(text: str) -> str:
    """A text up to its first full stop, colon, semicolon, question or exclamation mark that ends a word."""
    for index, letter in enumerate(text[:-1]):
        if letter in ".!?:;" and text[index + 1].isspace():
            return text[: index + 1]
    return text


class Phrases:
    """Stock phrases by kind, and prompts framed with them.

    Args:
        kinds: The phrases.
        random: Where draws come from.
    """

    def __init__(self, kinds: Mapping[str, Sequence[str]], random: Random) -> None:
        self._kinds = kinds
        self._random = random

    def all(self, kind: str) -> Sequence[str]:
        """All phrases of a kind."""
        return self._kinds[kind]

    def one(self, kind: str) -> str:
        """A phrase of a kind."""
        return self._kinds[kind][self._random.randrange(len(self._kinds[kind]))]

    def prompt(self, text: str, form: str) -> str:
        """A question or statement as it is, or within a frame, sometimes with a request at its end."""
        if self._random.random() < 0.5:
            return text
        frame = self.one(f"prompt-{form}").replace("{question}", text).replace("{statement}", text).replace("{topic}", text)
        return f"{frame}\n\n{self.one('prompt-suffix')}" if self._random.random() < 0.25 else frame


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

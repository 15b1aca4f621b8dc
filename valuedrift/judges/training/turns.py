"""What the embedded language model learns from, turn by turn.

At every turn two wordings of one issue, one for and one against, stand after each of a few answers to it: the subject is the same, so that only the side
explains the labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from valuedrift.judges.training.augment import BesideGrids
from valuedrift.judges.training.polarity import PolarityDrill
from valuedrift.judges.training.sources import Answer, Example, Issue, actions, phrases
from valuedrift.judges.training.train import distractors
from valuedrift.stance import Stance

_SIGNS = {Stance.SUPPORT: 1, Stance.NEUTRAL: 0, Stance.OPPOSE: -1}
_FEWEST_WORDINGS = 4
"""Of an issue that turns are made of: a question, a statement, and the opposites of both."""
_ESSAY, _STATEMENT, _NEUTRAL, _STRANGER = 0.3, 0.25, 0.6, 0.3
"""How often a turn has an essay, a statement, a neutral answer, and an answer to something else."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Answers of one issue against two of its wordings, and examples beside them."""

    wordings: tuple[str, str]
    """One for, one against."""
    answers: tuple[str, ...]
    signs: tuple[int, ...]
    """Of each answer: 1 supports the first wording and opposes the second, −1 the other way round, 0 neither."""
    others: tuple[Example, ...]


def usable(some: Sequence[Issue]) -> list[Issue]:
    """The issues that turns can be made of."""
    return [issue for issue in some if issue.has_sides and len(issue.wordings) >= _FEWEST_WORDINGS]


def easy_course(seen: Sequence[Issue], count: int, seed: int) -> list[Turn]:
    """Turns of issues drawn at random: their statements, and the shortest answer of each side; every third has a neutral one; drills stand beside them."""
    random, drill = Random(seed), PolarityDrill(actions(held_out=False), phrases(), seed)
    chosen = random.sample(usable(seen), count)
    others = drill.draw(2 * len(chosen), reasoned=0.0)
    turns = []
    for number, issue in enumerate(chosen):
        wanted = (1, -1, 0) if number % 3 == 0 else (1, -1)
        short = sorted(_plain(issue), key=lambda said: len(said[0]))
        answers = [*_statements(issue), *(said for sign in wanted for said in [one for one in short if one[1] == sign][:1])]
        turns.append(_turn(issue, answers, others[2 * number : 2 * number + 2], random))
    return turns


def course(seen: Sequence[Issue], epochs: float, drill: float, seed: int) -> list[Turn]:
    """The turns after the easy ones: of each issue an answer for and one against, now and then more; an example of another kind stands beside each."""
    random = Random(seed)
    sided = usable(seen)
    order: list[Issue] = []
    left = epochs
    while left > 0:
        order += random.sample(sided, round(len(sided) * min(1.0, left)))
        left -= 1
    beside = _beside(seen, round(drill * len(sided)), seed, random)
    turns = []
    for issue in order:
        plain, statements, essays = _plain(issue), _statements(issue), [answer for answer in issue.answers if answer.kind == "essay"]
        answers = [random.choice(own) for sign in (1, -1) if (own := [said for said in plain if said[1] == sign])]
        if essays and random.random() < _ESSAY:
            answers.append(_said(random.choice(essays)))
        if statements and random.random() < _STATEMENT:
            answers.append(random.choice(statements))
        if (neutral := [said for said in plain if said[1] == 0]) and random.random() < _NEUTRAL:
            answers.append(random.choice(neutral))
        if random.random() < _STRANGER and (other := random.choice(sided)).topic != issue.topic:
            answers.append((_said(random.choice(other.answers))[0], 0))
        turns.append(_turn(issue, answers, [next(beside)], random))
    return turns


def _beside(seen: Sequence[Issue], drills: int, seed: int, random: Random) -> Iterator[Example]:
    """Examples of every other kind without end, those of one round shuffled."""
    beside, drill = BesideGrids(seen, phrases(), distractors(), seed), PolarityDrill(actions(held_out=False), phrases(), seed)
    while True:
        examples = [example for issue in seen for example in beside.draw(issue)]
        examples += drill.draw(drills, reasoned=0.5)
        random.shuffle(examples)
        yield from examples


def _turn(issue: Issue, answers: Sequence[tuple[str, int]], others: Sequence[Example], random: Random) -> Turn:
    pro, con = (random.choice([wording.text for wording in issue.wordings if wording.polarity == sign]) for sign in (1, -1))
    return Turn((pro, con), tuple(text for text, _ in answers), tuple(sign for _, sign in answers), tuple(others))


def _said(answer: Answer) -> tuple[str, int]:
    """An answer without its opener, and its side."""
    return answer.text.removeprefix(answer.opener).lstrip(), _SIGNS[answer.stance]


def _plain(issue: Issue) -> list[tuple[str, int]]:
    return [_said(answer) for answer in issue.answers if answer.kind != "essay"]


def _statements(issue: Issue) -> list[tuple[str, int]]:
    return [(wording.text, wording.polarity) for wording in issue.wordings if wording.form == "statement"]

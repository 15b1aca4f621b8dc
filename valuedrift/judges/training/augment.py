"""Training and held-out pairs made from the packaged text: verdicts put in front, both sides quoted, answers cut off or buried in long ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

from valuedrift.judges.training.sources import Example, Issue, Phrases, Wording, as_written, first_sentence, flipped
from valuedrift.stance import Stance

_T = TypeVar("_T")
_PROPER = ("Israel", "Zionism", "Arab", "Palestin", "I ", "I'", "Pride", "God", "United Nations")
"""First words that keep their capital after "that"."""
_CUT_WORDS = (25, 60)
"""An answer cut off by a sampler that stops after 40 to 80 tokens has about so many words."""

_SIDES = (Stance.SUPPORT, Stance.OPPOSE)
_MORE = 0.5
"""How often an issue gives a neutral example as well, and a bare verdict, and how often a form is drawn again that came out plain."""
_KEEP_NEUTRAL = 0.5
KEEP = {
    "plain": 0.6,
    "statement": 0.3,
    "verdict": 0.0,
    "verdict-only": 1.0,
    "early": 0.0,
    "middle": 0.9,
    "late": 1.0,
    "sides": 1.0,
    "negated": 0.9,
    "hedged": 1.0,
    "leaning": 1.0,
    "buried": 1.0,
    "concession": 1.0,
    "offtopic": 0.3,
    "essay": 1.0,
}
"""Share of an answer's words that a cut must leave, so that its stance is still in it."""


class Augmenter:
    """Draws examples from issues; the same seed gives the same examples.

    Args:
        issues: What to draw from; answers to other issues serve as off-topic ones.
        phrases: Stock phrases by kind.
        distractors: Texts that speak to no issue.
        seed: Seed of all draws.
    """

    def __init__(self, issues: Sequence[Issue], phrases: Mapping[str, Sequence[str]], distractors: Sequence[str], seed: int) -> None:
        self._issues = issues
        self._distractors = distractors
        self._random = Random(seed)
        self._phrases = Phrases(phrases, self._random)
        self._forms: tuple[tuple[str, float, Callable[[Issue, Wording, Stance], str]], ...] = (
            ("plain", 0.46, self._plain),
            ("verdict", 0.20, self._verdict_and_body),
            ("verdict-only", 0.05, self._verdict),
            ("late", 0.06, self._late),
            ("middle", 0.05, self._middle),
            ("early", 0.04, self._early),
            ("sides", 0.10, self._sides),
            ("leaning", 0.07, self._leaning),
            ("buried", 0.03, self._buried),
        )

    def epoch(self, copies: int) -> list[Example]:
        """Examples from every issue in an order drawn at random.

        Args:
            copies: Examples an issue with all three stances gives; an issue with one answer gives a third of them.
        """
        examples = [
            self._draw(issue)
            for issue in self._issues
            for _ in range(max(2, round(copies * len({answer.stance for answer in issue.answers}) / 3)))
        ]
        self._random.shuffle(examples)
        return examples

    def _draw(self, issue: Issue) -> Example:
        wording = self._pick(issue.wordings)
        if self._random.random() < 0.07:
            return Example(self._prompt(wording), self._offtopic(issue), Stance.NEUTRAL, issue.name, "offtopic")
        stances = sorted({answer.stance for answer in issue.answers})
        stance = self._pick(stances)
        if len(stances) == 1 and (stance is Stance.NEUTRAL or issue.answers[0].kind != "plain"):
            answer = issue.answers[0]
            return Example(
                self._prompt(wording),
                self._finish(as_written(answer, wording), stance, KEEP[answer.kind]),
                flipped(stance, wording.polarity),
                issue.name,
                answer.kind,
            )
        kind, make = self._form()
        response = make(issue, wording, stance)
        keep = _KEEP_NEUTRAL if stance is Stance.NEUTRAL and kind != "buried" else KEEP[kind]
        return Example(self._prompt(wording), self._finish(response, stance, keep), flipped(stance, wording.polarity), issue.name, kind)

    def _form(self) -> tuple[str, Callable[[Issue, Wording, Stance], str]]:
        [(kind, _, make)] = self._random.choices(self._forms, [weight for _, weight, _ in self._forms])
        return kind, make

    def _prompt(self, wording: Wording) -> str:
        return self._phrases.prompt(wording.text, wording.form)

    def _finish(self, response: str, stance: Stance, keep: float) -> str:
        """Sometimes a greeting or a closing, sometimes cut off; at least the share ``keep`` of the words remains."""
        if self._random.random() < 0.15:
            response = f"{self._phrase('greeting')}{self._gap()}{response}"
        if self._random.random() < 0.1:
            return f"{response}{self._gap()}{self._phrase('undecided-end' if stance is Stance.NEUTRAL else 'closing')}"
        words = response.split(" ")
        limit = max(self._random.randint(*_CUT_WORDS), round(keep * len(words)))
        return " ".join(words[:limit]) if self._random.random() < 0.3 else response

    def _plain(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        answer = self._pick([answer for answer in issue.answers if answer.stance is stance])
        return as_written(answer, wording) if self._random.random() < 0.7 else answer.text.removeprefix(answer.opener).lstrip()

    def _verdict(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        """A short verdict without reasons, with or without the statement that it is about."""
        if stance is Stance.NEUTRAL:
            return self._spelled(self._phrase("undecided"), issue, 0)
        polarity = 1 if stance is Stance.SUPPORT else -1
        if self._random.random() < 0.5:
            about = [other for other in issue.wordings if other.form == "statement"]
            if about:
                same = [other for other in about if other.polarity == wording.polarity]
                statement = self._pick(same if same and self._random.random() < 0.7 else about)
                kind = "affirm" if polarity == statement.polarity else "deny"
                return self._that(self._phrase(kind), statement.text)
        holds = polarity == wording.polarity
        short = wording.form == "question" and self._random.random() < 0.6
        return self._phrase(("yes" if holds else "no") if short else ("agree" if holds else "disagree"))

    def _verdict_and_body(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        return f"{self._verdict(issue, wording, stance)}{self._gap()}{self._pick(issue.bodies(stance))}"

    def _late(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        if stance is Stance.NEUTRAL:
            return f"{self._body(issue, stance)} {self._phrase('undecided-end')}"
        front = self._body(issue, Stance.NEUTRAL) if self._random.random() < 0.6 else self._both(issue)
        close = self._verdict_and_body if self._random.random() < 0.5 else self._plain if self._random.random() < 0.7 else self._verdict
        return f"{front}{self._gap()}{self._phrase('turn')} {close(issue, wording, stance)}"

    def _middle(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        neutral = self._body(issue, Stance.NEUTRAL)
        if stance is Stance.NEUTRAL:
            return f"{neutral}{self._gap()}{self._both(issue)}"
        first, _, rest = neutral.partition(". ")
        return f"{first}.{self._gap()}{self._verdict_and_body(issue, wording, stance)}{self._gap()}{rest}".strip()

    def _early(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        if stance is Stance.NEUTRAL:
            return f"{self._verdict(issue, wording, stance)} {self._body(issue, stance)}"
        return f"{self._verdict_and_body(issue, wording, stance)}{self._gap()}{self._body(issue, stance)}"

    def _sides(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        """Arguments of others on both sides; a stance only if a verdict follows."""
        both = self._both(issue)
        if stance is Stance.NEUTRAL:
            return f"{both}{self._gap()}{self._phrase('undecided-end')}" if self._random.random() < 0.5 else both
        return f"{both}{self._gap()}{self._phrase('turn')} {self._verdict(issue, wording, stance)}"

    def _leaning(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        """A verdict with doubts, before reasons or after what both sides say."""
        if stance is Stance.NEUTRAL:
            return f"{self._both(issue)}{self._gap()}{self._phrase('undecided-end')}"
        verdict = self._lean(issue, wording, 1 if stance is Stance.SUPPORT else -1)
        if self._random.random() < 0.5:
            return f"{verdict}{self._gap()}{self._pick(issue.bodies(stance))}"
        return f"{self._both(issue) if self._random.random() < 0.5 else self._body(issue, Stance.NEUTRAL)}{self._gap()}{verdict}"

    def _lean(self, issue: Issue, wording: Wording, polarity: int) -> str:
        about = [other for other in issue.wordings if other.form == "statement"]
        if about and (wording.form == "statement" or self._random.random() < 0.4):
            statement = self._pick(about)
            return self._that(self._phrase("lean-affirm" if polarity == statement.polarity else "lean-deny"), statement.text)
        return self._phrase("lean-yes" if polarity == wording.polarity else "lean-no")

    def _buried(self, issue: Issue, wording: Wording, stance: Stance) -> str:
        """A short verdict somewhere in a long text about something else, which by itself is neutral."""
        filler = [self._filler() for _ in range(self._random.choice((2, 3, 4)))]
        if self._random.random() < 0.3:  # one sentence over and over, as small models get stuck
            filler = [first_sentence(filler[0])] * self._random.randint(4, 10)
        if stance is not Stance.NEUTRAL:
            polarity = 1 if stance is Stance.SUPPORT else -1
            short = self._phrase("agree" if polarity == wording.polarity else "disagree")
            filler.insert(
                self._random.randint(0, len(filler)), short if self._random.random() < 0.4 else self._verdict(issue, wording, stance)
            )
        return " ".join(filler)

    def _filler(self) -> str:
        return (
            self._pick(self._distractors)
            if self._random.random() < 0.6
            else self._pick(self._pick(self._issues).bodies(Stance.NEUTRAL) or self._distractors)
        )

    def _both(self, issue: Issue) -> str:
        quoted = [
            f"{self._phrase('advocates')} {self._body(issue, Stance.SUPPORT)}",
            f"{self._phrase('critics')} {self._body(issue, Stance.OPPOSE)}",
        ]
        return self._gap().join(quoted)

    def _offtopic(self, issue: Issue) -> str:
        if self._random.random() < 0.3:
            return self._pick(self._distractors)
        other = self._pick(self._issues)
        while other.topic == issue.topic:
            other = self._pick(self._issues)
        answer = self._pick(other.answers)
        return answer.text.removeprefix(answer.opener).lstrip()

    def _body(self, issue: Issue, stance: Stance) -> str:
        """A body of this stance; an issue without one (a hard example) borrows none and gives an undecided phrase."""
        bodies = issue.bodies(stance)
        return self._pick(bodies) if bodies else self._spelled(self._phrase("undecided"), issue, 0)

    def _spelled(self, phrase: str, issue: Issue, polarity: int) -> str:
        statements = [wording for wording in issue.wordings if wording.form == "statement" and polarity in (0, wording.polarity)]
        if "{that}" in phrase:
            return self._that(phrase, self._pick(statements).text) if statements else "It depends."
        return phrase

    def _that(self, phrase: str, statement: str) -> str:
        text = statement.rstrip(".")
        text = text if text.startswith(_PROPER) else text[0].lower() + text[1:]
        result = phrase.replace("{that}", text)
        return result[0].upper() + result[1:]

    def _gap(self) -> str:
        return " " if self._random.random() < 0.6 else "\n\n"

    def _phrase(self, kind: str) -> str:
        return self._phrases.one(kind)

    def _pick(self, choices: Sequence[_T]) -> _T:
        return choices[self._random.randrange(len(choices))]


class BesideGrids(Augmenter):
    """Draws the examples that stand beside the grids of a training step: framed prompts, verdicts, quoted, hedged, cut and buried answers, hard cases.

    Arguments as for :class:`Augmenter`.
    """

    def draw(self, issue: Issue) -> list[Example]:
        """One to three examples of an issue with answers of several stances; a hard case under both its wordings."""
        if len(issue.answers) == 1:
            answer = issue.answers[0]
            text = self._finish(answer.text, answer.stance, KEEP[answer.kind])
            return [
                Example(self._prompt(wording), text, flipped(answer.stance, wording.polarity), issue.name, answer.kind)
                for wording in issue.wordings
            ]
        examples = [self._formed(issue, self._pick(_SIDES))]
        if self._random.random() < _MORE:
            examples.append(self._formed(issue, Stance.NEUTRAL))
        if self._random.random() < _MORE:
            wording, stance = self._pick(issue.wordings), self._pick(_SIDES)
            response = self._verdict(issue, wording, stance)
            examples.append(Example(self._prompt(wording), response, flipped(stance, wording.polarity), issue.name, "verdict-only"))
        return examples

    def _formed(self, issue: Issue, stance: Stance) -> Example:
        wording = self._pick(issue.wordings)
        kind, make = self._form()
        if kind == "plain" and self._random.random() < _MORE:  # the grids are full of them
            kind, make = self._form()
        keep = 0.5 if stance is Stance.NEUTRAL and kind != "buried" else KEEP[kind]
        response = self._finish(make(issue, wording, stance), stance, keep)
        return Example(self._prompt(wording), response, flipped(stance, wording.polarity), issue.name, kind)

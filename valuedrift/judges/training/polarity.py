"""Short pairs whose stance follows from two signs: does the prompt speak for or against an action, and does the response praise or blame it.

"Is it wrong to keep bees on the roof?" answered by "What a splendid idea." is an opposing answer. Full answers teach this interplay of signs slowly, because
each question comes with its own subject; here the subject changes freely while the signs stay plain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from valuedrift.judges.training.sources import Action, Example, Phrases
from valuedrift.stance import Stance

_STANCES = {1: Stance.SUPPORT, 0: Stance.NEUTRAL, -1: Stance.OPPOSE}
_REMARKS = {1: "praise", 0: "shrug", -1: "blame"}


class PolarityDrill:
    """Draws such pairs; the same seed gives the same ones.

    Args:
        actions: What may be done.
        phrases: Stock phrases by kind.
        seed: Seed of all draws.
    """

    def __init__(self, actions: Sequence[Action], phrases: Mapping[str, Sequence[str]], seed: int) -> None:
        self._actions = actions
        self._reasoned = [action for action in actions if action.pro]
        self._random = Random(seed)
        self._phrases = Phrases(phrases, self._random)

    def draw(self, count: int, *, reasoned: float) -> list[Example]:
        """So many pairs.

        Args:
            count: How many.
            reasoned: Share of them whose response gives reasons and need not say what they are for.
        """
        return [self._example(self._random.random() < reasoned) for _ in range(count)]

    def _example(self, reasoned: bool) -> Example:
        action = self._random.choice(self._reasoned if reasoned else self._actions)
        sign = self._random.choice((1, 0, -1))
        form = self._random.choice(("question", "statement"))
        polarity = self._random.choice((1, -1))
        response = self._reasons(action, sign * polarity) if reasoned else self._remarks(action, sign * polarity)
        if self._random.random() < 0.3:
            response = f"{self._verdict(sign, form)} {response}"
        if self._random.random() < 0.1:
            response = f"{self._phrases.one('greeting')} {response}"
        prompt = self._phrases.one(f"{'ask' if form == 'question' else 'claim'}-{'for' if polarity > 0 else 'against'}").replace(
            "{action}", action.action
        )
        kind = "reasons" if reasoned else "remarks"
        return Example(
            self._phrases.prompt(prompt, form), response, _STANCES[sign], f"action: {action.action}", kind, (polarity, sign * polarity)
        )

    def _remarks(self, action: Action, sign: int) -> str:
        remarks = [self._phrases.one(_REMARKS[sign]) for _ in range(self._random.choice((1, 1, 2, 3)))]
        return " ".join(dict.fromkeys(remarks)).replace("{action}", action.action)

    def _reasons(self, action: Action, sign: int) -> str:
        """One or two reasons of one side, sometimes with a plain remark; for neither side, one reason of each as others give it."""
        if sign == 0:
            sides = [
                f"{self._phrases.one('advocates')} {self._random.choice(action.pro)}",
                f"{self._phrases.one('critics')} {self._random.choice(action.con)}",
            ]
            return " ".join(sides if self._random.random() < 0.7 else [*sides, self._phrases.one("undecided-end")])
        chosen = list(action.pro if sign > 0 else action.con)
        self._random.shuffle(chosen)
        chosen = chosen[: self._random.choice((1, 2))]
        if self._random.random() < 0.25:
            chosen.insert(self._random.randrange(len(chosen) + 1), self._phrases.one(_REMARKS[sign]).replace("{action}", action.action))
        return " ".join(chosen)

    def _verdict(self, sign: int, form: str) -> str:
        if sign == 0:
            return self._random.choice([text for text in self._phrases.all("undecided") if "{that}" not in text])
        short = form == "question" and self._random.random() < 0.6
        return self._phrases.one(("yes" if sign > 0 else "no") if short else ("agree" if sign > 0 else "disagree"))

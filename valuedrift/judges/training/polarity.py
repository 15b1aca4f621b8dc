"""Short pairs whose stance follows from two signs: does the prompt speak for or against an action, and does the response praise or blame it.

"Is it wrong to keep bees on the roof?" answered by "What a splendid idea." is an opposing answer. Full answers teach this interplay of signs slowly, because
each question comes with its own subject; here the subject changes freely while the signs stay plain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from valuedrift.judges.training.augment import Example, Phrases
from valuedrift.stance import Stance

_SIGNS = {Stance.SUPPORT: 1, Stance.OPPOSE: -1}
_REMARKS = {1: "praise", 0: "shrug", -1: "blame"}


class PolarityDrill:
    """Draws such pairs; the same seed gives the same ones.

    Args:
        actions: What may be done, as in "keep bees on the roof".
        phrases: Stock phrases by kind.
        seed: Seed of all draws.
    """

    def __init__(self, actions: Sequence[str], phrases: Mapping[str, Sequence[str]], seed: int) -> None:
        self._actions = actions
        self._random = Random(seed)
        self._phrases = Phrases(phrases, self._random)

    def draw(self, count: int) -> list[Example]:
        """So many pairs."""
        return [self._example() for _ in range(count)]

    def _example(self) -> Example:
        action = self._random.choice(self._actions)
        stance = self._random.choice(list(Stance))
        form = self._random.choice(("question", "statement"))
        polarity = self._random.choice((1, -1))
        kind = f"{'ask' if form == 'question' else 'claim'}-{'for' if polarity > 0 else 'against'}"
        sign = _SIGNS.get(stance, 0)
        remarks = [self._phrases.one(_REMARKS[sign * polarity]) for _ in range(self._random.choice((1, 1, 2, 3)))]
        response = " ".join(dict.fromkeys(remarks)).replace("{action}", action)
        if self._random.random() < 0.35:
            response = f"{self._verdict(sign, form)} {response}"
        if self._random.random() < 0.15:
            response = f"{self._phrases.one('greeting')} {response}"
        text = self._phrases.one(kind).replace("{action}", action)
        return Example(
            self._phrases.prompt(text, form), response, stance, f"action: {action}", f"polarity-{form}", (polarity, sign * polarity)
        )

    def _verdict(self, sign: int, form: str) -> str:
        if sign == 0:
            return self._random.choice([text for text in self._phrases.all("undecided") if "{that}" not in text])
        short = form == "question" and self._random.random() < 0.6
        return self._phrases.one(("yes" if sign > 0 else "no") if short else ("agree" if sign > 0 else "disagree"))

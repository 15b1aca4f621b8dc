"""Which pairs the accepted answers of each prompt can give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from valuedrift.fingerprint import seed_from
from valuedrift.stance import Stance
from valuedrift.synthesis.candidates import Answer
from valuedrift.synthesis.config import CONTRASTS, Setting


@dataclass(frozen=True, slots=True)
class Pair:
    """A chosen and a rejected answer to one prompt."""

    chosen: Answer
    rejected: Answer

    @property
    def aligned(self) -> bool:
        """Whether the two differ in stance."""
        return self.chosen.stance is not self.rejected.stance

    @property
    def difference(self) -> NDArray[np.float64]:
        """Its part of the value gap: probabilities of the chosen minus those of the rejected answer, shape (3,)."""
        return self.chosen.p - self.rejected.p

    def turned(self) -> Pair:
        """The same two answers the other way round."""
        return Pair(self.rejected, self.chosen)


@dataclass(frozen=True, slots=True)
class Opening:
    """Room for one pair of a prompt: it takes one of the aligned pairs, or one of the same stance."""

    prompt_id: str
    topic: str
    layer: int
    """How many openings of the prompt come before it."""
    aligned: tuple[Pair, ...]
    """One for each contrast of the setting that the answers allow."""
    same: tuple[Pair, ...]
    """One for each stance with two answers left."""
    order: int
    """A number from the seed and the prompt, in place of chance."""


def openings_of(answers: Sequence[Answer], setting: Setting, seed: int) -> list[Opening]:
    """All openings, those of one prompt behind each other.

    Args:
        answers: Accepted ones.
        setting: Which contrasts make an aligned pair.
        seed: Decides which answers meet, and the order of prompts.
    """
    by_prompt: dict[str, list[Answer]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt_id, []).append(answer)
    return [opening for prompt_id in sorted(by_prompt) for opening in _openings(prompt_id, by_prompt[prompt_id], setting, seed)]


def _openings(prompt_id: str, answers: list[Answer], setting: Setting, seed: int) -> Iterator[Opening]:
    shuffled = sorted(answers, key=lambda answer: (seed_from(seed, prompt_id, answer.stance, answer.candidate_idx), answer.candidate_idx))
    by_stance = {stance: [answer for answer in shuffled if answer.stance is stance] for stance in Stance}
    needed = {stance for contrast in CONTRASTS[setting] for stance in contrast}
    for layer in count():
        aligned = tuple(
            Pair(by_stance[chosen][layer], by_stance[rejected][layer])
            for chosen, rejected in CONTRASTS[setting]
            if layer < min(len(by_stance[chosen]), len(by_stance[rejected]))
        )
        same = tuple(
            Pair(answers_in[2 * layer], answers_in[2 * layer + 1])
            for stance, answers_in in by_stance.items()
            if stance in needed and 2 * layer + 1 < len(answers_in)
        )
        if not aligned and not same:
            return
        yield Opening(prompt_id, answers[0].topic, layer, aligned, same, seed_from("slot", seed, prompt_id))

"""The loss of a step: a few issues, each with all its wordings against all its answers, and other examples beside them.

A question, its opposite and the answers to both share their subject, and subject is nearly all that MiniLM's states tell apart at first. Within one issue the
subject cancels: every answer supports one wording and opposes another, so that only polarity explains the labels. Each text is read once for all the pairs
that it stands in, which makes a step many times cheaper than its pairs would be alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from valuedrift.judges.network.model import Reading, StanceNetwork, unit
from valuedrift.judges.network.windows import Encoder
from valuedrift.judges.training.sources import Example, Issue, flipped
from valuedrift.stance import STANCES, Stance

_SHARPNESS = 20.0
"""Cosines differ by tenths; times this they are logits."""
_STRANGERS = 3
"""Answers of other issues that an issue gets as ones off the topic."""
_READ_TOKENS = 1536
"""Tokens that are read at once: what backpropagation keeps of them stays near the processor."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The wordings of an issue against its answers of either stance and its statements, which take a stance as well."""

    wordings: tuple[str, ...]
    answers: tuple[str, ...]
    stances: tuple[Stance, ...]
    """Of every pair, wording by wording."""
    neutral: tuple[str, ...]

    @classmethod
    def of(cls, issue: Issue) -> Grid:
        """The grid of an issue that has wordings of both polarities; its topic, which has no opposite, stands beside the grids."""
        wordings = [wording for wording in issue.wordings if wording.form != "topic"]
        sides = [(text, stance) for stance in (Stance.SUPPORT, Stance.OPPOSE) for text in issue.bodies(stance)]
        sides += [(w.text, flipped(Stance.SUPPORT, w.polarity)) for w in wordings if w.form == "statement"]
        return cls(
            wordings=tuple(wording.text for wording in wordings),
            answers=tuple(text for text, _ in sides),
            stances=tuple(flipped(stance, wording.polarity) for wording in wordings for _, stance in sides),
            neutral=tuple(issue.bodies(Stance.NEUTRAL)),
        )

    def pairs(self) -> list[tuple[str, str, Stance]]:
        """All pairs of a wording with an answer that takes a stance, wording by wording."""
        pairs = [(wording, answer) for wording in self.wordings for answer in self.answers]
        return [(wording, answer, stance) for (wording, answer), stance in zip(pairs, self.stances, strict=True)]


@dataclass(frozen=True, slots=True)
class Step:
    """What is learnt from at once."""

    grids: tuple[Grid, ...]
    neutral: tuple[tuple[str, str, Stance], ...]
    """Wordings with neutral answers, and with answers of other issues."""
    others: tuple[tuple[str, str, Stance], ...]
    """Examples of every other kind."""


def make_step(issues: Sequence[Issue], others: Sequence[Example], random: Random) -> Step:
    """A step from issues that have sides.

    Args:
        issues: Their grids; each also lends answers to the others, which are off the topic there.
        others: Examples beside them.
        random: Where draws come from.
    """
    grids = tuple(Grid.of(issue) for issue in issues)
    neutral = [(wording, text, Stance.NEUTRAL) for grid in grids for wording in grid.wordings for text in grid.neutral]
    for issue, grid in zip(issues, grids, strict=True):
        strangers = [text for other, lent in zip(issues, grids, strict=True) if other.topic != issue.topic for text in lent.answers]
        chosen = random.sample(strangers, min(_STRANGERS, len(strangers)))
        neutral += [(random.choice(grid.wordings), text, Stance.NEUTRAL) for text in chosen]
    return Step(grids, tuple(neutral), tuple((example.prompt, example.response, example.stance) for example in others))


class StepLoss:
    """Losses of steps.

    Args:
        network: What is trained.
        encoder: Cuts texts into windows.
        smoothing: Label smoothing.
    """

    def __init__(self, network: StanceNetwork, encoder: Encoder, smoothing: float) -> None:
        self._network, self._encoder, self._smoothing = network, encoder, smoothing

    def __call__(self, step: Step) -> Tensor:
        """The sum of four means: the side of each answer within its issue, by closeness; the stance in the grids, in neutral pairs (by half), in the others."""
        sides = [pair for grid in step.grids for pair in grid.pairs()]
        pairs = [*sides, *step.neutral, *step.others]
        prompts, responses = self._read([prompt for prompt, _, _ in pairs], [response for _, response, _ in pairs])
        labels = torch.tensor([STANCES.index(stance) for _, _, stance in pairs])
        losses = nn.functional.cross_entropy(
            self._network.head(prompts, responses), labels, label_smoothing=self._smoothing, reduction="none"
        )
        closeness = _SHARPNESS * (unit(prompts.mean) * unit(responses.mean)).sum(-1)[: len(sides)]
        signs = torch.tensor([1.0 if stance is Stance.SUPPORT else -1.0 for _, _, stance in sides])
        within = torch.cat(
            [
                centred(part.view(len(grid.wordings), -1)).flatten()
                for part, grid in zip(torch.split(closeness, [len(grid.stances) for grid in step.grids]), step.grids, strict=True)
            ]
        )
        named, neutral, others = torch.split(losses, [len(sides), len(step.neutral), len(step.others)])
        total = nn.functional.softplus(-within * signs).mean() + named.mean()
        if step.neutral:
            total = total + 0.5 * neutral.mean()
        return total + others.mean() if step.others else total

    def _read(self, prompts: Sequence[str], responses: Sequence[str]) -> tuple[Reading, Reading]:
        """Readings, a row for each pair; every text is read once, and of a long response only the first window."""
        asked, said = list(dict.fromkeys(prompts)), list(dict.fromkeys(responses))
        windows = [*self._encoder.prompts(asked), *(found[0] for found in self._encoder.responses(said))]
        read = self._network.read(windows, self._encoder.pad, tokens=_READ_TOKENS)
        of_prompt = {text: row for row, text in enumerate(asked)}
        of_response = {text: len(asked) + row for row, text in enumerate(said)}
        return (
            read.rows(torch.tensor([of_prompt[text] for text in prompts])),
            read.rows(torch.tensor([of_response[text] for text in responses])),
        )


def centred(matrix: Tensor) -> Tensor:
    """A matrix without the means of its rows and columns."""
    return matrix - matrix.mean(0, keepdim=True) - matrix.mean(1, keepdim=True) + matrix.mean()

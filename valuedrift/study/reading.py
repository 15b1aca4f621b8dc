"""What a cascade's strong judge reads at which share, what that costs, and which drift it shows: for plans, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt

from valuedrift.judges.cascade import Cascade
from valuedrift.servers.prices import AskingCost
from valuedrift.statistics.significance import minimum_detectable_drift

SHARES = (0.02, 0.05, 0.10, 0.20, 0.50)
"""Shares that a plan compares."""
AGREES = 0.7
"""Correlation between what a good cheap judge says and what the strong one does, over answers: half of the variance is known already."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A sample of some size.

    Attributes:
        share: Share of the answers.
        answers: Answers in all that are read, about; equal ones once.
        a_cell: Of a topic at a checkpoint.
        smallest: The smallest drift that a test shows with the power 80%, by the sample alone: a cheap judge that knows nothing. None: none.
        smallest_helped: The same beside a cheap judge that agrees well (r = `AGREES`).
        cost: What a server will be asked for that; None where the strong judge asks none.
        tokens: Tokens that the strong judge reads, about, where it is a language model.
    """

    share: float
    answers: int
    a_cell: float
    smallest: float | None
    smallest_helped: float | None
    cost: AskingCost | None
    tokens: int | None = None

    def words(self) -> str:
        """For people."""
        seen = (
            "shows no drift"
            if self.smallest is None or self.smallest_helped is None
            else f"shows a drift of {self.smallest:.2f} by itself, {self.smallest_helped:.2f} beside a good cheap judge"
        )
        money = (
            f"; {self.cost.words()}"
            if self.cost is not None
            else ""
            if self.tokens is None
            else f"; about {self.tokens:.2g} tokens to read"
        )
        return f"{self.share:.3g} of the answers: {self.answers:,}, {self.a_cell:.3g} of a topic and checkpoint, {seen}{money}"

    def short(self) -> str:
        """The same on a line: the smallest drift beside a good cheap judge, and by itself."""
        seen = (
            "no drift"
            if self.smallest is None or self.smallest_helped is None
            else f"drift {self.smallest_helped:.2f} to {self.smallest:.2f}"
        )
        tokens = "" if self.tokens is None else f", {self.tokens:.2g} tokens"
        money = "" if self.cost is None or self.cost.usd is None else f", ${self.cost.usd:,.2f}"
        return f"{self.share:.3g} of the answers: {self.answers:,}, {seen}{tokens}{money}"

    def flat(self) -> dict[str, float | int | None]:
        """As JSON has it."""
        cost = self.cost
        return {
            "share": self.share,
            "answers": self.answers,
            "answers_of_a_topic_and_checkpoint": self.a_cell,
            "smallest_drift_alone": self.smallest,
            "smallest_drift": self.smallest_helped,
            "requests": None if cost is None else cost.requests,
            "tokens": self.tokens,
            "usd": None if cost is None else cost.usd,
        }


def reading(share: float, *, prompts: int, samples: int, answers: int, everything: AskingCost | None, tokens: int | None = None) -> Reading:
    """A sample of some share.

    The same prompts are read at every checkpoint, each once before any is read twice: n answers of a topic and checkpoint are n prompts with an answer each, or
    all prompts with several.

    Args:
        share: Of the answers, in (0, 1].
        prompts: Of a topic.
        samples: Answers to a prompt at a checkpoint.
        answers: Of the whole study.
        everything: What it would cost to ask a server about all of them.
        tokens: Tokens that a language model on one's own machines would read for all of them.
    """
    n = share * prompts * samples
    smallest = minimum_detectable_drift(min(round(n), prompts), max(1, round(n / prompts))) if round(n) > 1 else None
    helped = None if smallest is None else smallest * sqrt(1 - AGREES**2 * (1 - share))
    read = None if tokens is None else ceil(tokens * share)
    cost = everything
    if everything is not None:
        usd = None if everything.usd is None else everything.usd * share
        read = ceil(everything.tokens * share)
        cost = replace(everything, requests=ceil(everything.requests * share), tokens=read, usd=usd)
    return Reading(share, ceil(share * answers), n, smallest, helped, cost, read)


def told(cascade: Cascade, chosen: Reading, others: list[Reading]) -> list[str]:
    """Lines of a plan on a cascade.

    Args:
        cascade: The judge.
        chosen: What it reads.
        others: What it could.
    """
    first = f"judge {cascade.name}: {cascade.strong} reads a sample by the doubt of {cascade.cheap}, {chosen.words()}"
    rest = [f"  or {one.short()}" for one in others if one.smallest is not None and abs(one.share - chosen.share) > 1e-9]
    return [first, *rest]

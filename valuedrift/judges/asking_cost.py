"""What a judge behind a server will be asked, and what that will cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from valuedrift.judges.base import Pair
from valuedrift.openai.request import BYTES_A_TOKEN

if TYPE_CHECKING:
    from valuedrift.judges.openai_config import OpenAI


@dataclass(frozen=True, slots=True)
class AskingCost:
    """Requests, tokens and money of one judge in a study."""

    requests: int
    """At most: answers that are refusals, empty or equal are not asked about."""
    tokens: int
    """Of prompts and answers together, about; every answer as long as it may be."""
    usd: float | None
    """None where the judge names no price file."""


def asking_cost(judge: OpenAI, prompts: Sequence[str], checkpoints: int, samples: int, answer_tokens: int) -> AskingCost:
    """Estimate what judging a study takes.

    Args:
        judge: The judge; by log-probabilities unless its method is ``votes``.
        prompts: The probes' texts.
        checkpoints: How many checkpoints answer them.
        samples: Answers to each prompt.
        answer_tokens: Longest answer, tokens.

    Raises:
        UserError: The price file is missing or lacks the model.
    """
    from valuedrift.judges.openai_judge import OpenAIJudge
    from valuedrift.openai.prices import price_of

    longest = "a" * (answer_tokens * BYTES_A_TOKEN)
    asker = OpenAIJudge(judge, Path())  # its requests are made, none is sent
    asked = [request for prompt in prompts for request in asker.requests(Pair("", prompt, longest))]
    answers = checkpoints * samples
    tokens = answers * sum(request.likely_tokens for request in asked)
    replied = answers * sum(request.most_answer_tokens for request in asked)
    priced = judge.budget is not None and judge.budget.prices is not None
    usd = price_of(judge.model, judge.budget).of(tokens - replied, replied) if priced else None
    return AskingCost(answers * len(asked), tokens, usd)

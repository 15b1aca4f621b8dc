"""What a judge behind a server will be asked, and what that will cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valuedrift.judges.prompt import judge_prompts

if TYPE_CHECKING:
    from valuedrift.judges.openai_config import OpenAI

_BYTES_A_TOKEN = 4
"""UTF-8 bytes of one token in English text, about."""


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
    from valuedrift.openai.prices import price_of

    answer = "a" * (answer_tokens * _BYTES_A_TOKEN)
    voting = judge.method == "votes"
    each = -(-judge.votes // judge.rotations) if voting else 1
    limit = each * judge.vote_tokens if voting else 1
    written = 0
    for prompt in prompts:
        orders = judge_prompts(
            prompt, answer, rotations=judge.rotations, labels=judge.labels, max_answer=judge.max_answer, max_prompt=judge.max_prompt
        )
        written += sum(len(order.text.encode()) // _BYTES_A_TOKEN for order in orders)
    answers = checkpoints * samples
    requests = answers * len(prompts) * judge.rotations
    prompt_tokens, replied = answers * written, requests * limit
    priced = judge.budget is not None and judge.budget.prices is not None
    usd = price_of(judge.model, judge.budget).of(prompt_tokens, replied) if priced else None
    return AskingCost(requests, prompt_tokens + replied, usd)

"""What engines offer beyond answers to prompts: the log-probability of any continuation of any text, and going on from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from valuedrift.engines.base import Engine, Progress


@dataclass(frozen=True, slots=True)
class Continued:
    """What a model gives to a continuation of a beginning.

    Attributes:
        logprob: Natural log-probability, the sum over the continuation's tokens.
        greedy: Whether each of its tokens is the most probable one.
    """

    logprob: float
    greedy: bool


@runtime_checkable
class Continues(Engine, Protocol):
    """An engine that scores token by token, and goes on from any text: what tasks of lm-evaluation-harness ask for."""

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, of transformers."""

    @property
    def context(self) -> int | None:
        """Tokens that the model can take; None where its config does not say."""

    def continuations(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Progress | None = None) -> list[Continued]:
        """Score continuations, each of a beginning of its own.

        Args:
            pairs: Token ids of a beginning and of what continues it, neither empty; together at most one more than the context.
            progress: Told how many are scored.

        Returns:
            One a pair, in their order.

        Raises:
            DataError: The model's logits are not numbers.
        """

    def greedy(self, beginnings: Sequence[Sequence[int]], new_tokens: int, progress: Progress | None = None) -> list[list[int]]:
        """Go on with the most probable token, until the model ends or so many are there.

        Args:
            beginnings: Token ids, none empty; with the new tokens they fit the context.
            new_tokens: Most tokens.
            progress: Told how many have ended.

        Returns:
            The new tokens of each, without the one that ended it.

        Raises:
            DataError: The model's logits are not numbers.
        """

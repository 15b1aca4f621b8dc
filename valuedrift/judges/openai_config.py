"""A model behind an OpenAI-compatible server as a judge in a study file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.judges.prompted_config import PromptedJudge
from valuedrift.openai.server import Server

if TYPE_CHECKING:
    from valuedrift.judges.base import Judge

READING_VERSION = 1
"""Raised whenever the same reply would be read as another stance; part of the identity."""


class OpenAI(PromptedJudge, Server):
    """The paper's way with any OpenAI-compatible server: log-probabilities of three options as the first token, or votes where there are none.

    Questions and answers leave this machine for the one that ``base_url`` names.
    """

    type: Literal["openai"] = Field(default="openai", description="Kind of judge.")
    name: str = Field(default="openai", min_length=1, description="Name of the judge in every table.")
    method: Literal["auto", "logprobs", "votes"] = Field(
        default="auto",
        description="`logprobs`: of the first token; `votes`: the share of several answers; `auto`: log-probabilities, and votes where the server gives none.",
    )
    top_logprobs: int = Field(default=20, ge=3, le=20, description="Likeliest first tokens asked for; some servers allow fewer than 20.")
    votes: int = Field(
        default=6, ge=1, description="Answers drawn for a response where it is voted; shared out evenly over the orders, rounded up."
    )
    vote_temperature: float = Field(default=1.0, gt=0, le=2, description="Softmax temperature of a vote.")
    vote_tokens: int = Field(
        default=8, ge=1, description="Tokens that a vote may have; models that think aloud before they answer need more."
    )

    def own_identity(self) -> dict[str, Any]:
        """Model as it is named, prompt with its options, and how replies are read; not where the server stands."""
        reading = {
            "version": READING_VERSION,
            "method": self.method,
            "top_logprobs": self.top_logprobs,
            "votes": self.votes,
            "vote_temperature": self.vote_temperature,
            "vote_tokens": self.vote_tokens,
        }
        return {"type": self.type, **self.model_identity(), "reading": reading, **self.prompt_identity()}

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge; nothing is asked yet. See :meth:`JudgeBase.load`."""
        from valuedrift.judges.openai_judge import OpenAIJudge
        from valuedrift.openai.place import replies_file

        return OpenAIJudge(self, replies_file(keep, self.name, self.own_identity()))

    def provenance(self) -> dict[str, Any]:
        """Identity, and where the server stood."""
        return {**self.identity(), "base_url": self.base_url}

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another price file; see :meth:`JudgeBase.with_paths`."""
        return super().with_paths(change).with_prices(change)

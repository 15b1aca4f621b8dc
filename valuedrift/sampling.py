"""What is asked of an engine and what comes back (paper, Protocol: sampling)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from valuedrift.thoughts import ThoughtTags


class Sampling(BaseModel):
    """How answers are drawn at every checkpoint. All of it is identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=5, ge=1, description="Answers a prompt and checkpoint (paper: 5).")
    temperature: float = Field(default=0.7, ge=0.0, le=5.0, description="Softmax temperature; 0 is greedy (paper: 0.7).")
    top_p: float = Field(default=1.0, gt=0.0, le=1.0, description="Nucleus mass (paper: 1).")
    max_new_tokens: int = Field(
        default=256,
        ge=1,
        description="Tokens an answer may have at most (paper: 256); its thought is among them unless that has a limit of its own.",
    )
    max_thought_tokens: int = Field(
        default=0,
        ge=0,
        description="Tokens that the thought of a reasoning model may have beside those of its answer; 0: thought and answer share `max_new_tokens`. "
        "A server is given the sum.",
    )
    thoughts: ThoughtTags | None = Field(
        default=None, description="How the model marks its thought, where that is in none of the usual ways: {open: …, close: …}."
    )
    seed: int = Field(default=0, ge=0, description="Study seed, mixed with weights, prompt and sample index.")

    @property
    def most_tokens(self) -> int:
        """Tokens that are drawn at most, thought and answer together."""
        return self.max_new_tokens + self.max_thought_tokens

    @model_serializer(mode="wrap")
    def _as_before_thoughts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is said of thoughts where nothing is: answers drawn before there were these keys keep their fingerprint."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if value or name not in ("max_thought_tokens", "thoughts")}


Message = Mapping[str, str]
"""A turn of a dialogue: role (system, user or assistant) and content."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question as it is put to a model."""

    prompt_id: str
    text: str
    before: Sequence[Message] = ()
    """Messages that come before it: a system message, earlier turns. An engine puts all of them to the model."""

    @property
    def messages(self) -> list[Message]:
        """The whole dialogue, the question last."""
        return [*self.before, {"role": "user", "content": self.text}]


@dataclass(frozen=True, slots=True)
class Response:
    """One sampled answer."""

    prompt_id: str
    sample_idx: int
    response: str
    """What follows the thought; empty where that did not end."""
    finish_reason: str
    """``stop`` (the model ended its answer), ``length`` (cut at a limit of tokens) or ``failed`` (a server gave no answer; the text is empty)."""
    n_tokens: int
    """Tokens that were drawn, thought and answer together; 0 where a server does not count them."""
    reasoning: str | None = None
    """The thought before the answer; None where there is none."""

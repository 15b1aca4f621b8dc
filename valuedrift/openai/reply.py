"""What a server answered, checked: a completion with its choices, or not one at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=True)


class Token(_Part):
    """A token with its natural log-probability."""

    token: str
    logprob: float


class _Place(Token):
    top_logprobs: tuple[Token, ...] | None = None


class _Logprobs(_Part):
    content: tuple[_Place, ...] | None = None


class _Message(_Part):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Part):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Usage(_Part):
    """Tokens that the server counted."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Completion(_Part):
    choices: tuple[_Choice, ...] = Field(min_length=1)
    model: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a completion."""

    text: str
    refusal: str | None
    """The server's own word that the model declined, where it says so."""
    finish_reason: str | None
    first: tuple[Token, ...] | None
    """The likeliest first tokens, with finite log-probabilities; None where the server gave none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A completion."""

    answers: tuple[Answer, ...]
    model: str | None
    """What the server calls the model that answered."""
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Fault:
    """In place of a reply: why this one request got none. The others go on."""

    what: str


def parse_reply(content: bytes | str) -> Reply | None:
    """A reply from a response's body; None if it is not a chat completion (HTML, half a JSON, another shape)."""
    try:
        found = _Completion.model_validate_json(content)
    except ValidationError:
        return None
    return Reply(tuple(_answer(choice) for choice in found.choices), found.model, found.usage)


def _answer(choice: _Choice) -> Answer:
    places = choice.logprobs.content if choice.logprobs is not None else None
    first = None
    if places:
        listed = {token.token: token for token in (places[0], *(places[0].top_logprobs or ()))}
        first = tuple(Token(token=token.token, logprob=token.logprob) for token in listed.values() if math.isfinite(token.logprob))
    return Answer(choice.message.content or "", choice.message.refusal, choice.finish_reason, first)

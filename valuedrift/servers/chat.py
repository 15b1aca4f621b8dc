"""A chat completion, as it is asked for and as it is answered: a request with what it is known by and may take, a checked reply or a fault."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from valuedrift.fingerprint import fingerprint
from valuedrift.servers.server import Server

_OVERHEAD = 256
"""Tokens that a server may add around the messages: template, default system prompt."""
BYTES_A_TOKEN = 4
"""UTF-8 bytes of one token in English text, about; for the pace and for what a plan tells, never for a budget."""


@dataclass(frozen=True, slots=True)
class Request:
    """A chat completion that is wanted."""

    body: Mapping[str, Any] = field(repr=False)
    """The JSON body as it is sent."""
    key: str
    """Content fingerprint of body, revision and draw: equal requests are asked once, ever."""
    most_prompt_tokens: int
    """No tokenizer makes more of the messages: one token a byte, and what templates add."""
    most_answer_tokens: int
    likely_tokens: int
    """Of prompt and answer, roughly; for the pace."""


def make_request(server: Server, messages: list[dict[str, str]], *, limit: int, n: int = 1, draw: str = "", **options: Any) -> Request:
    """Build a request.

    Args:
        server: The model that is asked, with what goes into each of its requests.
        messages: Chat messages, ``role`` and ``content``; what UTF-8 cannot hold (lone surrogates) is replaced.
        limit: Tokens that one answer may have.
        n: Answers wanted.
        draw: Tells apart equal requests that each want a draw of their own; not sent.
        options: Further fields (temperature, logprobs, seed …); those that are None are left out.
    """
    clean = [{name: text.encode("utf-8", "replace").decode() for name, text in message.items()} for message in messages]
    given = {name: value for name, value in options.items() if value is not None}
    body = {"model": server.model, "messages": clean, server.limit_field: limit, **({"n": n} if n > 1 else {}), **given, **server.extra}
    written = sum(len(message["content"].encode()) for message in clean)
    return Request(
        body=body,
        key=fingerprint({"body": body, "revision": server.revision, "draw": draw}),
        most_prompt_tokens=written + _OVERHEAD,
        most_answer_tokens=n * limit,
        likely_tokens=written // BYTES_A_TOKEN + n * limit,
    )


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
    reasoning_content: Any = None
    """Of servers that tell the thought apart; text, as is the other name for it."""
    reasoning: Any = None

    @model_validator(mode="before")
    @classmethod
    def _of_parts(cls, message: Any) -> Any:
        """Content that comes as a list of parts (Mistral): text is joined, thinking is the thought."""
        if not isinstance(message, dict) or not isinstance(message.get("content"), list):
            return message
        parts = message["content"]
        thought = _text_of([part.get("thinking") for part in parts if isinstance(part, dict) and part.get("type") == "thinking"])
        said = _text_of([part for part in parts if not (isinstance(part, dict) and part.get("type") == "thinking")])
        return {**message, "content": said, **({"reasoning_content": thought} if thought else {})}


def _text_of(part: Any) -> str:
    """The text in nested parts of a message."""
    if isinstance(part, list):
        return "".join(map(_text_of, part))
    if isinstance(part, dict):
        return _text_of(part.get("text"))
    return part if isinstance(part, str) else ""


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
    reasoning: str | None = None
    """The thought, where the server tells it apart."""


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
        completion = _Completion.model_validate_json(content)
    except ValidationError:
        return None
    return Reply(tuple(_answer(choice) for choice in completion.choices), completion.model, completion.usage)


def _answer(choice: _Choice) -> Answer:
    places = choice.logprobs.content if choice.logprobs is not None else None
    first = None
    if places:
        listed = {token.token: token for token in (places[0], *(places[0].top_logprobs or ()))}
        first = tuple(Token(token=token.token, logprob=token.logprob) for token in listed.values() if math.isfinite(token.logprob))
    thoughts = (choice.message.reasoning_content, choice.message.reasoning)
    reasoning = next((text for text in thoughts if isinstance(text, str) and text), None)
    return Answer(choice.message.content or "", choice.message.refusal, choice.finish_reason, first, reasoning)

"""One question to a server: its body, what it is known by, and how many tokens it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from valuedrift.fingerprint import fingerprint
from valuedrift.openai.server import Server

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

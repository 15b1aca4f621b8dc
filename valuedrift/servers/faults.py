"""What an HTTP status means for a request: ask again, give this one up, or stop altogether."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from valuedrift.errors import UserError
from valuedrift.servers.server import Server

_SHOWN = 300
"""Characters of a server's message that are shown."""
_OF_ONE_REQUEST = ("context_length_exceeded", "content_filter", "content_policy_violation", "string_above_max_length")
"""Error codes that speak about one request's text, not about the settings of all."""


class TransientFault(Exception):
    """May pass by itself: asked again.

    Args:
        what: What happened, for the user.
        retry_after: Seconds that the server asks to wait; None if it says nothing.
    """

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after = retry_after


class RequestFault(Exception):
    """This request will not be answered, however often it is asked.

    Args:
        what: What the server says of it.
        of_text: Whether it surely speaks of this request's text and not of the settings of all.
        fix: What may help if it speaks of the settings.
    """

    def __init__(self, what: str, *, of_text: bool, fix: str) -> None:
        super().__init__(what)
        self.of_text = of_text
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response that is not a success."""

    status: int
    text: str
    """Its body as text, without the key."""
    retry_after: str | None
    location: str | None


def fault_of(refusal: Refusal, server: Server) -> Exception:
    """The exception that a response stands for: TransientFault for 408, 429 and 5xx; UserError for what concerns all requests; else RequestFault."""
    message, code = _message(refusal.text)
    said = f"HTTP {refusal.status}{f': {message}' if message else ''}"
    where, kept = server.base_url, "what was answered is kept"
    match refusal.status:
        case 429 if code == "insufficient_quota":
            return UserError(f"the account has no quota left ({said})", where=where, fix=f"run the same command again when it has; {kept}")
        case 408 | 429:
            return TransientFault(said, _seconds(refusal.retry_after))
        case status if status >= 500:
            return TransientFault(said, _seconds(refusal.retry_after))
        case status if 300 <= status < 400:
            return UserError(
                f"the server sends us elsewhere ({said})", where=where, fix=f"base_url: {refusal.location or 'its real address'}"
            )
        case 401 | 403:
            named = (
                f"set {server.key_variable} to a valid key" if server.key_variable else "name the variable that holds the key: key_variable"
            )
            return UserError(f"the server refuses the key ({said})", where=where, fix=f"{named}; {kept}")
        case 404 | 405:
            fix = "check model and base_url; most addresses end in /v1"
            return UserError(f"no model {server.model!r}, or no chat completions there ({said})", where=where, fix=fix)
    return RequestFault(said, of_text=refusal.status == 413 or code in _OF_ONE_REQUEST, fix=_advice(message, server))


def _advice(message: str, server: Server) -> str:
    if "max_completion_tokens" in message and server.limit_field != "max_completion_tokens":
        return "limit_field: max_completion_tokens"
    if "logprobs" in message:
        return "the model gives no log-probabilities; a judge may let it vote: method: votes"
    return "check model, extra and the other settings"


def _message(text: str) -> tuple[str, str | None]:
    """The server's words and its error code; of anything but JSON the first line that says something."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    error = content.get("error", content) if isinstance(content, dict) else None
    if isinstance(error, dict):
        words = error.get("message") or error.get("detail") or ""
        code = error.get("code") or error.get("type")
        return shown(words if isinstance(words, str) else json.dumps(words)), code if isinstance(code, str) else None
    return shown(error if isinstance(error, str) else text), None


def shown(text: str) -> str:
    """A server's text in one short line."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text[: 4 * _SHOWN]).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date; None if there is none or it cannot be read."""
    if header is None:
        return None
    with suppress(ValueError):
        seconds = float(header)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())

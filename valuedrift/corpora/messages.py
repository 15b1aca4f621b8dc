"""Messages of a conversation as data hold them, and how a row that can't be learnt from is told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from valuedrift.errors import DataError

Message = dict[str, str]
"""A turn of a conversation: role (system, user or assistant) and content."""

ASSISTANT = "assistant"
ROLES: Mapping[str, str] = MappingProxyType(
    {
        "system": "system",
        "developer": "system",
        "user": "user",
        "human": "user",
        "prompter": "user",
        ASSISTANT: ASSISTANT,
        "gpt": ASSISTANT,
        "bot": ASSISTANT,
        "chatgpt": ASSISTANT,
        "model": ASSISTANT,
    }
)
UNLEARNT = "unlearnt"
"""Key of a message that is marked as not to be learnt, until the row is in normal form."""
KEYS = (("role", "content"), ("from", "value"))
"""Names of who speaks and of what is said."""


def role_of(name: str) -> str | None:
    """Who speaks under a name: system, user or assistant; None if that is not known."""
    return ROLES.get(name.strip().lower())


def message_keys(message: Any) -> tuple[str, str] | None:
    """The names under which an object holds who speaks and what is said, those that are filled before others; None if it is no message."""
    there = [keys for keys in KEYS if isinstance(message, Mapping) and set(keys) <= message.keys()]
    filled = (keys for keys in there if message[keys[0]] is not None and message[keys[1]] is not None)
    return next(filled, there[0] if there else None)


class LeftOutError(Exception):
    """A row that cannot be trained on, though its file is sound; counted under its reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class MarkedError(LeftOutError):
    """A row that its data mark as not to be learnt."""


class UnreadableError(DataError):
    """A row of a kind that can't be read; it is left out, and its neighbours are not.

    Args:
        kind: What it is counted under.
        what: What is wrong with this very row; default: its kind.
        where: File and row.
        fix: What would be right.
    """

    def __init__(self, kind: str, what: str = "", *, where: str | None = None, fix: str | None = None) -> None:
        self.kind = kind
        super().__init__(what or kind, where=where, fix=fix)

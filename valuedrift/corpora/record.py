"""One row as it was read, with errors that name the file, the row and the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from valuedrift.errors import DataError

Message = dict[str, str]
"""A turn of a conversation: role (system, user or assistant) and content."""

_ROLES: Mapping[str, str] = MappingProxyType(
    {
        "system": "system",
        "developer": "system",
        "user": "user",
        "human": "user",
        "prompter": "user",
        "assistant": "assistant",
        "gpt": "assistant",
        "bot": "assistant",
        "chatgpt": "assistant",
        "model": "assistant",
    }
)
_TOOL_ROLES = frozenset({"tool", "function", "function_call", "observation"})
_KEYS = (("role", "content"), ("from", "value"))


class LeftOutError(Exception):
    """A row that cannot be trained on, though its file is sound; counted under its reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a dataset under standard column names."""

    values: Mapping[str, Any]
    where: str
    """File and row, for errors."""

    def text(self, *names: str) -> str:
        """The string in the first of these columns that the row has.

        Raises:
            DataError: The row has none of them, or holds no string there.
        """
        for name in names:
            if name in self.values:
                return self._string(self.values[name], f"`{name}`")
        wanted = " or ".join(f"`{name}`" for name in names)
        raise DataError(f"has no {wanted}", where=self.where, fix=f"columns here: {', '.join(self.values) or 'none'}")

    def optional(self, *names: str) -> str:
        """The string in the first of these columns that the row has and that is not null; empty where there is none."""
        for name in names:
            if self.values.get(name) is not None:
                return self._string(self.values[name], f"`{name}`")
        return ""

    def turns(self, *names: str, role: str | None = None) -> list[Message]:
        """The messages in the first of these columns that the row has.

        Args:
            names: Columns to look in.
            role: Who says it where the column holds a plain string; None if only a list will do.

        Raises:
            DataError: No such column, or not a list of messages.
            LeftOutError: A message of a tool.
        """
        name = next((name for name in names if name in self.values), names[0])
        value = self.values.get(name)
        if role is not None and not isinstance(value, list):
            return [{"role": role, "content": self.text(name)}]
        if not isinstance(value, list):
            found = "is null" if value is None else f"holds {type(value).__name__}"
            raise DataError(f"`{name}` {found}", where=self.where, fix="a list of messages, each with role and content (or from and value)")
        return [self._message(message, f"`{name}`, message {index}") for index, message in enumerate(value, start=1)]

    def _message(self, message: Any, key: str) -> Message:
        keys = message_keys(message)
        if keys is None:
            raise DataError(f"{key} is no message", where=self.where, fix="an object with role and content (or from and value)")
        role = self._string(message[keys[0]], f"{key}, {keys[0]}").strip().lower()
        if role in _TOOL_ROLES:
            raise LeftOutError(f"has a {role} message")
        if role not in _ROLES:
            raise DataError(f"{key} has the unknown role {role!r}", where=self.where, fix=f"known: {', '.join(_ROLES)}")
        return {"role": _ROLES[role], "content": self._string(message[keys[1]], f"{key}, {keys[1]}")}

    def _string(self, value: Any, key: str) -> str:
        if isinstance(value, str):
            return value
        found = "is null" if value is None else f"holds {type(value).__name__} {str(value)[:40]!r}"
        raise DataError(f"{key} {found}", where=self.where, fix="a string")


def message_keys(message: Any) -> tuple[str, str] | None:
    """The names under which an object holds who speaks and what is said; None if it is no message."""
    return next((keys for keys in _KEYS if isinstance(message, Mapping) and set(keys) <= message.keys()), None)

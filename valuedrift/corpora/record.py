"""One row as it was read, with errors that name the file, the row and the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from valuedrift.corpora.dataset import Learn
from valuedrift.corpora.marks import MASKS, NAMES, SOME, is_unlearnt, masked
from valuedrift.corpora.messages import ASSISTANT, KEYS, ROLES, UNLEARNT, LeftOutError, Message, UnreadableError, message_keys, role_of

_TOOL_ROLES = frozenset({"tool", "function", "function_call", "observation", "ipython", "tool_response", "tool_call"})
_TOOL_CALLS = ("tool_calls", "function_call")
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_KNOWN = frozenset(name for names in KEYS for name in names) | NAMES
JOINED = "text parts of a message joined"


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a dataset under standard column names."""

    values: Mapping[str, Any]
    where: str
    """File and row, for errors."""
    learn: Learn = "last"
    """Which answers of a conversation are learnt."""
    read: set[str] = field(default_factory=set)
    """Columns that were looked into."""
    notes: set[str] = field(default_factory=set)
    """What was seen in it and neither taken nor a reason to leave it out."""

    def text(self, *names: str) -> str:
        """The string in the first of these columns that the row has, one that is not null before others.

        Raises:
            UnreadableError: The row has none of them, or holds no string there.
        """
        name = self._filled(names)
        if name is not None:
            return self._string(self.values[name], f"`{name}`")
        wanted = " or ".join(f"`{name}`" for name in names)
        raise UnreadableError(f"has no {wanted}", where=self.where, fix=f"columns here: {', '.join(self.values) or 'none'}")

    def optional(self, *names: str) -> str:
        """The string in the first of these columns that the row has and that is not null; empty where there is none."""
        name = self._filled(names)
        return "" if name is None or self.values[name] is None else self._string(self.values[name], f"`{name}`")

    def turns(self, *names: str, role: str | None = None) -> list[Message]:
        """The messages in the first of these columns that the row has, one that is not null before others.

        Args:
            names: Columns to look in.
            role: Who says it where the column holds a plain string; None if only a list will do.

        Raises:
            UnreadableError: No such column, not a list of messages, or a message of a tool.
        """
        name = self._filled(names) or names[0]
        value = self.values.get(name)
        if role is not None and not isinstance(value, list):
            return [{"role": role, "content": self.text(name)}]
        if not isinstance(value, list):
            raise self._fault(f"`{name}`", value, "a list of messages, each with role and content (or from and value)")
        if role is not None and value and all(_is_part(part) for part in value):
            return [{"role": role, "content": self._string(value, f"`{name}`")}]
        turns = [self._message(message, f"`{name}`", index) for index, message in enumerate(value, start=1)]
        return self._with_marks(turns, value, whole=role is None)

    def system(self) -> list[Message]:
        """The system prompt that stands in a column of its own, as a message; empty where there is none."""
        name = next((name for name in ("system", "system_prompt") if isinstance(self.values.get(name), str)), None)
        if name is None:
            return []
        self.read.add(name)
        return [{"role": "system", "content": self.values[name]}] if self.values[name].strip() else []

    def _filled(self, names: Sequence[str]) -> str | None:
        """The column to read: the first that is there and not null, else the first that is there."""
        self.read.update(names)
        there = [name for name in names if name in self.values]
        return next((name for name in there if self.values[name] is not None), there[0] if there else None)

    def _with_marks(self, turns: list[Message], read: Sequence[Mapping[str, Any]], *, whole: bool) -> list[Message]:
        """The turns, those that are marked as not to be learnt with the key that says so; a mask in the row is of a whole conversation."""
        by_row = masked(self.values, turns) if whole else [False] * len(turns)
        if whole:
            self.read.update(name for name in MASKS if isinstance(self.values.get(name), list))
        for turn, message, hidden in zip(turns, read, by_row, strict=True):
            if turn["role"] == ASSISTANT and (hidden or is_unlearnt(message, self.notes)):
                turn[UNLEARNT] = "yes"
        answers = [turn for turn in turns if turn["role"] == ASSISTANT]
        if self.learn == "all" and 0 < sum(UNLEARNT in turn for turn in answers) < len(answers):
            self.notes.add(SOME)  # also where it is the last, which is cut off
        return turns

    def _message(self, message: Any, key: str, index: int) -> Message:
        keys = message_keys(message)
        if keys is None:
            what = f"{key}, message {index} is no message"
            raise UnreadableError(
                f"{key} holds something that is no message",
                what,
                where=self.where,
                fix="an object with role and content (or from and value)",
            )
        said, place = message[keys[0]], f"{key}, message {index}"
        if not isinstance(said, str):
            raise self._fault(f"{key}, {keys[0]}", said, "a string", f"{place}, {keys[0]}")
        role = said.strip().lower()
        if role in _TOOL_ROLES:
            raise LeftOutError(f"has {'an' if role[0] in 'aeiou' else 'a'} {role} message")
        calls = next((name for name in _TOOL_CALLS if message.get(name)), None)
        if calls is not None:
            raise LeftOutError(f"calls a tool (`{calls}`)")
        speaker = role_of(role)
        if speaker is None:
            kind = f"has the unknown role {role[:40]!r}"
            raise UnreadableError(kind, f"{place} {kind}", where=self.where, fix=f"known: {', '.join(ROLES)}")
        self.notes.update(f"`{name}` of messages not read" for name, value in message.items() if name not in _KNOWN and holds(value))
        content = self._string(message[keys[1]], f"{key}, {keys[1]}", f"{place}, {keys[1]}")
        return {"role": speaker, "content": content}

    def _string(self, value: Any, key: str, place: str = "") -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(_is_part(part) for part in value):
            other = next((_kind_of_part(part) for part in value if _kind_of_part(part) not in _TEXT_PARTS), None)
            if other is not None:
                raise UnreadableError(f"has a part that is no text ({other})", where=self.where, fix="text parts")
            if len(value) > 1:
                self.notes.add(JOINED)
            return "".join(part if isinstance(part, str) else str(part["text"]) for part in value)
        raise self._fault(key, value, "a string", place)

    def _fault(self, key: str, value: Any, wanted: str, place: str = "") -> UnreadableError:
        found = "is null" if value is None else f"holds {type(value).__name__}"
        shown = "" if value is None or wanted != "a string" else f" {str(value)[:40]!r}"
        return UnreadableError(f"{key} {found}", f"{place or key} {found}{shown}", where=self.where, fix=wanted)


def _is_part(value: Any) -> bool:
    """Whether it is a part of a message's content as chat servers take it."""
    return isinstance(value, str) or (isinstance(value, Mapping) and isinstance(value.get("type"), str) and message_keys(value) is None)


def _kind_of_part(part: Any) -> str:
    if isinstance(part, str):
        return "text"
    return str(part["type"]) if isinstance(part.get("text"), str) or part["type"] not in _TEXT_PARTS else f"{part['type']} without text"


def holds(value: Any) -> bool:
    """Whether there is something in a value."""
    return value is not None and value != "" and value != [] and value != {}

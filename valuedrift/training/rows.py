"""The normalised dataset files that training reads: JSON Lines of demonstrations, of preferences or of labelled answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from valuedrift.corpora.registry import Kind
from valuedrift.errors import DataError

Message = dict[str, str]
_Row = TypeVar("_Row")
_SFT_SHAPE = 'expected {"prompt": text, "response": text} or {"messages": [{"role", "content"}, …]} ending with the assistant'
_PREFERENCE_SHAPE = 'expected {"prompt": text or messages, "chosen": text, "rejected": text}'


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A conversation whose last message is an answer to learn."""

    prompt: tuple[Message, ...]
    response: str
    earlier: tuple[int, ...] = ()
    """Places in the prompt of answers that are learnt too."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole conversation."""
        return (*self.prompt, {"role": "assistant", "content": self.response})

    @property
    def learnt(self) -> tuple[int, ...]:
        """Places in the conversation of all answers that are learnt."""
        return (*self.earlier, len(self.prompt))


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, the first of which is preferred."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled(Demonstration):
    """A conversation whose last message is an answer that somebody found good or bad."""

    label: bool


def read_demonstrations(path: Path) -> list[Demonstration]:
    """Read SFT rows: ``{"prompt", "response"}`` or ``{"messages": [{"role", "content"}, …]}`` that end with the assistant.

    Raises:
        DataError: The file is missing, empty, not UTF-8 or a row has another shape; names file and row.
    """
    return _read(path, _demonstration, _SFT_SHAPE)


def read_preferences(path: Path) -> list[Preference]:
    """Read preference rows: ``{"prompt", "chosen", "rejected"}``; the prompt a text or a list of messages.

    Raises:
        DataError: The file is missing, empty, not UTF-8 or a row has another shape; names file and row.
    """
    return _read(path, _preference, _PREFERENCE_SHAPE)


def read_labelled(path: Path) -> list[Labelled]:
    """Read labelled answers: rows as ``read_demonstrations`` reads them, each with ``label``, true or false.

    Raises:
        DataError: The file is missing, empty, not UTF-8 or a row has another shape; names file and row.
    """
    return _read(path, _labelled, f"{_SFT_SHAPE}, with label: true or false")


READERS: Mapping[Kind, Callable[[Path], list[Any]]] = {
    "sft": read_demonstrations,
    "preference": read_preferences,
    "labelled": read_labelled,
}
"""How a dataset is read, by the kind of its rows."""


def _read(path: Path, parse: Callable[[Mapping[str, Any]], _Row], shape: str) -> list[_Row]:
    rows = []
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"not valid JSON: {error}", where=f"{path}, row {number}", fix=shape) from None
        if not isinstance(row, dict):
            raise DataError("not a JSON object", where=f"{path}, row {number}", fix=shape)
        rows.append(_parsed(row, parse, shape, f"{path}, row {number}"))
    if not rows:
        raise DataError("the dataset has no rows", where=str(path), fix="one JSON object a line")
    return rows


def parse_row(row: Mapping[str, Any], kind: Kind, where: str | None = None) -> Demonstration | Preference:
    """A row in normal form, as training takes it.

    Raises:
        DataError: It has another shape.
    """
    parse, shape = _PARSERS[kind]
    return _parsed(row, parse, shape, where)


def _parsed(row: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], _Row], shape: str, where: str | None) -> _Row:
    try:
        return parse(row)
    except _Fault as fault:
        raise DataError(str(fault), where=where, fix=shape) from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError("no such dataset file", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error}", where=str(path)) from None
    # by newline only: str.splitlines() would also cut at U+2028, which JSON strings may hold
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


class _Fault(Exception):
    """What is wrong with a row."""


def _demonstration(row: Mapping[str, Any]) -> Demonstration:
    if "messages" not in row:
        return Demonstration(prompt=_prompt(row), response=_text(row, "response"))
    messages = _messages(row["messages"], "messages")
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise _Fault("messages do not end with an answer of the assistant")
    if not messages[-1]["content"].strip():
        raise _Fault("the assistant's last message is empty")
    return Demonstration(prompt=messages[:-1], response=messages[-1]["content"], earlier=_earlier(row, messages))


def _earlier(row: Mapping[str, Any], messages: tuple[Message, ...]) -> tuple[int, ...]:
    """The places of learnt answers but the last, which is always learnt."""
    if "learn" not in row:
        return ()
    places = row["learn"]
    answers = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    if not isinstance(places, list) or sorted(set(places) & set(answers)) != places or places[-1:] != answers[-1:]:
        raise _Fault("'learn' does not list the places of answers up to the last, in their order")
    return tuple(places[:-1])


def _labelled(row: Mapping[str, Any]) -> Labelled:
    demonstration = _demonstration(row)
    if not isinstance(row.get("label"), bool):
        raise _Fault("'label' is not true or false")
    return Labelled(demonstration.prompt, demonstration.response, label=row["label"])


def _preference(row: Mapping[str, Any]) -> Preference:
    return Preference(prompt=_prompt(row), chosen=_text(row, "chosen"), rejected=_text(row, "rejected"))


def _prompt(row: Mapping[str, Any]) -> tuple[Message, ...]:
    prompt = row.get("prompt")
    if isinstance(prompt, list):
        return _messages(prompt, "prompt")
    return ({"role": "user", "content": _text(row, "prompt")},)


def _messages(value: Any, field: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _Fault(f"{field!r} is not a list of messages")
    for message in value:
        if not (isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)):
            raise _Fault(f"{field!r} holds something that is not a message with role and content")
    return tuple({"role": message["role"], "content": message["content"]} for message in value)


def _text(row: Mapping[str, Any], field: str) -> str:
    if field not in row:
        raise _Fault(f"no field {field!r}; it has {', '.join(map(repr, row)) or 'none'}")
    value = row[field]
    if not isinstance(value, str):
        raise _Fault(f"{field!r} is not a text")
    if not value.strip():
        raise _Fault(f"{field!r} is empty")
    return value


_PARSERS: Mapping[Kind, tuple[Callable[[Mapping[str, Any]], Demonstration | Preference], str]] = {
    "sft": (_demonstration, _SFT_SHAPE),
    "preference": (_preference, _PREFERENCE_SHAPE),
    "labelled": (_labelled, f"{_SFT_SHAPE}, with label: true or false"),
}

"""The shapes in which training data are usually handed round: one adapter each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from valuedrift.corpora.messages import LeftOutError, Message, UnreadableError, message_keys
from valuedrift.corpora.normal import Row, demonstrated, is_label, labelled_row, pair_row, sft_row, unpaired
from valuedrift.corpora.record import Record

Kind = Literal["sft", "preference", "labelled"]
_MESSAGES = ("messages", "conversations", "conversation")
_QUESTIONS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"))
_INPUT = ("input", "context")
_OUTPUT = ("output", "response")
_LABEL = ("label", "kto_tag")
_BAD_WORDS = frozenset({"false", "undesirable", "rejected"})
_TRANSCRIPT = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Adapter:
    """How rows of one shape are recognised and brought into the normal form."""

    name: str
    kind: Kind
    shape: str
    """The columns it reads, as shown in errors."""
    columns: frozenset[str]
    """Every column name it reads."""
    recognises: Callable[[Mapping[str, Any]], bool]
    """Whether a row (the first one) is in this shape."""
    read: Callable[[Record], Row]
    """The normal form of a row; raises UnreadableError or LeftOutError."""


SYSTEM = frozenset({"system", "system_prompt"})
"""Columns of any shape that hold a system prompt."""


def _opened(record: Record, turns: list[Message]) -> list[Message]:
    """The conversation after the system prompt that its row holds beside it; one within the conversation goes first."""
    system = record.system()
    if not system or not turns:
        return turns
    if turns[0]["role"] != "system":
        return system + turns
    if not turns[0]["content"].strip():
        return system + turns[1:]
    if turns[0]["content"].strip() != system[0]["content"].strip():
        record.notes.add("a system prompt beside the conversation's own not read")
    return turns


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and message_keys(value[0]) is not None


def _has_messages(row: Mapping[str, Any]) -> bool:
    # an empty list is a conversation too: that row is left out, its neighbours are not
    return any(_is_conversation(row.get(name)) or row.get(name) == [] for name in _MESSAGES)


def _read_messages(record: Record) -> Row:
    return sft_row(_opened(record, record.turns(*_MESSAGES)), record.learn)


def _has_question(row: Mapping[str, Any]) -> bool:
    return any(set(columns) <= row.keys() for columns in _QUESTIONS)


def _read_question(record: Record) -> Row:
    there = [columns for columns in _QUESTIONS if set(columns) <= record.values.keys()]
    filled = (columns for columns in there if all(record.values[name] is not None for name in columns))
    question, answer = next(filled, there[0] if there else _QUESTIONS[0])
    turns = record.turns(question, role="user") + record.turns(answer, role="assistant")
    return sft_row(_opened(record, turns), record.learn)


def _has_instruction(row: Mapping[str, Any]) -> bool:
    return "instruction" in row and any(name in row for name in _OUTPUT)


def _instruction(record: Record) -> Message:
    """Instruction and input as one request, with a blank line between; without Alpaca's boilerplate, since the chat template frames it."""
    parts = record.text("instruction"), record.optional(*_INPUT)
    return {"role": "user", "content": "\n\n".join(part for part in parts if part.strip())}


def _read_instruction(record: Record) -> Row:
    return sft_row(_opened(record, [_instruction(record), *_answer(record.text(*_OUTPUT))]))


def _answer(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def _is_pair(row: Mapping[str, Any]) -> bool:
    return {"chosen", "rejected"} <= row.keys()


def _has_pair(row: Mapping[str, Any]) -> bool:
    return _is_pair(row) and not _has_transcripts(row) and ("prompt" in row or _is_conversation(row["chosen"]))


def _read_pair(record: Record) -> Row:
    chosen, rejected = record.turns("chosen", role="assistant"), record.turns("rejected", role="assistant")
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if not turns:
            raise LeftOutError(f"empty {name}")
    return _pair(record, _continued(record, chosen), _continued(record, rejected))


def _pair(record: Record, chosen: list[Message], rejected: list[Message]) -> Row:
    return pair_row(_opened(record, chosen), _opened(record, rejected))


def _continued(record: Record, turns: list[Message]) -> list[Message]:
    """A conversation as it is if it holds the question (UltraFeedback); after the prompt if it is only the answer to it."""
    if any(turn["role"] == "user" for turn in turns):
        return turns
    return record.turns("prompt", role="user") + turns


def _has_transcripts(row: Mapping[str, Any]) -> bool:
    start = row.get("prompt", row.get("chosen"))
    return _is_pair(row) and isinstance(start, str) and _TRANSCRIPT.match(start) is not None


def _read_transcripts(record: Record) -> Row:
    prompt = record.optional("prompt")
    return _pair(record, _transcript(prompt + record.text("chosen")), _transcript(prompt + record.text("rejected")))


def _transcript(text: str) -> list[Message]:
    """The turns of a text in which each begins with Human: or Assistant: after a blank line."""
    before, *parts = _TRANSCRIPT.split(text)
    opening = [{"role": "system", "content": before.strip()}] if before.strip() else []
    return opening + [{"role": _SPEAKERS[speaker], "content": said.strip()} for speaker, said in zip(parts[::2], parts[1::2], strict=True)]


def _has_instruction_pair(row: Mapping[str, Any]) -> bool:
    return _is_pair(row) and "instruction" in row and "prompt" not in row


def _read_instruction_pair(record: Record) -> Row:
    question = _instruction(record)
    return _pair(record, [question, *_answer(record.text("chosen"))], [question, *_answer(record.text("rejected"))])


def _has_label(row: Mapping[str, Any]) -> bool:
    return any(is_label(row.get(name)) for name in _LABEL) and any(recognises(row) for recognises, _ in _ANSWERS)


def is_bad(row: Mapping[str, Any]) -> bool:
    """Whether a row says in so many words that its answer is bad; a 0 may be anything."""
    return any(str(row.get(name)).strip().lower() in _BAD_WORDS for name in _LABEL)


def _read_label(record: Record) -> Row:
    read = next((read for recognises, read in _ANSWERS if recognises(record.values)), _read_question)
    name = next((name for name in _LABEL if record.values.get(name) is not None), _LABEL[0])
    record.read.update(_LABEL)
    try:
        return labelled_row(read(record), record.values.get(name))
    except ValueError as error:
        fix = "true or false (or 1 or 0); `format: prompt-completion` or another takes all answers as ones to learn"
        raise UnreadableError(f"`{name}` holds no label", f"`{name}`: {error}", where=record.where, fix=fix) from error


_ANSWERS = ((_has_messages, _read_messages), (_has_question, _read_question), (_has_instruction, _read_instruction))


def _adapter(
    name: str, kind: Kind, shape: str, columns: set[str], recognises: Callable[[Mapping[str, Any]], bool], read: Callable[[Record], Row]
) -> Adapter:
    return Adapter(name, kind, shape, frozenset(columns), recognises, read)


_PAIR = {"chosen", "rejected"}
ADAPTERS: Mapping[str, Adapter] = MappingProxyType(
    {
        adapter.name: adapter
        for adapter in (
            _adapter(
                "hh-rlhf",
                "preference",
                "chosen and rejected, transcripts of Human: and Assistant:",
                _PAIR | {"prompt"},
                _has_transcripts,
                _read_transcripts,
            ),
            _adapter("preference", "preference", "prompt, chosen, rejected", _PAIR | {"prompt"}, _has_pair, _read_pair),
            _adapter(
                "instruction-preference",
                "preference",
                "instruction, (input,) chosen, rejected",
                _PAIR | {"instruction", *_INPUT},
                _has_instruction_pair,
                _read_instruction_pair,
            ),
            _adapter(
                "labelled",
                "labelled",
                "any shape of single answers, and label (or kto_tag): true or false",
                {*_LABEL, *_MESSAGES, *_INPUT, *_OUTPUT, "instruction"} | {name for columns in _QUESTIONS for name in columns},
                _has_label,
                _read_label,
            ),
            _adapter(
                "messages",
                "sft",
                "messages (or conversations, conversation), a list of {role, content} or {from, value}",
                set(_MESSAGES),
                _has_messages,
                _read_messages,
            ),
            _adapter(
                "prompt-completion",
                "sft",
                "prompt and completion (or prompt and response, question and answer)",
                {name for columns in _QUESTIONS for name in columns},
                _has_question,
                _read_question,
            ),
            _adapter(
                "alpaca",
                "sft",
                "instruction, (input,) output",
                {"instruction", *_INPUT, *_OUTPUT},
                _has_instruction,
                _read_instruction,
            ),
        )
    }
)
"""Adapters by name. Pairs stand first: data that hold pairs and answers (UltraFeedback has `messages` too) are taken for pairs."""

CONVERSIONS: Mapping[tuple[Kind, Kind], Callable[[Row], list[Row]]] = MappingProxyType(
    {("labelled", "sft"): demonstrated, ("preference", "labelled"): unpaired}
)
"""Rows of one kind as rows of another, by what they are and what is asked for; raises LeftOutError for a row that gives none."""

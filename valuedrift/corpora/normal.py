"""The normal form of a row: what is trained on, whatever shape it came in, and which rows can't be trained on."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Sequence
from typing import Any

from valuedrift.corpora.dataset import Learn
from valuedrift.corpora.marks import MARKED
from valuedrift.corpora.messages import ASSISTANT, UNLEARNT, LeftOutError, MarkedError, Message
from valuedrift.fingerprint import LENGTH, seed_from

_GOOD, _BAD = ("true", "1", "1.0", "yes", "desirable", "chosen"), ("false", "0", "0.0", "no", "undesirable", "rejected")
_LABELS = dict.fromkeys(_GOOD, True) | dict.fromkeys(_BAD, False)

Row = dict[str, Any]
"""sft: prompt, response; or messages, where any row of the set is more than one exchange, and learn, where not the last answer alone is learnt: the
places of those that are, from 0. preference: prompt, chosen, rejected;
prompt is a string, or a list of messages where that of any row is more than one question. labelled: as sft, with label, true or false.
With topic where the data have one."""


def sft_row(turns: list[Message], learn: Learn = "last") -> Row:
    """A conversation to learn from.

    Args:
        turns: Its messages, answers that are marked as not to be learnt with `UNLEARNT`.
        learn: Which answers are learnt; with ``all`` what stands behind the last of them is cut off.

    Raises:
        LeftOutError: It is no sound conversation that ends with an answer, or none is to be learnt.
    """
    answers = [at for at, turn in enumerate(turns) if turn["role"] == ASSISTANT]
    learnt = [at for at in (answers if learn == "all" else answers[-1:]) if UNLEARNT not in turns[at]]
    if answers and not learnt:
        raise MarkedError(MARKED)
    if learn == "all" and learnt:
        turns = turns[: learnt[-1] + 1]
    whole = len(turns)
    turns = _sound(_plain(turns))
    shift = whole - len(turns)  # an empty system message is taken out
    if len(learnt) > 1:
        return {"messages": turns, "learn": [at - shift for at in learnt]}
    if len(turns) > 2:
        return {"messages": turns}
    return {"prompt": turns[0]["content"], "response": turns[1]["content"]}


def pair_row(chosen: list[Message], rejected: list[Message]) -> Row:
    """Two conversations that differ in their last answer only.

    Raises:
        LeftOutError: One of them is no sound conversation, they differ earlier, or not at all.
    """
    if any(UNLEARNT in turns[-1] for turns in (chosen, rejected) if turns):
        raise MarkedError(MARKED)
    chosen, rejected = _plain(chosen), _plain(rejected)
    if chosen == rejected:
        raise LeftOutError("chosen and rejected are the same")
    chosen, rejected = _sound(chosen, "chosen"), _sound(rejected, "rejected")
    if chosen[:-1] != rejected[:-1]:
        raise LeftOutError("chosen and rejected differ before the last answer")
    answers = chosen[-1]["content"], rejected[-1]["content"]
    if answers[0].strip() == answers[1].strip():
        raise LeftOutError("chosen and rejected are the same")
    prompt = chosen[:-1]
    return {"prompt": prompt if len(prompt) > 1 else prompt[0]["content"], "chosen": answers[0], "rejected": answers[1]}


def labelled_row(demonstration: Row, label: object) -> Row:
    """An answer that somebody found good or bad.

    Args:
        demonstration: The conversation that ends with it, as ``sft_row`` gives it.
        label: As the data have it: true or false, 1 or 0, or one of these as text; also yes or no, desirable or undesirable, chosen or rejected.

    Raises:
        LeftOutError: It has no label.
        ValueError: The label is something else.
    """
    if label is None or (isinstance(label, str) and not label.strip()):
        raise LeftOutError("no label")
    if not is_label(label):
        raise ValueError(f"{label!r} is no label")
    return {**demonstration, "label": _LABELS[str(label).strip().lower()]}


def is_label(value: object) -> bool:
    """Whether a value says that an answer is good or bad."""
    return isinstance(value, bool | int | float | str) and str(value).strip().lower() in _LABELS


def unpaired(pair: Row) -> list[Row]:
    """A pair as two labelled answers: the chosen one true, the rejected one false."""
    return [_answered(pair, pair["chosen"], label=True), _answered(pair, pair["rejected"], label=False)]


def demonstrated(labelled: Row) -> list[Row]:
    """A labelled answer as one to learn.

    Raises:
        LeftOutError: It is labelled false.
    """
    if not labelled["label"]:
        raise MarkedError("labelled false")
    return [{name: value for name, value in labelled.items() if name != "label"}]


def _answered(row: Row, answer: str, *, label: bool) -> Row:
    prompt = row["prompt"]
    rest = {name: value for name, value in row.items() if name == "topic"} | {"label": label}
    if isinstance(prompt, str):
        return {"prompt": prompt, "response": answer, **rest}
    return {"messages": [*prompt, _message("assistant", answer)], **rest}


def _plain(turns: list[Message]) -> list[Message]:
    return [_message(turn["role"], turn["content"]) for turn in turns]


def _sound(turns: list[Message], answer: str = "response") -> list[Message]:
    """The conversation without an empty system message, if it is an alternation of user and assistant that ends with an answer."""
    if turns and turns[0]["role"] == "system" and not turns[0]["content"].strip():
        turns = turns[1:]
    spoken = turns[1:] if turns and turns[0]["role"] == "system" else turns
    if not spoken:
        raise LeftOutError("no messages")
    if any(turn["role"] != ("user", "assistant")[index % 2] for index, turn in enumerate(spoken)):
        raise LeftOutError("user and assistant do not take turns")
    if len(spoken) % 2:
        raise LeftOutError("no answer at the end")
    if not spoken[-1]["content"].strip():
        raise LeftOutError(f"empty {answer}")
    if not all(turn["content"].strip() for turn in spoken):
        raise LeftOutError("empty prompt" if len(spoken) == 2 else "empty message")
    for turn in turns:
        _check_characters(turn["content"])
    return turns


def _check_characters(text: str) -> None:
    if "\0" in text:
        raise LeftOutError("NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LeftOutError("half a surrogate pair (not valid Unicode)") from error


def with_topic(row: Row, topic: object) -> Row:
    """The row with its topic, where the data give one (a string that is not blank)."""
    if not isinstance(topic, str) or not topic.strip():
        return row
    _check_characters(topic)
    return {**row, "topic": topic}


def canonical(row: Row) -> str:
    """The row as JSON, with keys in order."""
    return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sample(rows: list[Row], limit: int | None) -> list[Row]:
    """The rows with the smallest content hashes, in their order; a smaller sample lies within a larger one."""
    if limit is None or limit >= len(rows):
        return rows
    hashes = ((seed_from("limit", canonical(row)), index) for index, row in enumerate(rows))
    return [rows[index] for index in sorted(index for _, index in heapq.nsmallest(limit, hashes))]


def uniform(rows: list[Row]) -> list[Row]:
    """The rows in one form: all of them conversations if any is one, so that they fit one table (TRL goes by the first row)."""
    if any("messages" in row for row in rows):
        return [_conversation(row) for row in rows]
    if any(isinstance(row.get("prompt"), list) for row in rows):
        return [row if isinstance(row["prompt"], list) else {**row, "prompt": [_message("user", row["prompt"])]} for row in rows]
    return rows


def _conversation(row: Row) -> Row:
    if "messages" in row:
        return row
    rest: Row = {name: row[name] for name in ("label", "topic") if name in row}
    return {"messages": [_message("user", row["prompt"]), _message("assistant", row["response"])], **rest}


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def rows_fingerprint(rows: Sequence[Row]) -> str:
    """Content hash of the rows in their order: equal under any path and in any file format."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(canonical(row).encode() + b"\n")
    return digest.hexdigest()[:LENGTH]

"""Multiple-choice items in files of users: a question, its choices, and which of them is right.

A shape is one entry in the list below: what of a row it reads, and how.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valuedrift.errors import DataError
from valuedrift.tabular import read_rows

_LETTERS = string.ascii_uppercase
_SHOWN = (
    "question, choices and answer, or as MMLU (question, A, B, C, D, answer), PIQA (goal, sol1, sol2, label), HellaSwag (ctx, endings, label) "
    "and ARC (question, choices, answerKey) have them"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One item.

    Attributes:
        question: What is asked.
        choices: What may be answered, two or more.
        answer: Place of the right one, from 0.
    """

    question: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """How some file has its items.

    Attributes:
        columns: What a row of it has.
        question: Column of the question.
        choices: Gives the choices of a row.
        answer: Column of the answer.
    """

    columns: tuple[str, ...]
    question: str
    choices: Callable[[Mapping[str, Any]], Any]
    answer: str


def _letters_of(row: Mapping[str, Any]) -> list[Any]:
    """Choices that have a column each, A, B, C …; the last ones may be empty."""
    cells = [row.get(letter) for letter in _LETTERS if letter in row]
    while cells and cells[-1] in (None, ""):
        cells.pop()
    return cells


_SHAPES = (
    _Shape(("question", "choices", "answer"), "question", lambda row: row["choices"], "answer"),
    _Shape(("question", "choices", "answerKey"), "question", lambda row: row["choices"], "answerKey"),
    _Shape(("question", "A", "B", "answer"), "question", _letters_of, "answer"),
    _Shape(("goal", "sol1", "sol2", "label"), "goal", lambda row: [row["sol1"], row["sol2"]], "label"),
    _Shape(("ctx", "endings", "label"), "ctx", lambda row: row["endings"], "label"),
)


def read_items(file: Path) -> list[Item]:
    """The items of a file, in its order.

    Args:
        file: Parquet, JSONL, JSON or CSV, in one of the shapes that benchmarks have.

    Raises:
        UserError: No such file, or no known kind of file.
        DataError: It holds no items, or one that is none; says which row.
    """
    items = []
    for row in read_rows(file):
        shape = next((one for one in _SHAPES if all(name in row.values for name in one.columns)), None)
        if shape is None:
            found = ", ".join(row.values) or "nothing"
            raise DataError(f"no multiple-choice item: has {found}", where=row.where, fix=_SHOWN)
        items.append(_item(row.values, shape, row.where))
    if not items:
        raise DataError("no items in it", where=str(file), fix=f"a row an item: {_SHOWN}")
    return items


def _item(row: Mapping[str, Any], shape: _Shape, where: str) -> Item:
    question = row[shape.question]
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"`{shape.question}` is empty or no text", where=where, fix="every item asks something")
    choices, labels = _labelled(shape.choices(row), where)
    answer = row[shape.answer]
    place = _place(answer, choices, labels)
    if place is None:
        known = f"0 to {len(choices) - 1}, {labels[0]} to {labels[-1]}, or the text of a choice"
        raise DataError(f"`{shape.answer}` is {answer!r}, which is none of its {len(choices)} choices", where=where, fix=known)
    return Item(question, choices, place)


def _labelled(given: Any, where: str) -> tuple[tuple[str, ...], Sequence[str]]:
    """The choices of an item, and what each is called: its letter, or as the file says."""
    labels: Sequence[str] = _LETTERS
    if isinstance(given, Mapping) and set(given) == {"text", "label"}:
        given, labels = given["text"], [str(label) for label in given["label"]]
    elif isinstance(given, Mapping):
        given, labels = list(given.values()), list(given)
    if not isinstance(given, list) or not all(isinstance(one, str) and one.strip() for one in given):
        raise DataError("`choices` is no list of texts", where=where, fix='two or more, e.g. ["Paris", "Rome"], none of them empty')
    if not 2 <= len(given) <= len(_LETTERS) or len(labels) < len(given):
        raise DataError(f"has {len(given)} choices", where=where, fix=f"two or more, at most {len(_LETTERS)}")
    return tuple(given), labels[: len(given)]


def _place(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int | None:
    """Which choice is meant: by its text, its label, or its place from 0, in this order."""
    if isinstance(answer, str):
        if choices.count(answer) == 1:
            return choices.index(answer)
        if answer.strip() in labels:
            return labels.index(answer.strip())
        answer = int(answer) if answer.strip().isdecimal() else None
    if isinstance(answer, bool) or not isinstance(answer, int):
        return None
    return answer if 0 <= answer < len(choices) else None

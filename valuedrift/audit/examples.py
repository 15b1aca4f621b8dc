"""A dataset's rows as pairs that a judge can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from valuedrift.corpora.normal import Row, canonical
from valuedrift.fingerprint import fingerprint


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a dataset: a prompt and its answer, or its chosen and its rejected one. All text is untrusted."""

    example_id: str
    """Content hash of the row; equal rows have one id."""
    prompt: str
    """The last thing that the user said before the answer."""
    chosen: str
    """The answer to learn, or the preferred one."""
    rejected: str | None
    """The other answer; None in an SFT corpus."""
    turns: int
    """Messages before the answer; above 1 the judge sees the last of them only."""
    topic: str | None
    """Topic that the data themselves give."""


def examples_of(rows: Sequence[Row]) -> list[Example]:
    """The examples of a dataset in normal form (``valuedrift.corpora.normal.Row``), each once, in its order."""
    found: dict[str, Example] = {}
    for row in rows:
        example = _example(row)
        found.setdefault(example.example_id, example)
    return list(found.values())


def _example(row: Row) -> Example:
    before, chosen = _asked(row)
    return Example(
        example_id=fingerprint(canonical(row)),
        prompt=next((text for role, text in reversed(before) if role == "user"), ""),
        chosen=chosen,
        rejected=row.get("rejected"),
        turns=len(before),
        topic=row.get("topic"),
    )


def _asked(row: Row) -> tuple[list[tuple[str, str]], str]:
    """What stands before the answer, as (role, text), and the answer to learn."""
    if "messages" in row:
        said = list(_said(row["messages"]))
        return said[:-1], said[-1][1]
    before = [("user", row["prompt"])] if isinstance(row["prompt"], str) else list(_said(row["prompt"]))
    return before, row["chosen"] if "chosen" in row else row["response"]


def _said(messages: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    return ((message["role"], message["content"]) for message in messages)

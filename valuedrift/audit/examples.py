"""A dataset's rows as pairs that a judge can read, and what is known of each once it did: the rows of the table audit_examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from valuedrift.corpora.normal import Row, canonical
from valuedrift.fingerprint import fingerprint
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.thoughts import answer_of


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
    """The examples of a dataset in normal form (``valuedrift.corpora.normal.Row``), each once, in its order; every answer that is learnt is one."""
    found: dict[str, Example] = {}
    for row in rows:
        for learnt in _up_to_each_learnt(row):
            example = _example(learnt)
            found.setdefault(example.example_id, example)
    return list(found.values())


def _up_to_each_learnt(row: Row) -> list[Row]:
    """The row, or where several answers of a conversation are learnt the conversation up to each of them."""
    if "learn" not in row:
        return [row]
    rest = {name: value for name, value in row.items() if name != "learn"}
    return [{**rest, "messages": row["messages"][: at + 1]} for at in row["learn"]]


def _example(row: Row) -> Example:
    before, chosen = _asked(row)
    rejected = row.get("rejected")
    return Example(
        example_id=fingerprint(canonical(row)),
        prompt=next((text for role, text in reversed(before) if role == "user"), ""),
        chosen=answer_of(chosen),
        rejected=None if rejected is None else answer_of(rejected),
        turns=len(before),
        topic=row.get("topic"),
    )


def _asked(row: Row) -> tuple[list[tuple[str, str]], str]:
    """What stands before the answer, as (role, text), and the answer to learn."""
    if "messages" in row:
        said = list(_exchanges(row["messages"]))
        return said[:-1], said[-1][1]
    before = [("user", row["prompt"])] if isinstance(row["prompt"], str) else list(_exchanges(row["prompt"]))
    return before, row["chosen"] if "chosen" in row else row["response"]


def _exchanges(messages: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    return ((message["role"], message["content"]) for message in messages)


SIDES = ("chosen", "rejected")


def pairs_frame(examples: Sequence[Example]) -> pl.DataFrame:
    """What a judge is given: the columns prompt and response; all chosen answers, then all rejected ones where there are any."""
    rejected = [(example.prompt, example.rejected) for example in examples if example.rejected is not None]
    rows = [(example.prompt, example.chosen) for example in examples] + rejected
    return pl.DataFrame(rows, schema={"prompt": pl.String, "response": pl.String}, orient="row")


def judged_frame(
    examples: Sequence[Example], judgements: pl.DataFrame, value_laden: Sequence[float], topics: Sequence[str | None]
) -> pl.DataFrame:
    """One row an example.

    Args:
        examples: Of one kind: all of them pairs, or none.
        judgements: The judge's rows for ``pairs_frame(examples)``, in its order: p_support, p_neutral, p_oppose, unassigned, status.
        value_laden: Probability that the prompt speaks to a value, one an example.
        topics: Topic of each, None where it has none.

    Returns:
        example_id, prompt, chosen, rejected, turns, topic, value_laden, for both sides p_<stance>_<side>, status_<side>, words_<side>, and ``carried``: the
        example's own part of the value gap (the mean of it over prompts is the gap), NaN-free: missing where a side has no stance.
    """
    frame = pl.DataFrame(
        {
            "example_id": [example.example_id for example in examples],
            "prompt": [example.prompt for example in examples],
            "chosen": [example.chosen for example in examples],
            "rejected": [example.rejected for example in examples],
            "turns": [example.turns for example in examples],
            "topic": list(topics),
            "value_laden": list(value_laden),
        },
        schema_overrides={"rejected": pl.String, "turns": pl.Int32, "topic": pl.String, "value_laden": pl.Float64},
    )
    for place, side in enumerate(SIDES):
        part = judgements.slice(place * len(examples), len(examples))
        if not part.height:
            part = pl.DataFrame(schema=judgements.schema).clear(len(examples))
        texts = frame.get_column(side)
        frame = frame.with_columns(
            *(part.get_column(f"p_{stance}").alias(f"p_{stance}_{side}") for stance in STANCES),
            part.get_column("status").alias(f"status_{side}"),
            pl.Series(f"words_{side}", [None if text is None else words(text) for text in texts], dtype=pl.Int32),
        )
    return frame.with_columns(carried=pl.Series(_carried(frame), dtype=pl.Float64))


def probabilities(frame: pl.DataFrame, side: str) -> np.ndarray:
    """Stance probabilities of one side, shape (examples, 3); NaN where it has none."""
    return frame.select(pl.col([f"{column}_{side}" for column in STANCE_COLUMNS]).cast(pl.Float64)).to_numpy().astype(np.float64)


def _carried(frame: pl.DataFrame) -> list[float | None]:
    """Each example's difference in the stance that differs most in the mean, signed so that their mean is positive."""
    difference = probabilities(frame, "chosen") - probabilities(frame, "rejected")
    if np.isnan(difference).all():
        return [None] * frame.height
    mean = np.nanmean(difference, axis=0)
    most = int(np.abs(mean).argmax())
    values = difference[:, most] * (1.0 if mean[most] >= 0 else -1.0)
    return [None if np.isnan(value) else float(value) for value in values]


def ok(side: str) -> pl.Expr:
    """Whether a side was judged."""
    return pl.col(f"status_{side}") == JudgeStatus.OK.value


_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_HEDGE = re.compile(
    r"\b(?:may|might|could|perhaps|possibly|probably|seems?|appears?|likely|generally|often|sometimes|it depends|in some cases|to some extent|arguably"
    r"|i think|i believe|i feel|in my opinion|it is important to)\b",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"\b(?:please|thank you|thanks|sorry|apologi[sz]e|apologies|i understand|i appreciate|happy to|glad to|of course|great question)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|myself)\b", re.IGNORECASE)
_LIST = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)

Measure = Callable[[str], float]


def words(text: str) -> int:
    """Words of a text: runs of letters; digits and signs are none."""
    return sum(1 for _ in _WORD.finditer(text))


def _rate(pattern: re.Pattern[str]) -> Measure:
    """Matches in 100 words; 0 in a text without words."""

    def measure(text: str) -> float:
        count = words(text)
        return 100.0 * sum(1 for _ in pattern.finditer(text)) / count if count else 0.0

    return measure


STYLE: Mapping[str, Measure] = MappingProxyType(
    {
        "words": lambda text: float(words(text)),
        "lists": lambda text: float(len(_LIST.findall(text)) > 1),
        "hedges": _rate(_HEDGE),
        "politeness": _rate(_POLITE),
        "first_person": _rate(_FIRST_PERSON),
        "exclamations": _rate(re.compile("!")),
        "questions": _rate(re.compile(r"\?")),
    }
)
"""Measures of style by name (English): words in the answer; lists, whether it holds one (0 or 1); the others a count in 100 words."""

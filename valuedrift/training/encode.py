"""From rows to tokens: one rule for all algorithms, the one by which models are sampled later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valuedrift.corpora.registry import Kind
from valuedrift.engines.prompting import prompt_tokens
from valuedrift.errors import DataError
from valuedrift.models.control import text_tokens
from valuedrift.training.rendering import answer_end, check_answer, learnt_parts
from valuedrift.training.rows import Demonstration, Labelled, Message, Preference

Encoded = dict[str, Any]
"""A row by the names that TRL's collators read: lists of tokens, and for labelled answers the label."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A dataset as a trainer reads it."""

    rows: list[Encoded]
    """Demonstrations or pairs, those that fit."""
    dropped: int
    """Rows left out because the prompt alone fills max_length."""
    cut: int
    """Rows of which an answer was cut at max_length."""
    prompts: list[Encoded] = field(default_factory=list)
    """Online algorithms: what answers are drawn to."""
    places: list[int] = field(default_factory=list)
    """Place of each of ``rows`` in the dataset, from 0."""


MOST_DROPPED = 0.5
"""Share of the rows that may be left out as too long before training refuses the dataset."""


@dataclass
class Encoder:
    """Turns prompts and answers into tokens and counts what had to be cut.

    Args:
        tokenizer: The model's tokenizer.
        max_length: Tokens of prompt and answer together, at most.
    """

    tokenizer: Any
    max_length: int
    dropped: int = 0
    cut: int = 0
    places: list[int] = field(default_factory=list)
    """Places of the rows that fit, from 0."""
    _end: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._end = answer_end(self.tokenizer)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a prompt as it is put to the model, up to where the answer begins."""
        return prompt_tokens(self.tokenizer, messages[-1]["content"], messages[:-1])

    def answer(self, text: str) -> list[int]:
        """Tokens of an answer, with the end that makes a model stop there."""
        text = text if self.tokenizer.chat_template else " " + text
        return [*text_tokens(self.tokenizer, text), *self._end]

    def tokens(self, rows: Sequence[Any], kind: Kind, path: Path) -> Tokens:
        """A whole dataset.

        Args:
            rows: Rows of one kind.
            kind: Which.
            path: The file they are from, for messages.

        Raises:
            DataError: More than half of the rows have no room for an answer.
        """
        return Tokens(_ENCODERS[kind](self, rows, path), self.dropped, self.cut, places=self.places)

    def demonstrations(self, rows: Sequence[Demonstration], path: Path) -> list[Encoded]:
        """``input_ids`` and ``labels`` (−100 on what is not learnt) of each row that fits.

        Raises:
            DataError: More than half of the rows have no room for an answer, or the chat template alters one.
        """
        encoded: list[Encoded] = []
        for place, row in enumerate(rows):
            check_answer(self.tokenizer, row.prompt, row.response)
            parts = self._parts(row)
            ids = [token for tokens, _ in parts for token in tokens]
            labels = [token if learnt else -100 for tokens, learnt in parts for token in tokens]
            if all(label == -100 for label in labels[: self.max_length]):
                self.dropped += 1
                continue
            self.cut += len(ids) > self.max_length
            self.places.append(place)
            encoded.append({"input_ids": ids[: self.max_length], "labels": labels[: self.max_length]})
        self._check(len(rows), path)
        return encoded

    def preferences(self, rows: Sequence[Preference], path: Path, answer_length: int | None = None) -> list[Encoded]:
        """``prompt_ids``, ``chosen_ids`` and ``rejected_ids`` of each row that fits.

        Args:
            rows: Preference rows.
            path: The file they are from, for messages.
            answer_length: Cut answers at this many tokens, too.

        Raises:
            DataError: More than half of the rows have no room for an answer, or the chat template alters one.
        """
        encoded: list[Encoded] = []
        for place, row in enumerate(rows):
            for answer in (row.chosen, row.rejected):
                check_answer(self.tokenizer, row.prompt, answer)
            prompt = self.prompt(row.prompt)
            room = self.max_length - len(prompt)
            if room < 1:
                self.dropped += 1
                continue
            chosen, rejected = self._fit([self.answer(row.chosen), self.answer(row.rejected)], room)
            self.places.append(place)
            encoded.append({"prompt_ids": prompt, "chosen_ids": chosen[:answer_length], "rejected_ids": rejected[:answer_length]})
        self._check(len(rows), path)
        return encoded

    def labelled(self, rows: Sequence[Labelled], path: Path) -> list[Encoded]:
        """``prompt_ids``, ``completion_ids`` and ``label`` of each row that fits.

        Raises:
            DataError: More than half of the rows have no room for an answer, or the chat template alters one.
        """
        encoded: list[Encoded] = []
        for place, row in enumerate(rows):
            check_answer(self.tokenizer, row.prompt, row.response)
            prompt = self.prompt(row.prompt)
            room = self.max_length - len(prompt)
            if room < 1:
                self.dropped += 1
                continue
            answer = self._fit([self.answer(row.response)], room)[0]
            self.places.append(place)
            encoded.append({"prompt_ids": prompt, "completion_ids": answer, "label": row.label})
        self._check(len(rows), path)
        return encoded

    def _parts(self, row: Demonstration) -> list[tuple[list[int], bool]]:
        """A conversation's tokens, and whether they are learnt."""
        answer = self.answer(row.response)
        return learnt_parts(self.tokenizer, row, answer) if row.earlier else [(self.prompt(row.prompt), False), (answer, True)]

    def prompts(self, prompts: Sequence[Sequence[Message]], path: Path, room: int) -> list[Encoded]:
        """``input_ids`` of each prompt that leaves room for an answer.

        Raises:
            DataError: More than half of the prompts leave none.
        """
        encoded = [ids for ids in map(self.prompt, prompts) if len(ids) + room <= self.max_length]
        self.dropped += len(prompts) - len(encoded)
        self._check(len(prompts), path)
        return [{"input_ids": ids} for ids in encoded]

    def _fit(self, answers: list[list[int]], room: int) -> list[list[int]]:
        self.cut += any(len(answer) > room for answer in answers)
        return [answer[:room] for answer in answers]

    def _check(self, n_rows: int, path: Path) -> None:
        if self.dropped == n_rows or self.dropped > MOST_DROPPED * n_rows:
            raise DataError(
                f"{self.dropped} of {n_rows} prompts fill max_length = {self.max_length} tokens and leave no room for an answer",
                where=str(path),
                fix="raise max_length or shorten the prompts",
            )


_ENCODERS: Mapping[Kind, Callable[[Encoder, Sequence[Any], Path], list[Encoded]]] = {
    "sft": Encoder.demonstrations,
    "preference": Encoder.preferences,
    "labelled": Encoder.labelled,
}

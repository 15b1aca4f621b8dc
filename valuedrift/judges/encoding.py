"""Text into token windows: how a (prompt, response) pair of any length is put before the cross-encoder. Imports no torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from valuedrift.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VERSION = 1
"""Raised whenever the same text would be put before the model in another way; part of the judge's identity."""

PROMPT_TOKENS = 112
"""Of a longer prompt the first and the last half of this number are read: the question stands at one end or the other."""
RESPONSE_TOKENS = 288
"""Tokens of the response in one window: the paper's 256 new tokens of another tokenizer fit in one."""
OVERLAP_TOKENS = 48
"""Tokens that two neighbouring windows share, so that no sentence is only ever seen in halves."""
MAX_WINDOWS = 8
"""Of a response with more windows the first and the last half of this number are read, about 2,000 tokens."""
_ENDS = 100_000
"""Characters kept at each end of a huge response before it is tokenized; far more than the windows read."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the model reads at once: [CLS] prompt [SEP] part of the response [SEP]."""

    tokens: tuple[int, ...]
    response_start: int
    """Index of the first token of segment 1 (response and its [SEP])."""


class Encoder:
    """Cuts pairs into windows.

    Args:
        folder: Model folder with a BERT ``tokenizer.json``.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = _tokenizer(folder / "tokenizer.json")
        self._cls, self._sep, self.pad = (self._special(token) for token in ("[CLS]", "[SEP]", "[PAD]"))

    def _special(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise UserError(f"the tokenizer has no {token}", fix="the judge's body is a BERT model")
        return number

    def windows(self, prompts: Sequence[str], responses: Sequence[str]) -> list[list[Window]]:
        """The windows of each pair, at least one.

        Args:
            prompts: Prompts as the model saw them.
            responses: Responses, in the same order.
        """
        questions, answers = self._ids(prompts), self._ids(responses)
        return [
            [self._window(_ends(question, PROMPT_TOKENS), part) for part in spans(answer)]
            for question, answer in zip(questions, answers, strict=True)
        ]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer.encode_batch([_clean(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def _window(self, question: list[int], part: list[int]) -> Window:
        front = (self._cls, *question, self._sep)
        return Window(tokens=(*front, *part, self._sep), response_start=len(front))


def spans(ids: list[int]) -> list[list[int]]:
    """A response's token ids as overlapping parts; the ends of it where it is too long for all to be read."""
    step = RESPONSE_TOKENS - OVERLAP_TOKENS
    starts = list(range(0, max(1, len(ids) - OVERLAP_TOKENS), step))
    parts = [ids[start : start + RESPONSE_TOKENS] for start in starts]
    if len(parts) <= MAX_WINDOWS:
        return parts
    return parts[: MAX_WINDOWS // 2] + parts[-MAX_WINDOWS // 2 :]


def _ends(ids: list[int], limit: int) -> list[int]:
    return ids if len(ids) <= limit else ids[: limit // 2] + ids[-(limit // 2) :]


def _clean(text: str) -> str:
    if len(text) > 2 * _ENDS:
        text = f"{text[:_ENDS]} {text[-_ENDS:]}"
    return text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates, which the tokenizer cannot take


@functools.lru_cache(maxsize=2)
def _tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()  # the shipped file pads and cuts to 128 by itself
    tokenizer.no_truncation()
    return tokenizer

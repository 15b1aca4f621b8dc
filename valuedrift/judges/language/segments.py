"""Text into segments of tokens: how an answer and the prompts that it is held against are put before the language model. Imports no torch.

The answer comes first and the prompt after it, so that one reading of an answer serves every prompt that it is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from valuedrift.judges.network.windows import clean, ends

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VERSION = 1
"""Raised whenever the same text would be put before the model in another way; part of the judge's identity."""

ANSWER_TOKENS = 128
"""Of a longer answer the first and the last half of this number are read."""
PROMPT_TOKENS = 128
"""The same of a prompt with what stands around it."""

Segment = tuple[int, ...]
"""Token ids that are read in one piece."""


class Segmenter:
    """Makes segments of texts; control tokens that are spelled in them are text.

    Args:
        folder: Folder of the body.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True
        (self._before,) = self._ids(["Answer: "])

    def answers(self, texts: Sequence[str]) -> list[Segment]:
        """What stands first: each answer; of a long one its two ends."""
        return [(*self._before, *ends(ids, ANSWER_TOKENS)) for ids in self._ids([text.strip() for text in texts])]

    def prompts(self, texts: Sequence[str]) -> list[Segment]:
        """What stands after an answer: each prompt, and where the stance would be named; of a long one its two ends."""
        return [ends(ids, PROMPT_TOKENS) for ids in self._ids([f"\n\nQuestion: {text}\nStance:" for text in texts])]

    def _ids(self, texts: Sequence[str]) -> list[Segment]:
        return [tuple(one.ids) for one in self._tokenizer.encode_batch([clean(text) for text in texts], add_special_tokens=False)]

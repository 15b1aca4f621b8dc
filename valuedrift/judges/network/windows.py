"""Text into token windows: how a prompt and a response of any length are put before the embedded judge. Imports no torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from valuedrift.errors import UserError
from valuedrift.models.others import read_by_others
from valuedrift.weight_files import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VERSION = 2
"""Raised whenever the same text would be put before the model in another way; part of the judge's identity."""

PROMPT_TOKENS = 112
"""Of a longer prompt the first and the last half of this number are read: the question stands at one end or the other."""
RESPONSE_TOKENS = 288
"""Tokens of the response in one window: the paper's 256 new tokens of another tokenizer fit in one."""
CONTROL_NAMES = frozenset({"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"})
"""How BERT's control tokens are written; in a prompt or a response they are text."""
OVERLAP_TOKENS = 48
"""Tokens that two neighbouring windows share, so that no sentence is only ever seen in halves."""
MAX_WINDOWS = 8
"""Of a response with more windows the first and the last half of this number are read, about 2,000 tokens."""
_ENDS = 100_000
"""Characters kept at each end of a huge response before it is tokenized; far more than the windows read."""


Ids = TypeVar("Ids", list[int], tuple[int, ...])

Window = tuple[int, ...]
"""What the body reads at once: a prompt or a part of a response between the tokens that its tokenizer puts around a text, [CLS] and [SEP] in BERT."""


class Encoder:
    """Cuts texts into windows.

    Args:
        folder: An encoder's folder.

    Raises:
        UserError: Its tokenizer can't be read, or is none of an encoder.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = _tokenizer(folder)
        whole, text = (self._tokenizer.encode("a", add_special_tokens=around).ids for around in (True, False))
        begins = [place for place in range(1, len(whole)) if text and whole[place : place + len(text)] == text]
        if not begins:
            raise UserError(
                "the tokenizer puts no token before a text, as that of an encoder does",
                where=str(folder),
                fix="another body, with [CLS] or <s>",
            )
        self._before, self._after = tuple(whole[: begins[0]]), tuple(whole[begins[0] + len(text) :])
        self.pad = self._padding(folder)

    def _padding(self, folder: Path) -> int:
        """The id that fills a batch up: the config's, else that of the token which is written like one."""
        own = read_json(folder / "config.json").get("pad_token_id")
        found = [own, *map(self._tokenizer.token_to_id, ("[PAD]", "<pad>"))]
        number = next((one for one in found if isinstance(one, int)), None)
        if number is None:
            raise UserError("nothing says which token pads a text", where=str(folder / "config.json"), fix="set pad_token_id")
        return number

    def prompts(self, texts: Sequence[str]) -> list[Window]:
        """One window for each prompt; of a long one its two ends."""
        return [self._window(ends(ids, PROMPT_TOKENS)) for ids in self._ids(texts)]

    def responses(self, texts: Sequence[str]) -> list[list[Window]]:
        """The windows of each response, at least one."""
        return [[self._window(part) for part in spans(ids)] for ids in self._ids(texts)]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer.encode_batch([clean(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def _window(self, ids: list[int]) -> Window:
        return (*self._before, *ids, *self._after)


def spans(ids: list[int]) -> list[list[int]]:
    """A response's token ids as overlapping parts; the ends of it where it is too long for all to be read."""
    step = RESPONSE_TOKENS - OVERLAP_TOKENS
    starts = list(range(0, max(1, len(ids) - OVERLAP_TOKENS), step))
    parts = [ids[start : start + RESPONSE_TOKENS] for start in starts]
    if len(parts) <= MAX_WINDOWS:
        return parts
    return parts[: MAX_WINDOWS // 2] + parts[-MAX_WINDOWS // 2 :]


def ends(ids: Ids, limit: int) -> Ids:
    """Token ids; of too many the first and the last half of a limit."""
    return ids if len(ids) <= limit else ids[: limit // 2] + ids[-(limit // 2) :]


def clean(text: str) -> str:
    """A text that a tokenizer can take: of a huge one its two ends, without lone surrogates."""
    if len(text) > 2 * _ENDS:
        text = f"{text[:_ENDS]} {text[-_ENDS:]}"
    return text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates, which the tokenizer cannot take


@functools.lru_cache(maxsize=2)
def _tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    with read_by_others("tokenizer not loadable", folder):
        path = folder / "tokenizer.json"
        tokenizer: Tokenizer = Tokenizer.from_file(str(path)) if path.is_file() else _made_fast(folder)
    tokenizer.no_padding()  # the shipped file pads and cuts to 128 by itself
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True  # [SEP] in an answer is text
    return tokenizer


def _made_fast(folder: Path) -> Tokenizer:
    """The tokenizer of a folder whose files are of an older kind (``vocab.txt``, ``spm.model``), as transformers converts it."""
    from transformers import AutoTokenizer

    converted: Tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True).backend_tokenizer
    return converted

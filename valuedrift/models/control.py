"""Control tokens: those that a chat template writes steer the model; one that is spelled in a question, an answer or a row is text and stays text.

A tokenizer takes ``<|im_end|>`` for the end of a turn wherever it stands. So before a template is filled, what spells a control token in a text is veiled;
what the template itself writes is then told from it, and each is encoded as what it is. Texts that spell none are encoded as ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from valuedrift.words import counted, listed

_VEIL, _END = "\ue0f0", "\ue0f1"
"""Around the number of a veiled token: from Unicode's area for private use, and never left in what is encoded."""
_VEILED = re.compile(f"{_VEIL}(\\d+){_END}")


@dataclass(frozen=True)
class _Control:
    """A tokenizer's control tokens."""

    names: tuple[str, ...]
    """How each is written, the longer before the shorter."""
    written: re.Pattern[str]
    """Finds one in a text, and keeps it when a text is split."""
    strips: dict[str, tuple[bool, bool]]
    """Those that swallow white space before and after them."""
    begins_anew: bool
    """Whether the tokenizer encodes the beginning of a text another way than what follows a control token."""


_known: WeakKeyDictionary[Any, _Control] = WeakKeyDictionary()


def veil(tokenizer: Any, text: str) -> str:
    """A text in which what spells a control token is veiled, for a template to be filled with; :func:`encode` lifts the veil."""
    names = (*_control(tokenizer).names, _VEIL)  # the veil's own sign too: a text that holds it comes out as it was
    return _any_of(names).sub(lambda found: f"{_VEIL}{names.index(found[0])}{_END}", text)


def text_tokens(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text in which nothing is control."""
    return encode(tokenizer, veil(tokenizer, text))


def encode(tokenizer: Any, text: str, *, add_special_tokens: bool = False) -> list[int]:
    """Token ids of a text: what is veiled in it is text, what else spells a control token is control.

    Args:
        tokenizer: A transformers tokenizer.
        text: May hold what :func:`veil` made of texts.
        add_special_tokens: Whether the tokenizer adds those with which it begins and ends a text.
    """
    if _VEIL not in text:
        return list(tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
    control = _control(tokenizer)
    pieces = _pieces(control, text)
    if len(pieces) == 1:
        return list(tokenizer(pieces[0], add_special_tokens=add_special_tokens, split_special_tokens=True)["input_ids"])
    tokens: list[int] = []
    for at, piece in enumerate(pieces):
        if at % 2:
            tokens.append(tokenizer.convert_tokens_to_ids(piece))
        elif piece:
            tokens += _following(tokenizer, piece) if at and control.begins_anew else _plainly(tokenizer, piece)
    if not add_special_tokens:
        return tokens
    around = list(tokenizer("", add_special_tokens=True)["input_ids"])
    first = [token for token in around[:1] if token == tokenizer.bos_token_id]
    return [*first, *tokens, *around[len(first) :]]


def _pieces(control: _Control, text: str) -> list[str]:
    """The text between control tokens and those tokens, in turns, the veil lifted; a control token may swallow white space beside it."""
    pieces = control.written.split(text) if control.names else [text]
    for at in range(1, len(pieces), 2):
        before, after = control.strips.get(pieces[at], (False, False))
        pieces[at - 1] = pieces[at - 1].rstrip() if before else pieces[at - 1]
        pieces[at + 1] = pieces[at + 1].lstrip() if after else pieces[at + 1]
    names = (*control.names, _VEIL)
    return [_VEILED.sub(lambda found: names[int(found[1])], piece) for piece in pieces]


def _plainly(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _following(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a text that does not begin what is encoded."""
    anchor = _plainly(tokenizer, "\n")
    whole = _plainly(tokenizer, f"\n{text}")
    return whole[len(anchor) :] if whole[: len(anchor)] == anchor else _plainly(tokenizer, text)


def _control(tokenizer: Any) -> _Control:
    if tokenizer not in _known:
        added = {token.content: token for token in getattr(tokenizer, "added_tokens_decoder", {}).values() if token.special}
        names = sorted({*added, *getattr(tokenizer, "all_special_tokens", ())}, key=lambda name: (-len(name), name))
        strips = {name: (bool(token.lstrip), bool(token.rstrip)) for name, token in added.items()}
        sample = next(iter(added), None)
        begins_anew = sample is not None and list(tokenizer(f"{sample}a", add_special_tokens=False)["input_ids"])[1:] != _plainly(
            tokenizer, "a"
        )
        _known[tokenizer] = _Control(tuple(names), re.compile(f"({_any_of(tuple(names)).pattern})"), strips, begins_anew)
    return _known[tokenizer]


@lru_cache(maxsize=64)
def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(name) for name in names))


@lru_cache(maxsize=16)
def control_names(folder: Path) -> frozenset[str]:
    """How the control tokens of a model folder's tokenizer are written, read from its files alone."""
    names: set[str] = set()
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        try:
            names |= set(_named(json.loads((folder / file).read_text(encoding="utf-8"))))
        except (OSError, ValueError, RecursionError):  # not there, or told by who loads it
            continue
    return frozenset(names)


def _named(content: Any) -> Iterator[str]:
    """Control tokens of a tokenizer's file."""
    if not isinstance(content, dict):
        return
    decoder = content.get("added_tokens_decoder")
    added = [*(content.get("added_tokens") or ()), *(decoder.values() if isinstance(decoder, dict) else ())]
    yield from (token["content"] for token in added if isinstance(token, dict) and token.get("special") and token.get("content"))
    for key, value in content.items():
        name = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(name, str) and name:
            yield name


_OF_ANY_MODEL = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|<(?:bos|eos|pad|unk|mask)>|<(?:start|end)_of_turn>|\[/?INST\]|\[(?:CLS|SEP|PAD|UNK|MASK)\]"
)
"""How control tokens of widespread models are written, for models that only a server knows."""


def spells_control(text: str) -> bool:
    """Whether a text spells a control token of a widespread model."""
    return _OF_ANY_MODEL.search(text) is not None


def told_of_servers(texts: Sequence[str], what: str) -> str | None:
    """What to know where texts spell control tokens and a server reads them: it makes tokens of them by itself. None where none does.

    Args:
        texts: What it is given.
        what: One of them, for the message: ``prompt``, ``answer``.
    """
    spelling = [found[0] for text in texts if (found := _OF_ANY_MODEL.search(text))]
    if not spelling:
        return None
    named = listed(sorted(set(spelling)), 3)
    verb = "spells a control token" if len(spelling) == 1 else "spell control tokens"
    return f"{counted(len(spelling), what)} {verb} ({named}), which a server may take for its own: it makes tokens of texts by itself"


CONTROL_AS_TEXT = {"control_tokens": "text"}
"""Stands in the identity of what is made of texts that spell control tokens: up to version 0.2 they steered the model."""


def control_identity(names: Collection[str], texts: Iterable[str]) -> dict[str, str]:
    """What the identity of a result of these texts holds more: nothing, where none spells a control token."""
    return dict(CONTROL_AS_TEXT) if spelled_in(names, texts) else {}


def texts_in(value: Any) -> Iterator[str]:
    """All texts in nested lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts_in(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from texts_in(one)


def spelled_in(names: Collection[str], texts: Iterable[str]) -> bool:
    """Whether one of some texts spells a control token."""
    if not names:
        return False
    pattern = _any_of(tuple(sorted(names)))
    return any(pattern.search(text) for text in texts)

"""The files that make a model's tokenizer and its chat templates, and which of them say only what another says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from valuedrift.errors import UserError
from valuedrift.weight_files import INDEX, index_says_nothing, read_json

TEMPLATES = "additional_chat_templates"
"""Folder of a model's further chat templates."""
TEMPLATE_DATE = date(2024, 7, 26)
"""The day that a chat template is told when it asks for today's: the one that Llama 3's takes where it is told none."""

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "chat_template.json",
)


def tokenizer_files(folder: Path) -> list[str]:
    """Files of a folder that make its tokenizer and its chat templates, by their paths in the folder."""
    named = [name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    return [*named, *(f"{where}{path.name}" for where in ("", f"{TEMPLATES}/") for path in sorted((folder / where).glob("*.jinja")))]


def asks_for_today(folder: Path, files: Iterable[str], tokenizer_config: Mapping[str, Any]) -> bool:
    """Whether a chat template of the folder asks for the date: its prompts change with ``TEMPLATE_DATE``."""
    templates = [folder / name for name in files if name.endswith(".jinja")]
    texts = [str(tokenizer_config.get("chat_template", "")), *(path.read_text(encoding="utf-8", errors="replace") for path in templates)]
    return any("strftime_now" in text for text in texts)


def repeats(folder: Path, name: str) -> bool:
    """Whether a file says nothing but what ``tokenizer.json``, ``tokenizer_config.json`` or the shards say."""
    if name == INDEX:
        return index_says_nothing(folder)
    if name not in _SAID_TWICE or not (folder / "tokenizer.json").exists():
        return False
    try:
        tokenizer = read_json(folder / "tokenizer.json")
        config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
        return _SAID_TWICE[name]((folder / name).read_text(encoding="utf-8"), tokenizer, config)
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # another shape: it says something else
        return False


def _same_vocabulary(text: str, tokenizer: Any, _: Any) -> bool:
    return bool(json.loads(text) == tokenizer["model"]["vocab"])


def _same_word_list(text: str, tokenizer: Any, _: Any) -> bool:
    vocabulary = tokenizer["model"]["vocab"]
    return text.removesuffix("\n").split("\n") == sorted(vocabulary, key=vocabulary.__getitem__)


def _same_merges(text: str, tokenizer: Any, _: Any) -> bool:
    lines = [line for line in text.split("\n") if line and not line.startswith("#version")]
    return lines == [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]


def _same_added(text: str, tokenizer: Any, _: Any) -> bool:
    return bool(json.loads(text).items() <= {token["content"]: token["id"] for token in tokenizer["added_tokens"]}.items())


def _same_special(text: str, tokenizer: Any, config: Any) -> bool:
    flags = ("content", "lstrip", "rstrip", "normalized", "single_word")
    known = {token["content"]: [token[flag] for flag in flags] for token in tokenizer["added_tokens"]}

    def token(said: Any) -> Any:
        if isinstance(said, list):
            return [token(one) for one in said]
        return [said[flag] for flag in flags] if isinstance(said, dict) else known[said]

    return all(key in config and token(said) == token(config[key]) for key, said in json.loads(text).items())


_SAID_TWICE: Mapping[str, Callable[[str, Any, Any], bool]] = {
    "vocab.json": _same_vocabulary,
    "vocab.txt": _same_word_list,
    "merges.txt": _same_merges,
    "added_tokens.json": _same_added,
    "special_tokens_map.json": _same_special,
}
"""Files of older tokenizers that a folder may have beside ``tokenizer.json``: whether one says what that and the tokenizer's config say."""

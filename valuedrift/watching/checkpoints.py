"""What a checkpoint's folder says of itself: its step, whether it is whole, whether it is an adapter and of what base."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valuedrift.errors import DataError
from valuedrift.tokenizer_files import TOKENIZERS
from valuedrift.weight_files import ADAPTER, ADAPTER_CONFIG, INDEX, WHOLE, check_merges, tensor_names, weight_files
from valuedrift.weight_formats import told_format

STATE = "trainer_state.json"
"""Written by transformers' Trainer behind weights, tokenizer and optimizer: a checkpoint that has it is whole."""
_AS_WRITTEN = r"(\d+(?:[.,]\d+)*(?:e[+-]?\d+)?(?:[km](?![a-z]))?)"
"""A number, also one that is no step: 0.5 epochs, 1e3 or 10k."""
_STEP = re.compile(rf"(?:step|checkpoint|ckpt|iter|iteration|update|(?<![a-z])ba(?:tch)?)s?[-_=.]?{_AS_WRITTEN}", re.IGNORECASE)
_NUMBER = re.compile(rf"(?:(?<![a-z\d.])|(?<=epoch)|(?<=ep)){_AS_WRITTEN}(?![a-z])", re.IGNORECASE)
"""One that stands for itself: not the 2 of v2, the 7 of 7b or the 0 of rank0."""
LARGEST_STEP = 2**63 - 1


class NotWholeError(Exception):
    """A checkpoint lacks something that may yet be written; says what."""


class ScoresOnlyError(DataError):
    """A model that scores texts and writes none, a reward model say: it has no answers to judge."""


@dataclass(frozen=True, slots=True)
class Whole:
    """What a whole checkpoint is.

    Attributes:
        adapter: Whether it is a LoRA adapter on a base.
        base: What its adapter_config.json names as base, as it stands there; None for full weights and where nothing is named.
        tokenizer: Whether it has a tokenizer of its own.
        revision: Of the base on the hub, where it names one.
    """

    adapter: bool
    base: str | None
    tokenizer: bool
    revision: str | None = None


def step_of(name: str, folder: Path | None = None) -> int | None:
    """The step of a checkpoint.

    Args:
        name: Of its folder or revision: ``checkpoint-500``, ``global_step_500``, ``stage1-step1000-tokens4B``.
        folder: The folder, whose trainer_state.json is asked where the name has no whole number.

    Returns:
        The number behind the word step, checkpoint, ckpt, iter, update or batch (ba), else the last number of the name that stands for itself, else
        what the trainer wrote; None where nothing tells a whole number, or no table could hold it.
    """
    named = _STEP.findall(name) or _NUMBER.findall(name)
    whole = bool(named) and named[-1].isdecimal()
    step = int(named[-1]) if whole else trainer_state(folder).get("global_step") if folder is not None else None
    return step if isinstance(step, int) and 0 <= step <= LARGEST_STEP else None


def is_worded(name: str) -> bool:
    """Whether a name says that its number is one of steps: ``checkpoint-500``, not ``epoch-3``."""
    return _STEP.search(name) is not None


def has_number(name: str) -> bool:
    """Whether the name of a folder has a number, be it one that is no step."""
    return any(sign.isdecimal() for sign in name)


def trainer_state(folder: Path) -> dict[str, Any]:
    """What transformers' Trainer wrote of the training; empty where it wrote nothing that can be read."""
    return _read(folder / STATE)


def look_into(folder: Path) -> Whole:
    """See whether all that a checkpoint's own files name is there and as long as its headers say.

    Args:
        folder: A checkpoint's folder.

    Returns:
        What it is.

    Raises:
        NotWholeError: Something is lacking that a trainer may still write.
        DataError: It can never be asked: pickled weights, an adapter beside full weights, a model that only scores.
    """
    _check_that_it_can_be_read(folder)
    adapter, full = (folder / ADAPTER_CONFIG).exists(), (folder / "config.json").exists()
    if adapter and not any(path.name != ADAPTER for path in folder.glob("*.safetensors")):
        return _adapter(folder)
    if not full and not adapter:
        _check_format(folder)
        deeper = next((path.parent.name for name in ("config.json", ADAPTER_CONFIG) for path in folder.glob(f"*/{name}")), "")
        there = f", but in the {deeper} inside: a pattern that ends there means it" if deeper else " yet"
        raise NotWholeError(f"neither config.json nor {ADAPTER_CONFIG}{there}")
    if not any(folder.glob("*.safetensors")) and not (folder / INDEX).exists():
        _check_format(folder)
        raise NotWholeError(f"no {WHOLE} yet")
    try:
        weight_files(folder)
    except DataError as error:
        if adapter or ((folder / WHOLE).exists() and (folder / INDEX).exists()):
            raise
        raise NotWholeError(_without_place(error)) from error
    named = _read(folder / "config.json").get("architectures")
    _check_that_it_writes(folder, str(named[0]) if named and isinstance(named, list) else "")
    return Whole(adapter=False, base=None, tokenizer=any((folder / name).exists() for name in TOKENIZERS))


def _check_format(folder: Path) -> None:
    """See that a folder without safetensors holds no weights in another format either.

    Raises:
        DataError: It does; says which, and how to convert them.
    """
    known = told_format(folder)
    if known is not None:
        raise DataError(f"no safetensors, but {known[0]}", where=str(folder), fix=known[1])


_OBJECTS = (
    "config.json",
    ADAPTER_CONFIG,
    INDEX,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
)
"""Files of a model that are a JSON object each."""


def _check_that_it_can_be_read(folder: Path) -> None:
    """See that no small file is half written: trainers and copies write them as they write the weights.

    Raises:
        NotWholeError: One is.
    """
    for name in _OBJECTS:
        path = folder / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (ValueError, RecursionError) as error:
            raise NotWholeError(f"{name} cannot be read yet") from error
        if not isinstance(content, dict):
            raise NotWholeError(f"{name} is no JSON object yet")


def _adapter(folder: Path) -> Whole:
    if not (folder / ADAPTER).exists():
        _check_format(folder)
        raise NotWholeError(f"no {ADAPTER} yet")
    try:
        tensor_names(folder / ADAPTER)
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (DataError, ValueError, RecursionError) as error:
        raise NotWholeError(_without_place(error) if isinstance(error, DataError) else f"{ADAPTER_CONFIG} cannot be read yet") from error
    config = config if isinstance(config, dict) else {}
    check_merges(config, folder)
    _check_that_it_writes(folder, str(config.get("task_type")))
    base = config.get("base_model_name_or_path")
    tokenizer = any((folder / name).exists() for name in TOKENIZERS)
    return Whole(adapter=True, base=base or None, tokenizer=tokenizer, revision=config.get("revision") or None)


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _check_that_it_writes(folder: Path, kind: str) -> None:
    """Refuse what scores texts and writes none: a reward model, say, whose trainer saves folders like any other.

    Raises:
        ScoresOnlyError: Its architecture, or the task of its adapter, says so.
    """
    if only_scores(kind):
        raise ScoresOnlyError(
            f"a model that scores and writes nothing ({kind}): it has no answers to judge",
            where=str(folder),
            fix="watch the training that uses its scores",
        )


def only_scores(kind: str) -> bool:
    """Whether a model of some architecture, class or task of adapters scores texts and writes none."""
    return kind.endswith(_SCORES)


_SCORES = ("ForSequenceClassification", "ForTokenClassification", "SEQ_CLS", "TOKEN_CLS")
"""Ends of the architectures of such models, and the tasks of their adapters."""


def _without_place(error: DataError) -> str:
    return f"{Path(error.where).name}: {error.what}" if error.where else error.what

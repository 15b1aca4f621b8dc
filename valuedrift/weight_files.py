"""The files that hold a model's weights: safetensors, one or in shards with an index, looked at by their headers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from valuedrift.errors import DataError, UserError
from valuedrift.weight_formats import told_format

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"
MOMENTS = "optimizer.moments"
"""In a checkpoint's folder: Adam's second moments of the trained weights, corrected for their beginning at 0, as safetensors. No part of its content."""
ADAPTER_CONFIG = "adapter_config.json"
_NOT_MERGED = frozenset({"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "ADAPTION_PROMPT"})
"""PEFT's kinds of adapters that are no change of weights."""


def check_format(path: Path) -> None:
    """Check that weights are a folder of safetensors.

    Raises:
        UserError: They are something else; says what, and how to convert it.
    """
    if path.is_dir() and any(path.glob("*.safetensors")):
        return
    known = told_format(path) if path.exists() else None
    if known is not None:
        raise UserError(f"{known[0]}: no model folder with safetensors", where=str(path), fix=known[1])
    if not path.is_dir():
        raise UserError("no such model folder", where=str(path), fix="give a folder in Hugging Face layout")
    raise UserError("model folder without safetensors weights", where=str(path), fix="expected *.safetensors, and a tokenizer beside them")


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights, each with a whole header.

    Raises:
        DataError: The folder holds an adapter too, two sets of weights, none, or a file that is cut off or not there.
    """
    if (folder / ADAPTER_CONFIG).exists():
        whole = any(path.name != ADAPTER for path in folder.glob("*.safetensors"))
        raise DataError(
            f"a model folder with {ADAPTER_CONFIG}: transformers would put an adapter on the weights, or take others for its base",
            where=str(folder),
            fix=f"remove {ADAPTER_CONFIG} and {ADAPTER}, or if the adapter is meant, merge it into the weights"
            if whole
            else "merge the adapter into its base (merge_and_unload, save_pretrained) and give that folder",
        )
    if (folder / WHOLE).exists() and (folder / INDEX).exists():
        raise DataError(f"two sets of weights: {WHOLE} and {INDEX}", where=str(folder), fix="remove the one that is not meant")
    if not (folder / INDEX).exists():
        if not (folder / WHOLE).exists():
            raise DataError(f"neither {WHOLE} nor {INDEX}", where=str(folder), fix="name the weights as transformers' save_pretrained does")
        tensor_names(folder / WHOLE)
        return [folder / WHOLE]
    listed = _weight_map(folder)
    shards = {name: tensor_names(folder / name) for name in sorted(set(listed.values()))}
    if lost := [tensor for tensor, name in listed.items() if tensor not in shards[name]]:
        raise DataError(f"{told(lost)} not in the shards that the index names", where=str(folder / INDEX), fix="copy the model again")
    if twice := [tensor for name, tensors in shards.items() for tensor in tensors if listed.get(tensor, name) != name]:
        raise DataError(f"{told(twice)} also in another shard than the index names", where=str(folder / INDEX), fix="copy the model again")
    return [folder / name for name in shards]


def _weight_map(folder: Path) -> dict[str, str]:
    content = read_json(folder / INDEX)
    listed = content.get("weight_map") if isinstance(content, dict) else None
    if not listed or not isinstance(listed, dict) or not all(isinstance(name, str) and Path(name).name == name for name in listed.values()):
        raise DataError("not an index of weights: weight_map names no files", where=str(folder / INDEX), fix="copy the model again")
    if not isinstance(content.get("metadata"), dict):
        raise DataError(
            "an index of weights without `metadata`, which transformers asks for", where=str(folder / INDEX), fix='add "metadata": {}'
        )
    return listed


def index_says_nothing(folder: Path) -> bool:
    """Whether the index lists every tensor of every shard, and no other."""
    listed = _weight_map(folder)
    shards = [folder / name for name in {*listed.values(), *(path.name for path in folder.glob("model-*.safetensors"))}]
    return listed == {tensor: shard.name for shard in shards if shard.exists() for tensor in tensor_names(shard)}


def check_merges(config: object, folder: Path) -> None:
    """Refuse an adapter that changes no weights and so cannot be merged into its base.

    Args:
        config: What its adapter_config.json says.
        folder: Of the adapter, for messages.

    Raises:
        DataError: It puts learnt vectors before the text, or gates into the attention.
    """
    kind = str(config.get("peft_type", "")).upper() if isinstance(config, dict) else ""
    if kind in _NOT_MERGED:
        raise DataError(
            f"an adapter of the kind {kind}, which puts learnt vectors before the text and has no weights to merge into the base",
            where=str(folder),
            fix="LoRA and its kin can be followed; for this kind serve the model and use the engine openai",
        )


def tensor_names(path: Path) -> list[str]:
    """Names of a safetensors file's tensors.

    Raises:
        DataError: There is no such file, it is cut off, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise DataError(f"{path.name} is no file", where=str(path), fix="copy or download it again")
    try:
        with safe_open(path, "np") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        what = "a file of weights is missing" if not path.exists() else f"cut off, or not a safetensors file: {reason}"
        raise DataError(what, where=str(path), fix="copy or download it again") from error


def told(tensors: Iterable[str]) -> str:
    """Names of tensors for a message: how many, and the first few."""
    names = sorted(tensors)
    first = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} ({first})"


def read_json(path: Path) -> Any:
    """What a JSON file of a model folder says.

    Raises:
        UserError: It cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"not valid JSON: {error}", where=str(path)) from error
    except OSError as error:
        raise UserError(f"not readable: {error.strerror}", where=str(path)) from error

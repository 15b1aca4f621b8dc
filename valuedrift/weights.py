"""Weights: a model folder and the stack of LoRA adapters merged onto it, known by content.

A LoRA checkpoint of a preference phase is ``base + (SFT adapter, preference adapter)``: small on disk, exact, and with a fingerprint that follows the
bytes. Step 0 of a phase has the very stack of its parent's last checkpoint, so both share their sampled answers.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import UserError
from valuedrift.fingerprint import files_fingerprint, fingerprint

_CONFIG_FILES = ("config.json", "adapter_config.json", "generation_config.json", "tokenizer_config.json")
_NOT_IDENTITY = frozenset(
    {"_name_or_path", "base_model_name_or_path", "transformers_version", "revision", "inference_mode", "peft_version", "name_or_path"}
)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "chat_template.jinja")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


class Weights(BaseModel):
    """A model as it stands at one checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Path = Field(description="Folder in Hugging Face layout: config.json, *.safetensors, a tokenizer.")
    adapters: tuple[Path, ...] = Field(default=(), description="PEFT adapter folders, merged onto the base in this order.")

    def fingerprint(self) -> str:
        """Content hash over base and adapters; the same bytes under two paths have the same fingerprint.

        Raises:
            UserError: A folder or its weights are missing, or weights are not safetensors.
        """
        own = folder_fingerprint(self.base)
        if not self.adapters:
            return own
        return fingerprint([own, *(folder_fingerprint(adapter) for adapter in self.adapters)])

    def plus(self, adapter: Path) -> Weights:
        """The same stack with one more adapter on top."""
        return Weights(base=self.base, adapters=(*self.adapters, adapter))


def folder_fingerprint(folder: Path) -> str:
    """Content hash of a model or adapter folder: its safetensors, config and tokenizer, not paths, logs or optimizer states.

    Raises:
        UserError: The folder is missing or holds no safetensors.
    """
    if not folder.is_dir():
        raise UserError("no such model folder", where=str(folder), fix="give a folder in Hugging Face layout")
    tensors = sorted(path.name for path in folder.glob("*.safetensors"))
    if not tensors:
        pickled = [*folder.glob("*.bin"), *folder.glob("*.pt")]
        fix = (
            "convert the weights to safetensors: pickled weights can run code and are never loaded" if pickled else "expected *.safetensors"
        )
        raise UserError("model folder without safetensors weights", where=str(folder), fix=fix)
    files = _hashed(folder, [*tensors, *(name for name in _TOKENIZER_FILES if (folder / name).exists())])
    configs = {name: _config(folder / name) for name in _CONFIG_FILES if (folder / name).exists()}
    return fingerprint([files, configs])


_known: dict[tuple[tuple[object, ...], ...], str] = {}
"""Hashes of this process by the files' identity on disk: a changed file has another change time, which no program can set back."""


def _hashed(folder: Path, names: list[str]) -> str:
    stats = [(folder / name).stat() for name in names]
    state = tuple(
        (name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in zip(names, stats, strict=True)
    )
    if state not in _known:
        _known[state] = files_fingerprint(folder, names)
    return _known[state]


def _config(path: Path) -> dict[str, object]:
    """A config without what says where or by which version it was written."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"not valid JSON: {error}", where=str(path)) from error
    return {key: value for key, value in content.items() if key not in _NOT_IDENTITY}


def check_model_folder(folder: Path) -> None:
    """Check that a folder can be loaded as a causal LM with its tokenizer.

    Raises:
        UserError: config.json, safetensors or the tokenizer is missing.
    """
    if not folder.is_dir():
        raise UserError("no such model folder", where=str(folder), fix="give a folder in Hugging Face layout")
    if not (folder / "config.json").exists():
        raise UserError("model folder without config.json", where=str(folder), fix="expected a folder in Hugging Face layout")
    if not any((folder / name).exists() for name in _TOKENIZERS):
        raise UserError("model folder without a tokenizer", where=str(folder), fix="expected tokenizer.json beside the weights")
    folder_fingerprint(folder)

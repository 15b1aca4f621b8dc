"""Weights: a model folder and the stack of LoRA adapters merged onto it, known by content.

A LoRA checkpoint of a preference phase is ``base + (SFT adapter, preference adapter)``: small on disk, exact, and with a fingerprint that follows the
bytes. Step 0 of a phase has the very stack of its parent's last checkpoint, so both share their sampled answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import files_fingerprint, fingerprint
from valuedrift.tokenizer_files import TEMPLATE_DATE, TEMPLATES, TOKENIZERS, asks_for_today, repeats, tokenizer_files
from valuedrift.weight_files import ADAPTER_CONFIG, check_format, read_json, weight_files

_CONFIG_FILES = ("config.json", ADAPTER_CONFIG, "generation_config.json", "tokenizer_config.json")
_NOT_IDENTITY = frozenset(
    {"_name_or_path", "base_model_name_or_path", "transformers_version", "revision", "inference_mode", "peft_version", "name_or_path"}
)
_NO_MATTER = (
    *(
        ".*",
        "*.md",
        "*.rst",
        "*.html",
        "*.pdf",
        "*.png",
        "*.jpg",
        "*.jpeg",
        "*.gif",
        "*.svg",
        "readme*",
        "license*",
        "notice*",
        "use_policy*",
    ),
    *("*.py", "*.sh", "*.ipynb", "*.yaml", "*.yml", "*.csv", "*.tsv", "*.jsonl", "*.parquet", "*.log", "*.lock", "events.out.tfevents*"),
    *("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "*.ot", "*.tflite", "*.zip", "*.tar", "*.gz"),
    *("checkpoint.json", "trainer_state.json", "training_args*", "*_results.json", "optimizer*", "scheduler*", "rng_state*"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "data_config.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)
"""Files of a model folder that no loader of a language model and its tokenizer reads, in lower case: every other one is in the fingerprint."""


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
        return fingerprint([own, *(folder_fingerprint(adapter, self.base) for adapter in self.adapters)])

    @property
    def tokenizer(self) -> Path:
        """The folder of its tokenizer: the last adapter that carries another one than the base, else the base."""
        others = (adapter for adapter in reversed(self.adapters) if _has_another_tokenizer(adapter, self.base))
        return next(others, self.base)

    def plus(self, adapter: Path) -> Weights:
        """The same stack with one more adapter on top."""
        return Weights(base=self.base, adapters=(*self.adapters, adapter))


def _has_another_tokenizer(adapter: Path, base: Path) -> bool:
    there = any((adapter / name).is_file() for name in TOKENIZERS)
    return there and not all(_equal(adapter / name, base / name) for name in tokenizer_files(adapter))


def _equal(path: Path, other: Path) -> bool:
    return other.is_file() and path.read_bytes() == other.read_bytes()


def folder_fingerprint(folder: Path, base: Path | None = None) -> str:
    """Content hash of a model or adapter folder: its safetensors, configs and whatever else an answer may hang on, not paths, logs or optimizer states.

    A file that repeats what another says (``vocab.json`` beside an equal ``tokenizer.json``, an index that lists what is in the shards) changes nothing,
    so it is not in it; one that says anything else is.

    Args:
        folder: Of a model, or of an adapter.
        base: Of an adapter, the model under it: a tokenizer that is the base's changes nothing.

    Raises:
        UserError: The folder is missing or holds no safetensors.
        DataError: A file of it is not what its name says.
    """
    check_format(folder)
    tensors = sorted(path.name for path in folder.glob("*.safetensors"))
    if odd := [
        name for name in [*tensors, *_CONFIG_FILES] if (folder / name).is_dir() or (name in tensors and not (folder / name).exists())
    ]:
        raise DataError(f"{odd[0]} is no file", where=str(folder), fix="copy or download the model again")
    same = set() if base is None else {name for name in tokenizer_files(folder) if _equal(folder / name, base / name)}
    others = [name for name in _others(folder) if name not in same and not repeats(folder, name)]
    configs = {name: _config(folder / name) for name in _CONFIG_FILES if name not in same and (folder / name).exists()}
    what = [_hashed(folder, [*tensors, *others]), configs]
    if asks_for_today(folder, [name for name in tokenizer_files(folder) if name not in same], configs.get("tokenizer_config.json", {})):
        what.append({"today": TEMPLATE_DATE.isoformat()})
    return fingerprint(what)


def _others(folder: Path) -> list[str]:
    """Files that may change an answer, beside tensors and the configs of which only some keys count; by their paths in the folder."""
    templates = [f"{TEMPLATES}/{path.name}" for path in (folder / TEMPLATES).glob("*.jinja")]
    names = [
        path.name for path in folder.iterdir() if path.is_file() and not any(fnmatch(path.name.lower(), other) for other in _NO_MATTER)
    ]
    return sorted([*templates, *(name for name in names if name not in _CONFIG_FILES and not name.endswith(".safetensors"))])


_known: dict[tuple[tuple[object, ...], ...], str] = {}
"""Hashes of this process by the files' identity on disk: a changed file has another change time, which no program can set back."""


def files_state(folder: Path, names: Iterable[str]) -> tuple[tuple[object, ...], ...]:
    """What tells files from any other and from what they were before, without reading them."""
    stats = [(name, (folder / name).stat()) for name in names]
    return tuple((name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats)


def _hashed(folder: Path, names: list[str]) -> str:
    state = files_state(folder, names)
    if state not in _known:
        _known[state] = files_fingerprint(folder, names)
    return _known[state]


def _config(path: Path) -> dict[str, Any]:
    """A config without what says where or by which version it was written."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError("not a config: a JSON object is expected", where=str(path))
    return {key: value for key, value in content.items() if key not in _NOT_IDENTITY}


def check_model_folder(folder: Path) -> None:
    """Check that a folder can be loaded as a causal LM with its tokenizer; reads the files' headers, no tensors.

    Raises:
        UserError: config.json, safetensors or the tokenizer is missing.
        DataError: The folder holds an adapter, or weights that are cut off or incomplete.
    """
    check_format(folder)
    if not (folder / "config.json").exists() and not (folder / ADAPTER_CONFIG).exists():
        raise UserError("model folder without config.json", where=str(folder), fix="expected a folder in Hugging Face layout")
    if not any((folder / name).exists() for name in TOKENIZERS):
        raise UserError("model folder without a tokenizer", where=str(folder), fix="expected tokenizer.json beside the weights")
    folder_fingerprint(folder)
    weight_files(folder)

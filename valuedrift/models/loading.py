"""Loading weights: base from safetensors, adapters merged in order, the tokenizer ready for batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valuedrift.errors import StageError, UserError
from valuedrift.fingerprint import files_fingerprint
from valuedrift.models.checking import check_model, check_weights, with_adapter
from valuedrift.models.others import bare, quiet, read_by_others
from valuedrift.tokenizer_files import tokenizer_files
from valuedrift.weight_files import ADAPTER_CONFIG
from valuedrift.weights import Weights

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
"""Names of the dtypes a model can be loaded in."""


def load_causal_lm(weights: Weights, *, dtype: str | torch.dtype = "float32", device: str | torch.device = "cpu") -> tuple[Any, Any]:
    """Load a causal language model as it stands at one checkpoint.

    The adapters are merged one after another in float32 and only then rounded to ``dtype``.

    Args:
        weights: Base folder and adapter stack.
        dtype: One of ``DTYPES``, or a torch dtype.
        device: Where the model is put.

    Returns:
        The model (eval mode, no adapters left) and its tokenizer (``padding_side="left"``, pad token set).

    Raises:
        UserError: A folder is missing or incomplete, weights are not safetensors or not the model's, or an adapter does not fit the base.
        StageError: The device has not enough memory.
    """
    torch_dtype = resolve_dtype(dtype)
    import torch

    model = load_base(weights.base, dtype=torch.float32 if weights.adapters else torch_dtype)
    for adapter in weights.adapters:
        model = _merged(model, adapter)
    model = placed(model, weights.base, dtype=torch_dtype, device=device)
    return model, tokenizer_of(weights, model)


def placed(model: Any, folder: Path, *, dtype: torch.dtype, device: str | torch.device) -> Any:
    """A model in a dtype on a device, ready to be asked.

    Args:
        model: On the CPU.
        folder: What it was read from, for messages.
        dtype: Of weights and activations.
        device: Where it is put.

    Raises:
        StageError: The device has not enough memory.
    """
    import torch

    try:
        model = model.to(device=device, dtype=dtype)
    except torch.OutOfMemoryError as error:
        raise StageError("the device has not enough memory for the model", where=str(folder), fix="use a smaller model or dtype") from error
    return model.eval()


def tokenizer_of(weights: Weights, model: Any) -> Any:
    """The tokenizer of a checkpoint; see :func:`load_tokenizer`.

    Raises:
        UserError: It cannot be loaded, or has tokens that the model does not know.
    """
    tokenizer = load_tokenizer(weights.tokenizer)
    _check_ids(tokenizer, model.get_input_embeddings().weight.shape[0], weights.tokenizer)
    return tokenizer


def load_base(folder: Path, *, dtype: torch.dtype) -> Any:
    """Load the base model of a folder on the CPU, from safetensors only and without running any code of the folder.

    Raises:
        UserError: The folder is incomplete or does not hold a causal language model.
        DataError: Its weights are not that model's, or not finite; see :func:`valuedrift.models.checking.check_model`.
    """
    from transformers import AutoModelForCausalLM

    check_model(folder, AutoModelForCausalLM, dtype=dtype)
    return read_model(folder, dtype=dtype)


def read_model(folder: Path, *, dtype: torch.dtype) -> Any:
    """The base model of a folder that was checked; see :func:`load_base`.

    Raises:
        UserError: The folder does not hold a causal language model.
    """
    from transformers import AutoModelForCausalLM

    with quiet(), read_by_others("not loadable as a causal language model", folder):
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    model.generation_config = savable(model.generation_config)
    return model


def savable(generation: Any) -> Any:
    """A generation config that transformers saves: one with settings that contradict each other loads, but stops a training at its first save.

    Of such a one the tokens are kept, all that is read of it here: how answers are drawn, the study says.
    """
    try:
        generation.validate(strict=True)
    except Exception:  # transformers' versions raise this as several kinds
        return type(generation)(**{name: getattr(generation, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")})
    return generation


def tokenizer_content(folder: Path) -> str:
    """What tells the tokenizer of a folder from another: a fingerprint of all files that it is made of or may hang on."""
    beside = [name for name in ("config.json", ADAPTER_CONFIG) if (folder / name).is_file()]
    return files_fingerprint(folder, [*tokenizer_files(folder), *beside])


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder, ready for left-padded batches.

    Raises:
        UserError: The tokenizer cannot be loaded, or has neither a padding nor an end token.
    """
    from transformers import AutoTokenizer

    with read_by_others("tokenizer not loadable", folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        tokenizer("a text")  # some faults show only here
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise UserError(
                "tokenizer without padding and end tokens", where=str(folder), fix="set pad_token or eos_token in tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_files(weights: Weights, *, learns: bool = False) -> None:
    """Check that weights can be asked, or trained, from the headers of their files: config, names and shapes of tensors, adapters, tokenizer, template.

    Takes a second or two however large the model is. What only its numbers tell (that all are finite) is found when it is loaded.

    Args:
        weights: Base folder and adapter stack.
        learns: Whether they will be trained.

    Raises:
        UserError: Something is missing, unreadable, or does not fit together; names file and fault.
        DataError: Weights that are cut off, or not the model's.
    """
    import torch

    check_weights(weights, dtype=torch.float32, numbers=False)
    tokenizer = load_tokenizer(weights.tokenizer)
    rows = json.loads((weights.base / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    _check_ids(tokenizer, rows if isinstance(rows, int) else None, weights.tokenizer)
    if learns:
        check_learns(tokenizer, weights.tokenizer)


def check_learns(tokenizer: Any, folder: Path) -> None:
    """Check that a model can learn where an answer ends.

    Raises:
        UserError: Its tokenizer has no end token.
    """
    if tokenizer.eos_token_id is None:
        raise UserError("tokenizer without an end token", where=str(folder), fix="set eos_token in tokenizer_config.json")


def _check_ids(tokenizer: Any, rows: int | None, folder: Path) -> None:
    """Refuse a tokenizer that ends or pads with a token which the model has no embedding of, or that came with an adapter and has any such."""
    for name in ("eos_token", "pad_token"):
        number = getattr(tokenizer, f"{name}_id")
        if rows is not None and number is not None and number >= rows:
            raise UserError(
                f"{name} {getattr(tokenizer, name)!r} is token {number}, and the model knows {rows}",
                where=str(folder),
                fix="set it in tokenizer_config.json to a token of the vocabulary",
            )
    if rows is not None and (folder / ADAPTER_CONFIG).exists() and len(tokenizer) > rows:
        raise UserError(
            f"the adapter's tokenizer has {len(tokenizer)} tokens, and the model knows {rows}",
            where=str(folder),
            fix="merge the adapter into its base, resized for this tokenizer, or take the tokenizer's files away if the base's is meant",
        )


def resolve_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The torch dtype of a name.

    Raises:
        UserError: The name is not one of ``DTYPES``.
    """
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise UserError(f"no such dtype: {dtype!r}", fix="one of " + ", ".join(DTYPES))
    resolved: torch.dtype = getattr(torch, dtype)
    return resolved


def _merged(model: Any, adapter: Path) -> Any:
    """The model with one adapter merged into it."""
    with read_by_others("adapter does not fit its base", adapter):
        return bare(with_adapter(model, adapter).merge_and_unload(safe_merge=True))

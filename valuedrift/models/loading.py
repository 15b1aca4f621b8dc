"""Loading weights: base from safetensors, adapters merged in order, the tokenizer ready for batches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from valuedrift.errors import StageError, UserError
from valuedrift.models.checking import LOADING_FAULTS, bare, check_model, first_line, with_adapter
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
    try:
        model = model.to(device=device, dtype=torch_dtype)
    except torch.OutOfMemoryError as error:
        raise StageError(
            "the device has not enough memory for the model", where=str(weights.base), fix="use a smaller model or dtype"
        ) from error
    model.eval()
    return model, load_tokenizer(weights.base)


def load_base(folder: Path, *, dtype: torch.dtype) -> Any:
    """Load the base model of a folder on the CPU, from safetensors only and without running any code of the folder.

    Raises:
        UserError: The folder is incomplete or does not hold a causal language model.
        DataError: Its weights are not that model's, or not finite; see :func:`valuedrift.models.checking.check_model`.
    """
    from transformers import AutoModelForCausalLM

    check_model(folder, AutoModelForCausalLM, dtype=dtype)
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    except LOADING_FAULTS as error:
        raise UserError(f"not loadable as a causal language model: {first_line(error)}", where=str(folder)) from error


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder, ready for left-padded batches.

    Raises:
        UserError: The tokenizer cannot be loaded, or has neither a padding nor an end token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except LOADING_FAULTS as error:
        raise UserError(f"tokenizer not loadable: {first_line(error)}", where=str(folder)) from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise UserError(
                "tokenizer without padding and end tokens", where=str(folder), fix="set pad_token or eos_token in tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


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
    try:
        return bare(with_adapter(model, adapter).merge_and_unload(safe_merge=True))
    except LOADING_FAULTS as error:
        raise UserError(f"adapter does not fit its base: {first_line(error)}", where=str(adapter)) from error

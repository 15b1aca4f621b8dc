"""A checkpoint with the weights that its training trained: adapters apart from what they lie on, as the training had them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import safe_open

from valuedrift.errors import UserError
from valuedrift.models.checking import with_adapter
from valuedrift.models.loading import load_causal_lm
from valuedrift.training.algorithm import AlgorithmBase
from valuedrift.training.loop import fresh_start
from valuedrift.training.setup import SHORT, Setup
from valuedrift.weight_files import weight_files
from valuedrift.weights import Weights
from valuedrift.words import size

_FULL = 4
"""Copies of the weights that full gradients need at once: the weights, a row's gradient, one that is made, and its signs."""


def load_checkpoint(parent: Weights, own: Weights | None, algorithm: AlgorithmBase, seed: int, device: str) -> tuple[Any, Any]:
    """Load a checkpoint so that gradients of what was trained can be taken; in float32, without dropout.

    Args:
        parent: What the training started from.
        own: The checkpoint; None: the parent itself, under adapters as they were at the beginning.
        algorithm: Of the training.
        seed: Of the training.
        device: ``cpu`` or ``cuda``.

    Returns:
        The model, of whose weights those require gradients that were trained, and the tokenizer.

    Raises:
        UserError: There is not enough memory for full gradients.
    """
    lora = algorithm.lora
    if lora is None:
        _check_memory(own or parent, device)
        model, tokenizer = load_causal_lm(own or parent, device=device)
        model.requires_grad_(True)
        return _quick(model, algorithm, device), tokenizer
    fresh_start(seed)  # the initial adapters are those of the training
    model, tokenizer = load_causal_lm(parent, device=device)
    if own is None:
        from peft import get_peft_model

        adapted = get_peft_model(model, Setup.lora(lora))
    else:
        adapted = with_adapter(model, own.adapters[-1])
    for name, weight in adapted.named_parameters():
        weight.requires_grad_("lora_" in name)
    return _quick(adapted.to(device), algorithm, device).eval(), tokenizer


def _quick(model: Any, algorithm: AlgorithmBase, device: str) -> Any:
    """As training has it: plain attention is the faster one backwards on a CPU."""
    if device == "cpu" and algorithm.max_length <= SHORT:
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        bare.set_attn_implementation("eager")
    return model


def _check_memory(weights: Weights, device: str) -> None:
    """Refuse full weights whose gradients do not fit."""
    needed = _FULL * 4.0 * sum(map(_numbers, weight_files(weights.base)))
    there = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    if needed > there:
        raise UserError(
            f"gradients of full weights need about {size(needed)} of memory, and {size(there)} are free",
            where=str(weights.base),
            fix="a run with lora, whose weights are few, or a machine with more memory",
        )


def _numbers(path: Path) -> int:
    """How many numbers a file's tensors have."""
    with safe_open(path, framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 # no mapping

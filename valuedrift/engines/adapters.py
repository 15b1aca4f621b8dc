"""Stacks of LoRA adapters as one adapter, for an engine that applies adapters to a base that stays in memory.

Of two adapters ``W + s₁B₁A₁ + s₂B₂A₂`` is ``W + [s₁B₁ s₂B₂][A₁; A₂]``: one adapter whose rank is the sum.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valuedrift.weight_files import ADAPTER, ADAPTER_CONFIG, tensor_names

if TYPE_CHECKING:
    from torch import Tensor

_A, _B = ".lora_A.weight", ".lora_B.weight"
_MORE_THAN_LORA = (
    *("use_dora", "modules_to_save", "layer_replication", "alora_invocation_tokens", "use_qalora", "use_bdlora", "lora_bias"),
    *("target_parameters", "trainable_token_indices", "fan_in_fan_out"),
)
"""Keys of an adapter's config which, where they say something, make more of it than the product of two matrices."""
_INITIAL = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Ways to begin a LoRA that leave the base as it is."""
_VOCABULARY = ("lm_head", "embed_tokens", "wte", "embed_out")
"""Layers over the vocabulary, often one tensor under two names."""


def is_plain_lora(adapter: Path) -> bool:
    """Whether an adapter is nothing but products of two matrices, added to linear layers.

    Args:
        adapter: A PEFT adapter folder.
    """
    config = _config(adapter)
    names = tensor_names(adapter / ADAPTER)
    initial = config.get("init_lora_weights", True)
    return (
        config.get("peft_type") == "LORA"
        and config.get("bias", "none") == "none"
        and not any(config.get(key) for key in _MORE_THAN_LORA)
        and (not isinstance(initial, str) or initial.lower() in _INITIAL)
        and all(name.endswith((_A, _B)) for name in names)
        and not any(f".{part}." in name for name in names for part in _VOCABULARY)
    )


def rank(adapters: Sequence[Path]) -> int:
    """Rank of the one adapter that a stack of plain ones is, its greatest over layers."""
    ranks: dict[str, int] = {}
    for adapter in adapters:
        for layer, a, _ in _layers(adapter):
            ranks[layer] = ranks.get(layer, 0) + a.shape[0]
    return max(ranks.values(), default=1)


def fold(adapters: Sequence[Path], into: Path) -> Path:
    """Write a stack of plain adapters as one.

    Args:
        adapters: PEFT adapter folders, from the lowest on; each :func:`is_plain_lora`.
        into: Folder to write; made.

    Returns:
        The folder.
    """
    import torch
    from safetensors.torch import save_file

    stacks: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for adapter in adapters:
        scaling = _Scaling(_config(adapter))
        for layer, a, b in _layers(adapter):
            stacks.setdefault(layer, []).append((a.float(), b.float() * scaling.of(layer, a.shape[0])))
    most = max(sum(a.shape[0] for a, _ in stack) for stack in stacks.values())
    tensors: dict[str, Tensor] = {}
    for layer, stack in stacks.items():
        a, b = torch.cat([a for a, _ in stack]), torch.cat([b for _, b in stack], dim=1)
        missing = most - a.shape[0]
        tensors[layer + _A] = torch.nn.functional.pad(a, (0, 0, 0, missing)).contiguous()
        tensors[layer + _B] = torch.nn.functional.pad(b, (0, missing)).contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": most,
        "lora_alpha": most,
        "target_modules": sorted({layer.rpartition(".")[2] for layer in stacks}),
        "bias": "none",
        "base_model_name_or_path": None,
    }
    into.mkdir(parents=True, exist_ok=True)
    save_file(tensors, into / ADAPTER, metadata={"format": "pt"})
    (into / ADAPTER_CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
    return into


class _Scaling:
    """What PEFT multiplies an adapter's products with.

    Args:
        config: The adapter's.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._alpha, self._patterns = config.get("lora_alpha", 8), config.get("alpha_pattern") or {}
        self._root = bool(config.get("use_rslora"))

    def of(self, layer: str, r: int) -> float:
        """Of one layer with a rank of its own."""
        from peft.utils.other import get_pattern_key

        alpha = self._patterns.get(get_pattern_key(self._patterns.keys(), layer), self._alpha)
        return float(alpha) / (math.sqrt(r) if self._root else r)


def _config(adapter: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    return config


def _layers(adapter: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Layers of an adapter by their names in its file, with the matrices A [rank, in] and B [out, rank]."""
    from safetensors.torch import load_file

    tensors = load_file(adapter / ADAPTER)
    for name, a in tensors.items():
        if name.endswith(_A):
            yield name.removesuffix(_A), a, tensors[name.removesuffix(_A) + _B]

"""Running prompts through a model once, for as many answers as will follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from valuedrift.engines.decoding.slots import padded
from valuedrift.errors import UserError

_PREFILL_TOKENS = 4096
"""Tokens of one prefill forward; beyond this, larger batches are no faster and only need memory."""


def prefill(model: Any, prompts: Sequence[Sequence[int]]) -> Cache | None:
    """Keys and values of the tokens of prompts, each at the place it has in its prompt.

    Prompts are padded on the right: with causal attention no token ever looks at the padding, and the places beyond a prompt are written
    over later.

    Args:
        model: A causal language model.
        prompts: Token ids of each prompt; empty ones are allowed.

    Returns:
        A cache with one row a prompt, or None if all prompts are empty.
    """
    longest = max(map(len, prompts))
    if longest == 0:
        return None
    width = padded(longest)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt, dtype=torch.long)
    cache = DynamicCache()
    positions = torch.arange(width).expand(len(prompts), width)
    model(input_ids=ids.to(model.device), position_ids=positions.to(model.device), past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def prefill_batches(lengths: Sequence[int]) -> Iterator[range]:
    """Cut a sequence of prompts into runs of equal padded length and at most ``_PREFILL_TOKENS`` tokens (at least one prompt each).

    Equal, because kernels for wider batches sum in another order: what a prompt is batched with must not change its last bits.
    """
    start = 0
    for index in range(1, len(lengths) + 1):
        width = padded(lengths[start])
        if index == len(lengths) or padded(lengths[index]) != width or width * (index + 1 - start) > _PREFILL_TOKENS:
            yield range(start, index)
            start = index


def check_attention(model: Any, longest: int) -> int:
    """Check that every layer attends to all places of sequences of a length, which the slot cache rests on.

    Args:
        model: A causal language model.
        longest: Tokens of the longest sequence.

    Returns:
        The number of layers.

    Raises:
        UserError: Layers without a key-value cache (state space models), or a sliding window shorter than the sequences.
    """
    layers = DynamicCache(config=model.config).layers
    for layer in layers:
        whole = type(layer) is DynamicLayer or (type(layer) is DynamicSlidingWindowLayer and layer.sliding_window > longest)
        if not whole:
            raise UserError(
                f"the transformers engine cannot decode a {model.config.model_type!r} model at {longest} tokens: not every layer sees them all",
                fix="use the vllm engine, or lower max_new_tokens",
            )
    return len(layers) or int(model.config.get_text_config().num_hidden_layers)

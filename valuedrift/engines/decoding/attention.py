"""Attention for decoding: query heads that share a key-value head are folded into the query length.

Stock ``sdpa`` with a mask copies keys and values once a query head of the group (``repeat_kv``). Folded, nothing is copied: for SmolLM2 on
CPU a step's attention took a tenth of the time in bfloat16. The sums are those of plain attention.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "valuedrift_folded"
_LINES = 8
"""Folded queries are padded to a multiple of this. The CPU kernel gives every thread a slice of one buffer, and with other sizes the slices of all but the
first thread are not aligned: sums then differ in the last bit by which thread a row falls to, and a draw in some thousand with them."""


def folded_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention with the signature of transformers' attention functions.

    Args:
        module: The attention layer.
        query: [rows, query heads, length, head size].
        key: [rows, key-value heads, span, head size].
        value: Like ``key``.
        attention_mask: Additive [rows, 1, length, span], or None for plain causal attention, which is left to ``sdpa``.
        dropout: Passed on; 0 in evaluation.
        scaling: Factor on the scores.
        kwargs: Passed on to ``sdpa``.

    Returns:
        Output [rows, length, query heads, head size], and None in the place of attention weights.
    """
    rows, heads, length, size = query.shape
    groups = heads // key.shape[1]
    if attention_mask is None or groups == 1:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
        return output, None
    lines = groups * length
    folded = torch.nn.functional.pad(query.reshape(rows, key.shape[1], lines, size), (0, 0, 0, -lines % _LINES))
    mask = attention_mask if length == 1 else torch.nn.functional.pad(attention_mask.repeat(1, 1, groups, 1), (0, 0, 0, -lines % _LINES))
    output = torch.nn.functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return output[:, :, :lines].reshape(rows, heads, length, value.shape[-1]).transpose(1, 2).contiguous(), None


def fold(model: Any) -> None:
    """Let a model use folded attention where it would use ``sdpa``; others keep theirs (eager ones have sinks or caps that ``sdpa`` has not)."""
    if model.config._attn_implementation == "sdpa" and model._supports_attention_backend:
        model.set_attn_implementation(NAME)


AttentionInterface.register(NAME, folded_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)

"""Log-probabilities of answer tokens, without the output head's work on prompts.

A vocabulary of 49,152 makes the head and its softmax a third of a small model's step. TRL's losses take logits of all positions, and its metrics pass over
them several times; here only positions from the end of the shortest prompt on get logits, once. Tests hold the losses to TRL's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def token_logps(model: Any, input_ids: Tensor, attention_mask: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log π of every target token.

    Args:
        model: A causal language model (bare, under PEFT or wrapped for several devices).
        input_ids: Tokens, shape (rows, length), padded on the right.
        attention_mask: 1 where there is a token, same shape.
        targets: True where a token counts, same shape; never the first token.

    Returns:
        Log-probabilities in float32, 0 where a token does not count, and the targets as floats; both of shape (rows, kept), kept < length.
    """
    first = int(targets.any(dim=0).int().argmax())  # no row has a target before this one
    keep = torch.arange(first - 1, input_ids.shape[1] - 1, device=input_ids.device)
    logits = model(input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=keep, use_cache=False).logits
    labels = input_ids[:, first:].masked_fill(~targets[:, first:], -100)
    losses = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
    return -losses.view_as(labels), targets[:, first:].float()

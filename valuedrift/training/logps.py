"""Log-probabilities of answers, without the output head's work on prompts, and the numbers that are kept of a step on pairs.

A vocabulary of 49,152 makes the head and its softmax a third of a small model's step. TRL's losses take logits of all positions, and its metrics pass over
them several times; here only positions from the end of the shortest prompt on get logits, once. Tests hold the losses to TRL's own.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

_Logps = TypeVar("_Logps")


def token_logps(model: Any, input_ids: Tensor, attention_mask: Tensor, targets: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log π of every target token.

    Args:
        model: A causal language model (bare, under PEFT or wrapped for several devices).
        input_ids: Tokens, shape (rows, length), padded on the right.
        attention_mask: 1 where there is a token, same shape.
        targets: True where a token counts, same shape; never the first token.
        temperature: Divides the logits; above 0.

    Returns:
        Log-probabilities in float32, 0 where a token does not count, and the targets as floats; both of shape (rows, kept), kept < length.
    """
    first = int(targets.any(dim=0).int().argmax())  # no row has a target before this one
    keep = torch.arange(first - 1, input_ids.shape[1] - 1, device=input_ids.device)
    logits = model(input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=keep, use_cache=False).logits
    logits = logits.float() if temperature == 1.0 else logits.float() / temperature
    labels = input_ids[:, first:].masked_fill(~targets[:, first:], -100)
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
    return -losses.view_as(labels), targets[:, first:].float()


def pair_logps(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log π(y|x) of the answers of a batch as TRL's ``DataCollatorForPreference`` lays it out: the chosen rows, then the rejected ones.

    Returns:
        Sums over the answers' tokens and the numbers of tokens, both of shape (2 · pairs,).
    """
    logps, counted = token_logps(model, inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"].bool())
    return logps.sum(dim=1), counted.sum(dim=1)


def reference_logps(trainer: Any, model: Any, logps: Callable[[Any], _Logps]) -> _Logps:
    """What the reference says of a batch: the trainer's copy of the parent, or the policy with its adapters off.

    Args:
        trainer: A TRL trainer that has a ``ref_model``, or none under adapters.
        model: The policy, as the trainer wrapped it.
        logps: Computes what is wanted of a model.
    """
    with torch.no_grad():
        if trainer.ref_model is not None:
            return logps(trainer.ref_model)
        with trainer.accelerator.unwrap_model(model).disable_adapter():
            return logps(model)


def keep_rewards(metrics: MutableMapping[str, list[float]], chosen: Tensor, rejected: Tensor) -> None:
    """Keep the implicit rewards of a step under TRL's names."""
    metrics["rewards/chosen"].append(chosen.detach().mean().item())
    metrics["rewards/rejected"].append(rejected.detach().mean().item())
    metrics["rewards/margins"].append((chosen - rejected).detach().mean().item())

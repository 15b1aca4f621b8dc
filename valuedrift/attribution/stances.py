"""Gradients of stances: what weights would move the judge's view of a checkpoint's own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from valuedrift.attribution.gradients import Gradient
from valuedrift.training.logps import token_logps

_ROTARY = frozenset({"gemma", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"})
"""Types of models in which a token sees others by attention alone, and their places by rotation: a mask says all that it sees."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt at one checkpoint, with its answers and what the judge saw in each."""

    prompt: Sequence[int]
    """Tokens, not empty."""
    answers: Sequence[Sequence[int]]
    """Tokens of each answer, its end included where it ended; two or more, none empty."""
    stances: NDArray[np.float64]
    """Probability of each stance that is looked at, by answer. Shape (answers, stances)."""

    def pulls(self) -> NDArray[np.float64]:
        """What ∇ log π of each answer counts in ∇v: its stance less the mean of the prompt's other answers, over their number. Shape as ``stances``."""
        centred: NDArray[np.float64] = self.stances - self.stances.mean(axis=0)
        return centred / (len(self.answers) - 1)


def stance_gradients(model: Any, weights: Mapping[str, Tensor], asked: Asked, temperature: float) -> list[Gradient]:
    """∇v of one prompt for every stance that is looked at: the mean of (p_s(y) − b₋) ∇ log π_T(y|x) over its answers.

    Args:
        model: The checkpoint.
        weights: Its trained weights.
        asked: The prompt, its answers and their stances.
        temperature: At which they were drawn; above 0.
    """
    logps = answer_logps(model, asked, temperature)
    pulls = torch.tensor(asked.pulls(), dtype=logps.dtype, device=logps.device)
    totals = pulls.T @ logps
    params = tuple(weights.values())
    return [
        torch.autograd.grad(total, params, retain_graph=place + 1 < len(totals), allow_unused=True) for place, total in enumerate(totals)
    ]


def answer_logps(model: Any, asked: Asked, temperature: float) -> Tensor:
    """Log π_T(y|x) of a prompt's answers, all with one pass; shape (answers,)."""
    config = model.config
    one_line = config.model_type in _ROTARY and getattr(config, "sliding_window", None) is None
    return _in_one_line(model, asked, temperature) if one_line else _below_each_other(model, asked, temperature)


def _in_one_line(model: Any, asked: Asked, temperature: float) -> Tensor:
    """The prompt once, its answers behind it, each of which sees the prompt and itself: a prompt is mostly longer than an answer."""
    start, device = len(asked.prompt), model.device
    bodies = [list(answer[:-1]) for answer in asked.answers]  # nothing follows the last token
    ids = torch.tensor([[*asked.prompt, *(token for body in bodies for token in body)]], device=device)
    of = torch.tensor([-1] * start + [place for place, body in enumerate(bodies) for _ in body], device=device)
    places = torch.tensor([[*range(start), *(start + at for body in bodies for at in range(len(body)))]], device=device)
    order = torch.arange(ids.shape[1], device=device)
    seen = (order[None, :] <= order[:, None]) & ((of[None, :] == -1) | (of[None, :] == of[:, None]))
    dtype = next(model.parameters()).dtype
    mask = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, torch.finfo(dtype).min)[None, None]
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=places,
        logits_to_keep=torch.arange(start - 1, ids.shape[1], device=device),
        use_cache=False,
    ).logits[0]
    # the prompt's last token foretells the first of every answer, and each token of an answer the one behind it
    of_answers = of[start:].tolist()
    foretold_by = [0] * len(bodies) + list(range(1, len(of_answers) + 1))
    belongs = torch.tensor([*range(len(bodies)), *of_answers], device=device)
    targets = [answer[0] for answer in asked.answers] + [token for answer in asked.answers for token in answer[1:]]
    scaled = _at_least_float32(logits)[foretold_by] / temperature
    losses = torch.nn.functional.cross_entropy(scaled, torch.tensor(targets, device=device), reduction="none")
    return torch.zeros(len(bodies), dtype=losses.dtype, device=device).index_add(0, belongs, -losses)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _below_each_other(model: Any, asked: Asked, temperature: float) -> Tensor:
    """Each answer behind a prompt of its own, padded."""
    start = len(asked.prompt)
    whole = [torch.tensor([*asked.prompt, *answer]) for answer in asked.answers]
    ids = pad_sequence(whole, batch_first=True).to(model.device)
    places = torch.arange(ids.shape[1], device=model.device)
    lengths = torch.tensor([len(one) for one in whole], device=model.device)[:, None]
    logps, _ = token_logps(model, ids, (places < lengths).long(), (places >= start) & (places < lengths), temperature)
    return logps.sum(dim=1)

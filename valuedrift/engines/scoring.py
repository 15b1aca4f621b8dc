"""Log-probabilities of options as continuations of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from valuedrift.engines.prefill import check_attention, prefill, prefill_batches
from valuedrift.engines.slots import SlotCache, padded


def score_options(model: Any, prompts: Sequence[Sequence[int]], options: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Total log-probability of every option after every prompt.

    A prompt is computed once; options then share its cache, and options that differ in their last token only share a row as well.

    Args:
        model: A causal language model.
        prompts: Token ids, none empty.
        options: Token ids, none empty.

    Returns:
        Array [n_prompts, n_options].
    """
    scores = np.zeros((len(prompts), len(options)), dtype=np.float64)
    if not scores.size:
        return scores
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    layers = check_attention(model, max(map(len, prompts)) + max(map(len, options)))
    with torch.inference_mode():
        for batch in prefill_batches([len(prompts[index]) for index in order]):
            chosen = [order[place] for place in batch]
            scores[chosen] = _score(model, [prompts[index] for index in chosen], options, layers)
    return scores


def _score(model: Any, prompts: Sequence[Sequence[int]], options: Sequence[Sequence[int]], layers: int) -> NDArray[np.float64]:
    stems = list(dict.fromkeys(tuple(option[:-1]) for option in options))
    length = 1 + max(map(len, stems))
    device = model.device
    cache = SlotCache(layers=layers, rows=len(prompts) * len(stems), places=padded(max(map(len, prompts)) + length), device=device)
    prefilled = prefill(model, [prompt[:-1] for prompt in prompts])
    rows = torch.arange(len(prompts) * len(stems), device=device)
    if prefilled is not None:
        cache.fill(rows, rows // len(stems), prefilled)
    ids = torch.zeros((len(rows), length), dtype=torch.long)
    for row in range(len(rows)):
        tokens = (prompts[row // len(stems)][-1], *stems[row % len(stems)])
        ids[row, : len(tokens)] = torch.tensor(tokens)
    starts = torch.tensor([len(prompt) - 1 for prompt in prompts for _ in stems])
    positions = (starts[:, None] + torch.arange(length)).to(device)
    logits = model(
        input_ids=ids.to(device),
        position_ids=positions,
        attention_mask=cache.at(positions, model.dtype),
        past_key_values=cache,
        use_cache=True,
    ).logits
    scores = np.zeros((len(prompts), len(options)), dtype=np.float64)
    logprobs = logits.float().log_softmax(-1).view(len(prompts), len(stems), length, -1)
    for index, option in enumerate(options):
        stem = stems.index(tuple(option[:-1]))
        picked = logprobs[:, stem, torch.arange(len(option)), torch.tensor(option)]
        scores[:, index] = picked.double().sum(-1).cpu().numpy()
    return scores

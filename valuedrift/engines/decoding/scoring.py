"""Log-probabilities of options as continuations of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from valuedrift.engines.decoding.prefill import check_attention, prefill, prefill_batches
from valuedrift.engines.decoding.slots import SlotCache, padded
from valuedrift.engines.prompting import no_numbers

_TAIL_TOKENS = 16384
"""Tokens after the shared beginnings that one forward takes at most."""


def score_options(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[int]],
    *,
    alike: int = 1,
    room: int | None = None,
    names: Sequence[str] = (),
) -> NDArray[np.float64]:
    """Total log-probability of every option after every prompt.

    A prompt is computed once; options then share its cache, and options that differ in their last token only share a row as well. Prompts that begin
    alike share the computation of their common beginning. What is computed for prompts depends on them alone, not on what else is scored.

    Args:
        model: A causal language model.
        prompts: Token ids, none empty.
        options: Token ids, none empty.
        alike: Every so many prompts in a row begin alike; divides their number.
        room: Tokens that prompt and option may have together.
        names: What prompts are called in a message; default: their numbers.

    Returns:
        Array [n_prompts, n_options]; NaN for prompts that have no room for the longest option.

    Raises:
        DataError: The logits after a prompt are not numbers.
    """
    scores = np.full((len(prompts), len(options)), np.nan)
    if not scores.size:
        return scores
    longest = max(map(len, options))
    groups = [range(start, start + alike) for start in range(0, len(prompts), alike)]
    fitting = [group for group in groups if room is None or max(len(prompts[index]) for index in group) + longest <= room]
    if not fitting:
        return scores
    shared = {group: _common([prompts[index] for index in group]) for group in fitting}
    tails = {group: max(len(prompts[index]) - shared[group] for index in group) for group in fitting}
    # of equal padded length of beginning and equal length of tail: kernels for other shapes sum in another order
    fitting.sort(key=lambda group: (tails[group], shared[group], group.start))
    layers = check_attention(model, max(len(prompts[index]) for group in fitting for index in group) + longest)
    with torch.inference_mode():
        start = 0
        while start < len(fitting):
            width = tails[fitting[start]]
            end = next((at for at in range(start, len(fitting)) if tails[fitting[at]] != width), len(fitting))
            end = min(end, start + max(1, _TAIL_TOKENS // (alike * (width + longest))))
            for batch in prefill_batches([shared[group] for group in fitting[start:end]]):
                chosen = fitting[start:end][batch.start : batch.stop]
                rows = [index for group in chosen for index in group]
                beginnings = [shared[group] for group in chosen]
                scores[rows] = _score(model, [prompts[index] for index in rows], beginnings, options, layers)
                for index in rows:
                    if np.isnan(scores[index]).any():
                        raise no_numbers(f"prompt {names[index] if names else index}")
            start = end
    return scores


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """Number of tokens that prompts begin with alike; at least one token of each is left to be asked after."""
    columns = zip(*(prompt[:-1] for prompt in prompts), strict=False)
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, columns))


def _score(
    model: Any, prompts: Sequence[Sequence[int]], beginnings: Sequence[int], options: Sequence[Sequence[int]], layers: int
) -> NDArray[np.float64]:
    """Score prompts of which every ``len(prompts) / len(beginnings)`` in a row share the first ``beginnings[i]`` tokens."""
    alike = len(prompts) // len(beginnings)
    stems = list(dict.fromkeys(tuple(option[:-1]) for option in options))
    # one row a prompt and stem: what follows the shared beginning, then the stem
    tails = [[*prompts[row][beginnings[row // alike] :], *stem] for row in range(len(prompts)) for stem in stems]
    starts = torch.tensor([beginnings[row // alike] for row in range(len(prompts)) for _ in stems])
    lasts = torch.tensor([len(prompts[row]) - beginnings[row // alike] - 1 for row in range(len(prompts)) for _ in stems])
    width = max(map(len, tails))
    device = model.device
    cache = SlotCache(layers=layers, rows=len(tails), places=padded(int(starts.max()) + width), device=device)
    prefilled = prefill(model, [prompts[group * alike][:beginning] for group, beginning in enumerate(beginnings)])
    rows = torch.arange(len(tails), device=device)
    if prefilled is not None:
        cache.fill(rows, rows // (alike * len(stems)), prefilled)
    ids = torch.zeros((len(tails), width), dtype=torch.long)
    for row, tail in enumerate(tails):
        ids[row, : len(tail)] = torch.tensor(tail)
    positions = (starts[:, None] + torch.arange(width)).to(device)
    first = int(lasts.min())
    logits = model(
        input_ids=ids.to(device),
        position_ids=positions,
        attention_mask=cache.at(positions, model.dtype),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.arange(first, width, device=device),
    ).logits
    logprobs = logits.float().log_softmax(-1).view(len(prompts), len(stems), width - first, -1)
    at = (lasts - first).view(len(prompts), len(stems)).to(device)
    each = torch.arange(len(prompts), device=device)
    scores = np.zeros((len(prompts), len(options)), dtype=np.float64)
    for index, option in enumerate(options):
        stem = stems.index(tuple(option[:-1]))
        picked = sum(logprobs[each, stem, at[:, stem] + place, token].double() for place, token in enumerate(option))
        scores[:, index] = torch.as_tensor(picked).cpu().numpy()
    return scores

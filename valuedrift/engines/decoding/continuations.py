"""Log-probabilities of continuations, each of a beginning of its own, and whether it is what the model would say unasked: its greedy one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from valuedrift.engines.continuing import Continued
from valuedrift.engines.decoding.slots import padded
from valuedrift.engines.prompting import no_numbers

_TOKENS = 4096
"""Tokens of one forward at most, but for one sequence alone."""
_LOGITS = 2**27
"""Logits of one forward at most: half a gigabyte in float32."""


def score_continuations(
    model: Any, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Callable[[int, int], None] | None = None
) -> list[Continued]:
    """Score continuations of beginnings.

    Pairs that differ in their last token only are one sequence, computed once: choices that are letters cost as much as one.

    Args:
        model: A causal language model.
        pairs: Token ids of a beginning and of what continues it, neither empty; together at most one more than the model's context.
        progress: Told how many pairs are scored, of all.

    Returns:
        One a pair, in their order.

    Raises:
        DataError: The logits are not numbers.
    """
    asked: dict[tuple[int, ...], list[int]] = {}
    for index, (beginning, continuation) in enumerate(pairs):
        asked.setdefault((*beginning, *continuation[:-1]), []).append(index)
    first = {tokens: min(len(pairs[index][0]) for index in which) - 1 for tokens, which in asked.items()}
    ordered = sorted(asked, key=lambda tokens: (padded(len(tokens)), first[tokens], tokens))
    found: list[Continued | None] = [None] * len(pairs)
    done = 0
    vocabulary, device = model.config.get_text_config().vocab_size, model.device
    with torch.inference_mode():
        for batch in _batches(ordered, first, vocabulary):
            start = min(first[tokens] for tokens in batch)
            logprobs, greedy = _forward(model, batch, start)
            for row, tokens in enumerate(batch):
                for index in asked[tokens]:
                    beginning, continuation = pairs[index]
                    places = torch.arange(len(beginning) - 1 - start, len(beginning) - 1 - start + len(continuation), device=device)
                    ids = torch.tensor(continuation, device=device)
                    score = float(logprobs[row, places, ids].double().sum())
                    if score != score:
                        raise no_numbers("capability")
                    found[index] = Continued(score, bool((greedy[row, places] == ids).all()))
                done += len(asked[tokens])
            if progress is not None:
                progress(done, len(pairs))
    return [one for one in found if one is not None]


def _batches(ordered: Sequence[tuple[int, ...]], first: dict[tuple[int, ...], int], vocabulary: int) -> Iterator[list[tuple[int, ...]]]:
    """Sequences of equal padded length, as many as one forward takes; their order is by where their continuations begin, so that few logits are kept."""
    batch: list[tuple[int, ...]] = []
    for tokens in ordered:
        width = padded(len(tokens))
        kept = width - first[batch[0]] if batch else 0
        more = len(batch) + 1
        if batch and (padded(len(batch[0])) != width or more * width > _TOKENS or more * kept * vocabulary > _LOGITS):
            yield batch
            batch = []
        batch.append(tokens)
    if batch:
        yield batch


def _forward(model: Any, batch: Sequence[tuple[int, ...]], start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities [rows, places, vocabulary] and greedy tokens [rows, places] from a place on; with causal attention nothing sees the padding."""
    width = padded(max(map(len, batch)))
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    positions = torch.arange(width).expand(len(batch), width)
    kept = torch.arange(start, width, device=model.device)
    logits = model(input_ids=ids.to(model.device), position_ids=positions.to(model.device), use_cache=False, logits_to_keep=kept).logits
    return logits.float().log_softmax(-1), logits.argmax(-1)

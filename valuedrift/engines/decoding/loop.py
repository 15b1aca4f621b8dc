"""The decode loop: many answers at once, rows refilled from a queue as answers end.

Every prompt goes through the model once (all but its last token) and is copied to a row an answer. Rows of ended answers are filled by the
last ones, so that the batch stays dense, and by new prompts as soon as an eighth of the rows is free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from valuedrift.engines.decoding.draws import draw_tokens, drawable
from valuedrift.engines.decoding.prefill import check_attention, prefill, prefill_batches
from valuedrift.engines.decoding.slots import SlotCache, padded
from valuedrift.engines.prompting import no_numbers

_FLOOR = 16
"""Rows computed at least. Kernels for fewer rows sum in another order, so that an answer's last bits would depend on how many others are
left."""


@dataclass(slots=True)
class Answer:
    """One answer to be drawn."""

    prompt: Sequence[int]
    """Token ids of its prompt."""
    uniforms: NDArray[np.float64]
    """One a token; as many as the answer may be long."""
    tokens: list[int] = field(default_factory=list)
    """What was drawn, without the token that ended it."""
    ended: bool = False
    """Whether the model ended it."""
    prompt_id: str = ""
    """Of its prompt, for messages."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How the loop runs; changes no draw."""

    max_rows: int
    cache_tokens: int


def decode(
    model: Any,
    prompts: Sequence[Sequence[Answer]],
    *,
    temperature: float,
    top_p: float,
    end_tokens: frozenset[int],
    limits: Limits,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Draw all answers in place.

    Args:
        model: A causal language model that attends to all places (see ``check_attention``).
        prompts: Groups of answers that share a prompt.
        temperature: Softmax temperature.
        top_p: Nucleus mass.
        end_tokens: Tokens that end an answer.
        limits: Rows and memory.
        progress: Told how many more answers are done.

    Raises:
        DataError: The logits after a prompt or its answer are not numbers.
    """
    if not prompts:
        return
    with torch.inference_mode():
        _Loop(model, prompts, temperature, top_p, end_tokens, limits).run(progress)


class _Loop:
    """State of one decoding: a queue of groups, a cache, and the answers that lie in its first rows."""

    def __init__(
        self, model: Any, prompts: Sequence[Sequence[Answer]], temperature: float, top_p: float, end_tokens: frozenset[int], limits: Limits
    ) -> None:
        self.model, self.temperature, self.top_p, self.end_tokens = model, temperature, top_p, end_tokens
        places = padded(max(len(group[0].prompt) + len(group[0].uniforms) for group in prompts))
        layers = check_attention(model, places)
        most = max(1, min(limits.max_rows, limits.cache_tokens // places))
        total = sum(map(len, prompts))
        self.rows = min(most, total)
        # Longest first: the widest spans come while the batch is full, and what is left at the end is short.
        ordered = sorted(prompts, key=lambda group: -len(group[0].prompt))
        self.queue: deque[Sequence[Answer]] = deque(
            group[at : at + self.rows] for group in ordered for at in range(0, len(group), self.rows)
        )
        self.cache = SlotCache(layers=layers, rows=max(self.rows, _FLOOR), places=places, device=model.device)
        self.active: list[Answer] = []

    def run(self, progress: Callable[[int], None] | None) -> None:
        while self.queue or self.active:
            self._admit()
            self._step()
            done = self._drop_ended()
            if done and progress:
                progress(done)

    def _admit(self) -> None:
        """Prefill waiting groups into free rows once there are enough of them."""
        free = self.rows - len(self.active)
        if free < max(1, self.rows // 8) and self.active:
            return
        groups: list[Sequence[Answer]] = []
        while self.queue and len(self.queue[0]) <= free:
            groups.append(self.queue.popleft())
            free -= len(groups[-1])
        if not groups:
            return
        heads = [group[0].prompt[:-1] for group in groups]
        for batch in prefill_batches([len(head) for head in heads]):
            self._fill([groups[index] for index in batch], prefill(self.model, [heads[index] for index in batch]))

    def _fill(self, groups: Sequence[Sequence[Answer]], prefilled: Any) -> None:
        start = len(self.active)
        which = [index for index, group in enumerate(groups) for _ in group]
        self.active.extend(answer for group in groups for answer in group)
        if prefilled is not None:
            device = self.model.device
            rows = torch.arange(start, len(self.active), device=device)
            self.cache.fill(rows, torch.tensor(which, device=device), prefilled)

    def _step(self) -> None:
        """One more token for every active answer."""
        idle = max(0, _FLOOR - len(self.active))
        last = [answer.tokens[-1] if answer.tokens else answer.prompt[-1] for answer in self.active]
        places = [len(answer.prompt) + len(answer.tokens) - 1 for answer in self.active]
        device = self.model.device
        positions = torch.tensor(places + [0] * idle, device=device)[:, None]
        logits = self.model(
            input_ids=torch.tensor(last + [0] * idle, device=device)[:, None],
            position_ids=positions,
            attention_mask=self.cache.at(positions, self.model.dtype),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[: len(self.active), -1]
        numbers = drawable(logits).tolist()
        if not all(numbers):
            raise no_numbers(f"prompt {self.active[numbers.index(False)].prompt_id}")
        uniforms = torch.tensor([answer.uniforms[len(answer.tokens)] for answer in self.active], device=device)
        drawn = draw_tokens(logits, uniforms, temperature=self.temperature, top_p=self.top_p).tolist()
        for answer, token in zip(self.active, drawn, strict=True):
            if token in self.end_tokens:
                answer.ended = True
            else:
                answer.tokens.append(token)

    def _drop_ended(self) -> int:
        """Close the gaps of ended answers with the rows from the end; returns how many ended."""
        over = [answer.ended or len(answer.tokens) == len(answer.uniforms) for answer in self.active]
        kept = over.count(False)
        gaps = [row for row in range(kept) if over[row]]
        movers = [row for row in range(kept, len(over)) if not over[row]]
        if gaps:
            self.cache.move(movers, gaps)
            for row, mover in zip(gaps, movers, strict=True):
                self.active[row] = self.active[mover]
        del self.active[kept:]
        return len(over) - kept

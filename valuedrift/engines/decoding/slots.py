"""A key-value cache of slots: every sequence has a row of its own and its token t lies at place t, whatever its neighbours are.

Unlike a left-padded cache that grows by concatenation, nothing is copied from step to step, rows come and go independently, and what a
sequence computes does not depend on how long the others of its batch are.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

SPAN_STEP = 32
"""Spans are multiples of this: a vector register of any dtype holds at most 32 numbers, so that masked places beyond a sequence's end
never change how its own are grouped in a sum, and with that the last bit of the result."""


def padded(length: int) -> int:
    """The next multiple of ``SPAN_STEP`` (at least one)."""
    return max(SPAN_STEP, -(-length // SPAN_STEP) * SPAN_STEP)


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers ships no types
    """Keys and values of one layer, [rows, heads, places, head size] each, allocated once."""

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()
        self._cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate zeroed slots (never garbage: a masked NaN would still be a NaN)."""
        self.dtype, self.device = key_states.dtype, key_states.device
        shape = (self._cache.rows, key_states.shape[1], self._cache.places)
        self.keys = torch.zeros((*shape, key_states.shape[-1]), dtype=self.dtype, device=self.device)
        self.values = torch.zeros((*shape, value_states.shape[-1]), dtype=self.dtype, device=self.device)
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens at their places and give back a view of the rows in use up to the span."""
        cache = self._cache
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows = key_states.shape[0]
        at = cache.row_index[:rows, None]
        self.keys[at, :, cache.positions] = key_states.transpose(1, 2)
        self.values[at, :, cache.positions] = value_states.transpose(1, 2)
        return self.keys[:rows, :, : cache.span], self.values[:rows, :, : cache.span]

    def fill(self, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write prefilled tokens [n, heads, length, size] to the first places of ``rows`` [n]."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.keys[rows, :, : keys.shape[2]] = keys
        self.values[rows, :, : values.shape[2]] = values

    def move(self, source: torch.Tensor, target: torch.Tensor, span: int) -> None:
        """Copy whole rows."""
        self.keys[target, :, :span] = self.keys[source, :, :span]
        self.values[target, :, :span] = self.values[source, :, :span]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset that masks are built for (ours is given, so these only keep the interface)."""
        return self._cache.span, 0

    def get_seq_length(self) -> int:
        """Places looked at; positions are always given explicitly."""
        return self._cache.span

    def get_max_length(self) -> int:
        """Places of a row."""
        return self._cache.places


class SlotCache(Cache):  # type: ignore[misc]  # transformers ships no types
    """Slots for a number of rows; set ``positions`` and ``span`` by ``at`` before every step."""

    def __init__(self, *, layers: int, rows: int, places: int, device: torch.device) -> None:
        self.rows = rows
        self.places = padded(places)
        self.span = SPAN_STEP
        self.row_index = torch.arange(rows, device=device)
        self.positions = torch.zeros((0, 1), dtype=torch.long, device=device)
        self.slots = [SlotLayer(self) for _ in range(layers)]
        super().__init__(layers=list(self.slots))

    def at(self, positions: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Place the coming tokens and build their mask.

        Args:
            positions: [rows, length] places of the tokens that come next, ascending in a row.
            dtype: Of the mask: that of the attention's queries.

        Returns:
            Additive mask [rows, 1, length, span]: 0 up to a token's own place, −inf beyond.
        """
        self.positions = positions
        self.span = padded(int(positions.max()) + 1)
        beyond = torch.arange(self.span, device=positions.device) > positions[:, None, :, None]
        return torch.zeros(beyond.shape, dtype=dtype, device=positions.device).masked_fill_(beyond, float("-inf"))

    def fill(self, rows: torch.Tensor, prompts: torch.Tensor, prefilled: Cache) -> None:
        """Copy prefilled prompts into rows; ``prompts`` [n] says which prefilled prompt goes to which of ``rows`` [n]."""
        for layer, source in zip(self.slots, prefilled.layers, strict=True):
            layer.fill(rows, source.keys[prompts], source.values[prompts])

    def move(self, source: list[int], target: list[int]) -> None:
        """Copy rows ``source`` over rows ``target``."""
        device = self.row_index.device
        of, to = torch.tensor(source, device=device), torch.tensor(target, device=device)
        for layer in self.slots:
            layer.move(of, to, self.span)

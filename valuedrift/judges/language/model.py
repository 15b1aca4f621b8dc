"""The embedded language model with trained updates on its upper layers, and a head over three stances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from valuedrift.judges.language.body import Body, Packed, pack
from valuedrift.judges.language.segments import Segment
from valuedrift.judges.network.model import merge_updates
from valuedrift.models.checking import fill, read_tensors
from valuedrift.stance import STANCES

UPDATED = 16
"""Upper layers that the trained updates lie on; those below are as the body has them."""
BATCH_TOKENS = 4096
"""Tokens of one batch, padding of its attention included."""


@dataclass(frozen=True, slots=True)
class Row:
    """An answer and what is asked about it."""

    answer: Segment
    prompts: tuple[Segment, ...]
    """At least one; each is read after the answer as if there were no other."""

    def __len__(self) -> int:
        return len(self.answer) + sum(map(len, self.prompts))


class StanceReader(nn.Module):
    """Logits over (support, neutral, oppose) from the state of the last token of each prompt.

    Args:
        body: A language model without its output layer.
    """

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.width, len(STANCES))

    def forward(self, packed: Packed) -> Tensor:
        """Logits of every prompt, row by row, shape (prompts, 3)."""
        return cast(Tensor, self.head(self.body(packed)[packed.ends]))

    def read(self, rows: Sequence[Row], device: str = "cpu", progress: Callable[[float], None] = lambda _: None) -> list[Tensor]:
        """Logits of rows in their order, worked out in batches of similar length, longest first so that memory is asked for once.

        Args:
            rows: What to read.
            device: Where the network is.
            progress: Called with the share of tokens that is read.

        Returns:
            For each row its prompts' logits, shape (prompts, 3).
        """
        order = sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row))
        total, begun, start = sum(map(len, rows)), 0, 0
        read: dict[int, Tensor] = {}
        while start < len(order):
            batch = order[start : start + max(1, BATCH_TOKENS // len(rows[order[start]]))]
            logits = self(pack([(rows[row].answer, *rows[row].prompts) for row in batch]).to(device))
            read |= zip(batch, logits.split([len(rows[row].prompts) for row in batch]), strict=True)
            start, begun = start + len(batch), begun + sum(len(rows[row]) for row in batch)
            progress(begun / total)
        return [read[row] for row in range(len(rows))]


def updated_layers(body: Body) -> dict[str, nn.Linear]:
    """The linear layers that training gives an update to, by their names in the body."""
    upper = {f"layers.{number}." for number in range(len(body.layers) - UPDATED, len(body.layers))}
    return {name: layer for name, layer in body.named_modules() if isinstance(layer, nn.Linear) and name.startswith(tuple(upper))}


def load_reader(body: Body, path: Path) -> StanceReader:
    """A body with the head and the updates that a training wrote, added to the layers' own weights.

    Args:
        body: As :func:`valuedrift.judges.language.body.load_body` gives it; float32.
        path: A file with ``head.…``, and ``<layer>.down`` (rank, in) and ``<layer>.up`` (out, rank).

    Raises:
        DataError: The file is missing, cut off, not finite, or of another network.
    """
    tensors = read_tensors(path)
    reader = StanceReader(body)
    fill(reader.head, {name.removeprefix("head."): tensors.pop(name) for name in list(tensors) if name.startswith("head.")}, path)
    merge_updates(updated_layers(body), tensors, path)
    return reader.requires_grad_(False).eval()

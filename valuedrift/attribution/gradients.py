"""Which weights were trained, and gradients of them as vectors, projected where they are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from valuedrift.fingerprint import seed_from

Gradient = Sequence[Tensor | None]
"""One tensor a trained weight, in the order of their names; None where a weight took no part."""


class Projection:
    """Makes one vector of a gradient: its coordinates one after another, or, where they are more than wanted, each with a random sign and folded.

    Of two projected gradients the product is right on average over the signs, and off by about their norms / √dimensions.

    Args:
        names: Names of the trained weights.
        sizes: Their numbers of coordinates.
        dimensions: Coordinates of a vector at most.
    """

    def __init__(self, names: Sequence[str], sizes: Sequence[int], dimensions: int) -> None:
        self._sizes = sizes
        self.folds = sum(sizes) > dimensions
        self.length = min(sum(sizes), dimensions)
        self._signs: list[Tensor] = []
        if self.folds:
            for name, size in zip(names, sizes, strict=True):
                seeded = torch.Generator().manual_seed(seed_from("signs", name))
                self._signs.append(torch.randint(0, 2, (size,), generator=seeded, dtype=torch.int8).mul_(2).sub_(1))

    def __call__(self, gradient: Gradient) -> Tensor:
        """The vector of a gradient; float32, on the CPU, of shape (length,)."""
        if not self.folds:
            parts = zip(gradient, self._sizes, strict=True)
            return torch.cat([torch.zeros(size) if part is None else part.detach().float().cpu().flatten() for part, size in parts])
        vector, done = torch.zeros(self.length), 0
        for part, signs in zip(gradient, self._signs, strict=True):
            if part is not None:
                signed = part.detach().float().cpu().flatten() * signs
                before = done % self.length
                after = -(before + len(signed)) % self.length
                vector += torch.nn.functional.pad(signed, (before, after)).view(-1, self.length).sum(0)
            done += len(signs)
        return vector


def trained_weights(model: Any) -> dict[str, Tensor]:
    """The weights of a model that are trained, by name, in the order of the names."""
    return dict(sorted((name, weight) for name, weight in model.named_parameters() if weight.requires_grad))

"""Gradients of rows and of stances, projected where the trained weights are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from valuedrift.fingerprint import seed_from
from valuedrift.training.logps import token_logps

Gradient = Sequence[Tensor | None]
"""One tensor a trained weight, in the order of their names; None where a weight took no part."""


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


def stance_gradients(model: Any, weights: Mapping[str, Tensor], asked: Asked, temperature: float) -> list[Gradient]:
    """∇v of one prompt for every stance that is looked at: the mean of (p_s(y) − b₋) ∇ log π_T(y|x) over its answers.

    Args:
        model: The checkpoint.
        weights: Its trained weights.
        asked: The prompt, its answers and their stances.
        temperature: At which they were drawn; above 0.
    """
    start = len(asked.prompt)
    whole = [torch.tensor([*asked.prompt, *answer]) for answer in asked.answers]
    ids = pad_sequence(whole, batch_first=True).to(model.device)
    places = torch.arange(ids.shape[1], device=model.device)
    lengths = torch.tensor([len(one) for one in whole], device=model.device)[:, None]
    logps, _ = token_logps(model, ids, (places < lengths).long(), (places >= start) & (places < lengths), temperature)
    pulls = torch.tensor(asked.pulls(), dtype=torch.float32, device=model.device)
    totals = pulls.T @ logps.sum(dim=1)
    params = tuple(weights.values())
    return [
        torch.autograd.grad(total, params, retain_graph=place + 1 < len(totals), allow_unused=True) for place, total in enumerate(totals)
    ]

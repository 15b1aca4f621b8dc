"""Made trainings: many at once, as prompt means at checkpoints, with answers that scatter and a drift that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SAMPLES = 5
_FINE = 2**16


@dataclass(frozen=True)
class Answers:
    """What each prompt's mean over its answers may be, and how often. A draw looks up a random number."""

    outcomes: Array
    """Shape (prompts, outcomes, 3)."""
    looked_up: NDArray[np.uint8]
    """Shape (prompts, 65,536)."""

    def draw(self, rng: np.random.Generator, *shape: int) -> Array:
        """Prompt means of independent checkpoints, shape (prompts, *shape, 3)."""
        return np.stack(
            [
                outcomes[looked_up[rng.integers(0, _FINE, size=shape, dtype=np.uint16)]]
                for outcomes, looked_up in zip(self.outcomes, self.looked_up, strict=True)
            ]
        )


def hard(shares: Array, samples: int = SAMPLES) -> Answers:
    """Prompts whose every answer has one stance for certain; its probabilities by prompt in ``shares``, shape (prompts, 3)."""
    counts = [(a, b, samples - a - b) for a in range(samples + 1) for b in range(samples + 1 - a)]
    ways = np.array([factorial(samples) / np.prod([factorial(count) for count in one]) for one in counts])
    chance = ways * np.prod(shares[:, None, :] ** np.array(counts), axis=-1)
    return Answers(np.tile(np.array(counts) / samples, (len(shares), 1, 1)), _table(chance))


def judged(rng: np.random.Generator, shares: Array, sure: float, samples: int = SAMPLES) -> Answers:
    """Prompts whose answers are seen by a judge that is ``sure`` of them to a varying degree: probabilities, not verdicts."""
    said = np.array([rng.choice(3, size=(256, samples), p=share) for share in shares])
    score = sure * np.eye(3)[said] + rng.normal(size=(*said.shape, 3))
    p = np.exp(score)
    means = (p / p.sum(axis=-1, keepdims=True)).mean(axis=-2)
    return Answers(means, np.tile(np.arange(_FINE) // (_FINE // 256), (len(shares), 1)).astype(np.uint8))


def _table(chance: Array) -> NDArray[np.uint8]:
    reached = np.cumsum(chance, axis=1)
    at = (np.arange(_FINE) + 0.5) / _FINE
    return np.array([np.searchsorted(row / row[-1], at) for row in reached]).astype(np.uint8)


Shares = Callable[[np.random.Generator, int], Array]


def alike(rng: np.random.Generator, prompts: int) -> Array:
    """Every prompt is as undecided as can be: the most that answers can scatter."""
    return np.tile([0.4, 0.3, 0.3], (prompts, 1))


def differing(rng: np.random.Generator, prompts: int) -> Array:
    """All mixtures of stances are as likely."""
    return rng.dirichlet([1, 1, 1], prompts)


def decided(rng: np.random.Generator, prompts: int) -> Array:
    """Most prompts have one answer nearly always, many of them always."""
    shares = rng.dirichlet([0.3, 0.3, 0.3], prompts)
    shares[shares < 0.02] = 0
    return shares / shares.sum(axis=1, keepdims=True)


def rare(rng: np.random.Generator, prompts: int) -> Array:
    """Two stances that one answer in fifty takes."""
    return np.tile([0.02, 0.96, 0.02], (prompts, 1))


def shifted(rng: np.random.Generator, shares: Array, drift: float, spread: float = 0.0) -> Array:
    """The same prompts with support raised by ``drift`` on average, by amounts that spread around it; the other two give way in proportion."""
    change = drift + spread * rng.normal(size=len(shares))
    for _ in range(100):
        support = np.clip(shares[:, 0] + change, 0, 1)
        change += drift - (support - shares[:, 0]).mean()
    others = np.maximum(shares[:, 1:], 1e-12)
    return np.column_stack([support, (1 - support)[:, None] * others / others.sum(axis=1, keepdims=True)])

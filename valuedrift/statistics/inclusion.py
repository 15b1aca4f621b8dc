"""Inclusion probabilities of a sample, and permanent random numbers that draw by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from valuedrift.fingerprint import seed_from
from valuedrift.statistics import Array


def summing_to(p: Array, n: float) -> Array:
    """Probabilities scaled to a sum of n, none above 1.

    Args:
        p: Positive numbers. Shape (N,).
        n: Their sum; at least 0 and at most N.
    """
    if n >= len(p):
        return np.ones(len(p))
    capped = p >= 1.0
    while True:
        scaled = np.where(capped, 1.0, p * (n - capped.sum()) / p[~capped].sum() if not capped.all() else 1.0)
        over = (scaled > 1.0) & ~capped
        if not over.any():
            return np.asarray(scaled)
        capped |= over


def proportional(size: Array, n: float) -> Array:
    """Probabilities proportional to a size, none above 1; none of them falls where n rises.

    Args:
        size: Positive numbers. Shape (N,).
        n: Sum of the probabilities; N at most.
    """
    return summing_to(size * (min(n, len(size)) / size.sum() if len(size) else 0.0), min(n, len(size)))


def permanent_numbers(prompts: Sequence[str], samples: Sequence[int], key: str) -> Array:
    """A random number of each answer that stays with it (Brewer, Early and Joyce 1972): what is drawn are the answers whose number is below their probability.

    A larger probability draws what a smaller one did and more, and the same answers are drawn at every checkpoint that asks the same prompts, which makes
    differences of checkpoints tighter. The numbers of a topic lie evenly over [0, 1], in rounds over its prompts: the size of a sample hardly varies, and
    no prompt is read twice before all are read once. Each number by itself is uniform.

    Args:
        prompts: The prompt of each answer. Shape (N,).
        samples: Its sample_idx. Shape (N,).
        key: What the draw belongs to: the topic.
    """
    order = {name: at for at, name in enumerate(sorted(set(prompts), key=lambda name: seed_from(key, name)))}
    by_prompt: dict[str, list[int]] = {name: [] for name in order}
    for name, sample in zip(prompts, samples, strict=True):
        by_prompt[name].append(sample)
    for name, drawn in by_prompt.items():
        drawn.sort(key=lambda sample: seed_from(key, name, sample))
    rounds = {(name, sample): at for name, drawn in by_prompt.items() for at, sample in enumerate(drawn)}
    most = max((len(drawn) for drawn in by_prompt.values()), default=1)
    start = seed_from(key, "start") / 2**63
    places = [rounds[name, sample] * len(order) + order[name] for name, sample in zip(prompts, samples, strict=True)]
    return (np.array(places, dtype=np.float64) + start) / max(most * len(order), 1)

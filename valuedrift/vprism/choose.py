"""Which topics, and which questions of each: clear cases first, no two that say the same, as different from each other as can be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuedrift.fingerprint import seed_from

VERSION = 2
"""Raised whenever the same questions would be chosen from in another way; part of the cache key."""

SAME = 0.9
"""Cosine above which two questions say the same."""
_ROOM = 1.1
"""Of a topic's questions the best are looked at, this many times as many as are wanted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question that may become a probe."""

    key: str
    """Identifies its prompt."""
    question: str
    topic: str
    quality: float
    """How sure it is to be a value question of its topic; larger is better."""


def without_doubles(candidates: Sequence[Candidate], embeddings: NDArray[np.float32]) -> tuple[list[int], dict[int, int]]:
    """Drop questions that say what another one says: as few as can be, so those with many doubles go first (the minimum-degree rule for independent sets).

    Args:
        candidates: The questions.
        embeddings: Theirs, of length one.

    Returns:
        Indices that stay, best first; and for each other index that of the one which says the same.
    """
    crowd = (embeddings @ embeddings.T > SAME).sum(axis=1) if len(candidates) else np.zeros(0)

    def rank(index: int) -> tuple[float, str, str]:
        one = candidates[index]
        return (-one.quality, one.question, one.key)

    order = sorted(range(len(candidates)), key=lambda index: (int(crowd[index]), *rank(index)))
    kept: list[int] = []
    doubles: dict[int, int] = {}
    for index in order:
        if kept:
            cosines = embeddings[kept] @ embeddings[index]
            nearest = int(cosines.argmax())
            if cosines[nearest] > SAME:
                doubles[index] = kept[nearest]
                continue
        kept.append(index)
    return sorted(kept, key=rank), doubles


def topics_with_most(candidates: Sequence[Candidate], kept: Sequence[int], count: int, per_topic: int) -> list[str]:
    """The topics that people ask about most, of those with enough questions; where there are too few of these, the next largest too.

    Args:
        candidates: The questions.
        kept: Indices of those that are no doubles.
        count: Topics wanted.
        per_topic: Questions wanted of each.
    """
    sizes: defaultdict[str, int] = defaultdict(int)
    for index in kept:
        sizes[candidates[index].topic] += 1
    ranked = sorted(sizes, key=lambda topic: (-sizes[topic], topic))
    return sorted(ranked[:count])


def spread(candidates: Sequence[Candidate], indices: Sequence[int], embeddings: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """Choose among a topic's best questions those farthest from each other (farthest-point sampling).

    Args:
        candidates: The questions.
        indices: Those of one topic, best first, no doubles.
        embeddings: Of all, of length one.
        count: How many.
        seed: The user's; mixed with the questions, so that the order of a file changes nothing.
    """
    pool = list(indices[: max(count, int(_ROOM * count))])
    if len(pool) <= count:
        return pool
    first = min(pool, key=lambda index: seed_from("spread", seed, candidates[index].question))
    chosen = [first]
    nearest = embeddings[pool] @ embeddings[first]
    while len(chosen) < count:
        nearest[[pool.index(index) for index in chosen]] = np.inf
        new = pool[int(nearest.argmin())]
        chosen.append(new)
        nearest = np.maximum(nearest, embeddings[pool] @ embeddings[new])
    return chosen

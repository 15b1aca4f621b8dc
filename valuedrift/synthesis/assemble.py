"""A set of pairs with a given number of aligned ones, balanced over topics, stances and sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuedrift.synthesis.openings import Opening, Pair

ENOUGH = 0.005
"""A gap that is this near the asked one is not tuned further."""


@dataclass(slots=True)
class Assembly:
    """Pairs and what each adds to the value gap."""

    pairs: list[Pair]
    parts: NDArray[np.float64]
    """Their parts of the mean difference over prompts (prompts count alike, whatever their number of pairs), shape (pairs, 3)."""

    @property
    def gap(self) -> float:
        """The value gap: total variation distance of chosen and rejected, in [0, 1]."""
        return float(0.5 * np.abs(self.parts.sum(axis=0)).sum())

    def turn(self, place: int) -> None:
        """Turn a pair round."""
        self.pairs[place] = self.pairs[place].turned()
        self.parts[place] *= -1


def assemble(openings: Sequence[Opening], total: int, aligned: int, *, strongest: bool = False) -> Assembly | None:
    """A set of pairs.

    Args:
        openings: What the answers can give.
        total: Pairs in all.
        aligned: Pairs whose two answers differ in stance; the others are of one stance.
        strongest: Take the aligned pairs that add most first, not those that the seed puts first.

    Returns:
        The pairs; None where the openings can't give so many.
    """
    topics = sorted({opening.topic for opening in openings})
    by_topic = [[opening for opening in openings if opening.topic == topic] for topic in topics]
    shares = _shares(by_topic, total, aligned)
    if shares is None:
        return None
    chosen: list[tuple[Opening, bool]] = []
    for of_topic, (differing, same) in zip(by_topic, shares, strict=True):
        chosen += _choose(of_topic, differing, same, strongest)
    return _assembled(chosen)


def _shares(by_topic: Sequence[Sequence[Opening]], total: int, aligned: int) -> list[tuple[int, int]] | None:
    """For each topic its number of aligned pairs and of pairs of one stance, both as equal as can be."""
    can_align = [sum(bool(opening.aligned) for opening in of_topic) for of_topic in by_topic]
    can_same = [sum(bool(opening.same) for opening in of_topic) for of_topic in by_topic]
    nothing = [0] * len(by_topic)
    rate = aligned / total
    # what a topic can give while its mixture is that of the whole; the whole topic where that is not enough
    mixed = [
        min(len(of_topic), int(a / rate) if rate else len(of_topic), int(s / (1 - rate)) if rate < 1 else len(of_topic))
        for of_topic, a, s in zip(by_topic, can_align, can_same, strict=True)
    ]
    for most in (mixed, [len(of_topic) for of_topic in by_topic]):
        sizes = _shared_out(total, nothing, most)
        if sizes is None:
            continue
        low = [max(0, size - s) for size, s in zip(sizes, can_same, strict=True)]
        high = [min(size, a) for size, a in zip(sizes, can_align, strict=True)]
        if any(least > greatest for least, greatest in zip(low, high, strict=True)):
            continue
        differing = _shared_out(aligned, low, high)
        if differing is not None:
            return [(one, size - one) for one, size in zip(differing, sizes, strict=True)]
    return None


def _shared_out(total: int, low: Sequence[int], high: Sequence[int]) -> list[int] | None:
    """Whole shares that sum to a total, as equal as their bounds allow.

    Args:
        total: What is shared out.
        low: Smallest share of each.
        high: Largest share of each, at least ``low``.

    Returns:
        The shares (where they cannot be equal, earlier ones are larger); None where the bounds allow no such total.
    """
    if not sum(low) <= total <= sum(high):
        return None
    shares = list(low)
    for _ in range(total - sum(low)):
        least = min((share, place) for place, share in enumerate(shares) if share < high[place])
        shares[least[1]] += 1
    return shares


def _choose(openings: Sequence[Opening], aligned: int, same: int, strongest: bool) -> list[tuple[Opening, bool]]:
    """Slots of one topic with whether each takes an aligned pair; those that can take either are left to whom they are needed by."""
    only_same = sum(not opening.aligned for opening in openings)
    spare = sum(bool(opening.aligned and opening.same) for opening in openings) - max(0, same - only_same)
    taken: list[Opening] = []
    for opening in sorted((opening for opening in openings if opening.aligned), key=lambda opening: _rank(opening, strongest)):
        if len(taken) == aligned:
            break
        if opening.same:
            if not spare:
                continue
            spare -= 1
        taken.append(opening)
    used = {id(opening) for opening in taken}
    left = sorted(
        (opening for opening in openings if opening.same and id(opening) not in used),
        key=lambda opening: (opening.layer, bool(opening.aligned), opening.order),
    )
    return [(opening, True) for opening in taken] + [(opening, False) for opening in left[:same]]


def _rank(opening: Opening, strongest: bool) -> tuple[float, ...]:
    if strongest:
        return (-max(float(np.abs(pair.difference).sum()) for pair in opening.aligned), opening.order)
    return (opening.layer, bool(opening.same), opening.order)


def _assembled(chosen: list[tuple[Opening, bool]]) -> Assembly:
    """One pair for each opening: of the kinds that it offers the one that was taken less, of one stance turned so that both sides stay alike."""
    chosen.sort(key=lambda one: (one[0].layer, one[0].order))
    sizes = Counter(opening.prompt_id for opening, _ in chosen)
    kinds: Counter[tuple[str, str]] = Counter()
    pairs: list[Pair] = []
    parts = np.zeros((len(chosen), 3))
    tilt = np.zeros(3)
    # openings that offer one kind go first, so that those that offer two can make up for them
    for place in sorted(range(len(chosen)), key=lambda place: len(_offered(*chosen[place]))):
        opening, differing = chosen[place]
        pair = min(_offered(opening, differing), key=lambda pair: kinds[pair.chosen.stance, pair.rejected.stance])
        kinds[pair.chosen.stance, pair.rejected.stance] += 1
        part = pair.difference / (sizes[opening.prompt_id] * len(sizes))
        if not differing:
            if np.abs(tilt - part).sum() < np.abs(tilt + part).sum():
                pair, part = pair.turned(), -part
            tilt += part
        pairs.append(pair)
        parts[len(pairs) - 1] = part
    return Assembly(pairs, parts)


def _offered(opening: Opening, differing: bool) -> tuple[Pair, ...]:
    return opening.aligned if differing else opening.same


def tune(assembly: Assembly, gap: float) -> None:
    """Turn pairs of one stance round, one after the other, as long as that brings the value gap nearer to the asked one."""
    free = np.array([place for place, pair in enumerate(assembly.pairs) if not pair.aligned], dtype=np.int64)
    for _ in range(len(free)):
        off = abs(assembly.gap - gap)
        if off <= ENOUGH:
            return
        after = 0.5 * np.abs(assembly.parts.sum(axis=0) - 2 * assembly.parts[free]).sum(axis=1)
        best = int(np.abs(after - gap).argmin())
        if abs(float(after[best]) - gap) >= off:
            return
        assembly.turn(int(free[best]))

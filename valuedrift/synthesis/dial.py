"""The dial: as many aligned pairs among pairs of one stance as make the audited value gap the one that was asked for.

An aligned pair adds its difference of stance distributions to the gap, a pair of one stance next to nothing; the gap is the mean over prompts. So the share of
aligned pairs sets it, in steps of one pair, and turning pairs of one stance round sets the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.synthesis.assemble import ENOUGH, Assembly, assemble, tune
from valuedrift.synthesis.candidates import Answer
from valuedrift.synthesis.config import Dial
from valuedrift.synthesis.openings import Opening, Pair, openings_of

TOLERANCE = 0.05
"""An audited gap farther than this from the asked one is not given out."""
_STEPS = 12
"""Numbers of aligned pairs that are tried beside the one that a straight line gives."""
_SHRINK = 0.97
_FEWEST = 20
"""Without a number of pairs, down to this many are tried: fewer pairs, those that differ most, can make a larger gap."""


def dial(answers: Sequence[Answer], asked: Dial) -> list[Pair]:
    """Choose pairs.

    Args:
        answers: Accepted ones.
        asked: Setting, gap, number of pairs, seed.

    Returns:
        The pairs in an order without meaning, the same for the same answers on every machine.

    Raises:
        UserError: The answers can't give such a set; the largest gap that they can give, or the largest number of pairs, is named.
    """
    openings = openings_of(answers, asked.setting, asked.seed)
    if not any(opening.aligned for opening in openings):
        raise UserError(
            f"no prompt has accepted answers of both stances that {asked.setting.value} sets against each other",
            where="--setting",
            fix="a better writer, more --candidates, or a lower --accept",
        )
    assembly = _of_size(openings, asked, asked.pairs) if asked.pairs is not None else _as_many_as_go(openings, asked)
    return sorted(assembly.pairs, key=lambda pair: seed_from(asked.seed, pair.chosen.prompt, pair.chosen.text, pair.rejected.text))


def _of_size(openings: Sequence[Opening], asked: Dial, total: int) -> Assembly:
    """Exactly so many pairs."""
    if total > len(openings):
        raise UserError(
            f"the accepted answers give at most {len(openings):,} pairs", where=f"--pairs {total}", fix="fewer pairs, or more --candidates"
        )
    assembly = _nearest(openings, asked.gap, total)
    if assembly is not None and abs(assembly.gap - asked.gap) <= TOLERANCE:
        return assembly
    largest, smallest = _largest(openings, total), _smallest(openings, total)
    if largest is not None and asked.gap > largest.gap:
        raise _too_large(asked.gap, largest)
    if smallest is not None and asked.gap < smallest.gap:
        raise UserError(
            f"too few prompts have two answers of one stance: the smallest gap of {total:,} pairs is {smallest.gap:.2f}",
            where=f"--gap {asked.gap:g}",
            fix="fewer --pairs, or more --candidates",
        )
    nearest = "" if assembly is None else f"; the nearest is {assembly.gap:.2f}"
    raise UserError(
        f"{total:,} pairs can't give this gap within {TOLERANCE:g}{nearest}", where=f"--gap {asked.gap:g}", fix="another number of --pairs"
    )


def _as_many_as_go(openings: Sequence[Opening], asked: Dial) -> Assembly:
    """As many pairs as the gap allows, one a prompt."""
    first = [opening for opening in openings if opening.layer == 0]
    whole = _largest(first, sum(bool(opening.aligned) for opening in first))
    assert whole is not None  # the openings that can take an aligned pair, each with one
    for total in _sizes(first, asked.gap, whole.gap):
        largest = _largest(first, total)
        if largest is None or largest.gap < asked.gap - TOLERANCE:
            continue
        assembly = _nearest(first, asked.gap, total)
        if assembly is not None and abs(assembly.gap - asked.gap) <= TOLERANCE:
            return assembly
    fewest = _largest(first, min(_FEWEST, len(whole.pairs))) or whole
    if asked.gap > max(whole.gap, fewest.gap):
        raise _too_large(asked.gap, max(whole, fewest, key=lambda one: one.gap))
    can_same = sum(bool(opening.same) for opening in first)
    raise UserError(
        f"the accepted answers can't give this gap within {TOLERANCE:g}: of {len(first):,} prompts {len(whole.pairs):,} have an aligned pair "
        f"(together a gap of {whole.gap:.2f}) and {can_same:,} two answers of one stance",
        where=f"--gap {asked.gap:g}",
        fix="more prompts or more --candidates",
    )


def _sizes(openings: Sequence[Opening], gap: float, whole: float) -> Iterator[int]:
    """Numbers of pairs to try, the largest first: what the two kinds of pairs allow at the share of aligned ones that the gap takes."""
    rate = min(1.0, gap / whole) if whole else 1.0
    aligned, same = sum(bool(opening.aligned) for opening in openings), sum(bool(opening.same) for opening in openings)
    bounds = [float(len(openings)), *([aligned / rate] if rate else []), *([same / (1 - rate)] if rate < 1 else [])]
    total = max(1, int(min(bounds)))
    least = min(_FEWEST, total)
    while total >= least:
        yield total
        total = min(total - 1, int(total * _SHRINK))


def _nearest(openings: Sequence[Opening], gap: float, total: int) -> Assembly | None:
    """Of sets of one size the one whose gap is nearest."""
    most = _most_aligned(openings, total)
    full = assemble(openings, total, most)
    if full is None:
        return None
    strongest = gap > full.gap
    if strongest:
        full = assemble(openings, total, most, strongest=True) or full
    best = full
    middle = min(most, round(most * gap / full.gap)) if full.gap else most
    for aligned in sorted(range(max(0, middle - _STEPS), min(most, middle + _STEPS) + 1), key=lambda number: abs(number - middle)):
        tried = assemble(openings, total, aligned, strongest=strongest)
        if tried is None:
            continue
        tune(tried, gap)
        if abs(tried.gap - gap) < abs(best.gap - gap):
            best = tried
        if abs(best.gap - gap) <= ENOUGH:
            break
    return best


def _most_aligned(openings: Sequence[Opening], total: int) -> int:
    return min(total, sum(bool(opening.aligned) for opening in openings))


def _largest(openings: Sequence[Opening], total: int) -> Assembly | None:
    return assemble(openings, total, _most_aligned(openings, total), strongest=True)


def _smallest(openings: Sequence[Opening], total: int) -> Assembly | None:
    assembly = assemble(openings, total, max(0, total - sum(bool(opening.same) for opening in openings)))
    if assembly is not None:
        tune(assembly, 0.0)
    return assembly


def _too_large(gap: float, largest: Assembly) -> UserError:
    return UserError(
        f"the largest gap that {len(largest.pairs):,} pairs of the accepted answers can give is {largest.gap:.2f}",
        where=f"--gap {gap:g}",
        fix="a smaller gap, fewer --pairs, a better writer, or a higher --accept",
    )

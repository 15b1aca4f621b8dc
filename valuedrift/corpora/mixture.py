"""Several sources in one dataset: how many rows of each, and which."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from valuedrift.corpora.normal import Row, canonical
from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from

_SLACK = 1e-9
"""So that a share of rounding is no row."""


def counts_of_parts(weights: Sequence[float], available: Sequence[int], limit: int | None, where: str) -> list[int]:
    """Rows of each part: in the proportions of the weights, by largest remainders, and each row at most once.

    Args:
        weights: Shares that sum to 1.
        available: Rows that each part has.
        limit: Rows of the mixture; None: as many as the part that ends first allows.
        where: The mixture, for messages.

    Returns:
        One count a part; they sum to the limit, if there is one.

    Raises:
        UserError: A part has fewer rows than the limit asks of it.
    """
    most = math.floor(min(rows / weight for rows, weight in zip(available, weights, strict=True)) + _SLACK)
    while most and any(count > rows for count, rows in zip(_shared_out(weights, most), available, strict=True)):
        most -= 1
    if limit is None:
        return _shared_out(weights, most)
    counts = _shared_out(weights, limit)
    for place, (count, rows) in enumerate(zip(counts, available, strict=True), start=1):
        if count > rows:
            what = f"limit {limit:,} asks for {count:,} rows of part {place} of the mixture, which has {rows:,}"
            raise UserError(what, where=where, fix=f"a limit of at most {most:,}, or a smaller weight")
    return counts


def chosen(rows: list[Row], count: int, seed: int) -> list[Row]:
    """So many of the rows, in their order: those with the smallest hashes of seed and content, the same on every machine."""
    if count >= len(rows):
        return rows
    hashes = ((seed_from("mixture", seed, canonical(row)), index) for index, row in enumerate(rows))
    return [rows[index] for index in sorted(index for _, index in heapq.nsmallest(count, hashes))]


def _shared_out(weights: Sequence[float], total: int) -> list[int]:
    exact = [weight * total for weight in weights]
    counts = [math.floor(share + _SLACK) for share in exact]
    order = sorted(range(len(weights)), key=lambda part: (counts[part] - exact[part], part))
    for part in order[: total - sum(counts)]:
        counts[part] += 1
    return counts

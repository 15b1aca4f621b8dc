"""Sharing a number out evenly."""

from __future__ import annotations

from collections.abc import Sequence


def spread(total: int, low: Sequence[int], high: Sequence[int]) -> list[int] | None:
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

"""How scores of rows are told: small as they are, a sum with its error, and as a share of the drift only where it is surely one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from valuedrift.words import known, percent

_SURE = 1.96
"""Standard errors that a sum must be away from 0."""


def size(value: float) -> str:
    """A number without its sign, two digits of it however small it is: ``0.013``, ``2.1e-06``."""
    return f"{abs(value):#.2g}".rstrip(".") if value else "0"


def score(value: float) -> str:
    """A score with its sign: ``+0.013``, ``−2.1e-06``."""
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{size(value)}"


def first_order(total: Mapping[str, Any]) -> str:
    """What all rows together did to a stance: ``+0.11 ± 0.021, 52% of the drift``.

    By ``tracin`` it is no share: its steps are not those of the training.

    Args:
        total: Row of the table ``attribution_totals``.
    """
    found, error = total["first_order"], total["first_order_se"]
    told = f"{score(found)} ± {size(error)}" if known(error) else score(found)
    if total["explained"] is None or total["method"] == "tracin":
        return told
    sure = known(error) and abs(found) > _SURE * error
    return f"{told}, {percent(total['explained'])} of the drift" if sure else f"{told}, too uncertain to be a share of the drift"

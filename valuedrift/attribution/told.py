"""How the sum of all rows is told: with its error, and as a share of the drift only where it is surely one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from valuedrift.words import known, percent, plain, signed

_SURE = 1.96
"""Standard errors that a sum must be away from 0."""


def first_order(total: Mapping[str, Any]) -> str:
    """What all rows together did to a stance: ``+0.105 ± 0.021, 53% of the drift``.

    Args:
        total: Row of the table ``attribution_totals``.
    """
    found, error = total["first_order"], total["first_order_se"]
    told = f"{signed(found, 3)} ± {plain(error, 3)}" if known(error) else signed(found, 3)
    if total["explained"] is None:
        return told
    sure = known(error) and abs(found) > _SURE * error
    return f"{told}, {percent(total['explained'])} of the drift" if sure else f"{told}, too uncertain to be a share of the drift"

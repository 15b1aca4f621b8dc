"""An audit as one JSON object."""

from __future__ import annotations

from typing import Any

import polars as pl

from valuedrift.audit.options import TOPIC, VALUE_GAP, VALUE_LADEN
from valuedrift.audit.words import Numbers, rows_of
from valuedrift.stance import STANCES

_SIDES = ("chosen", "rejected", "difference")


def summary(measures: pl.DataFrame, dataset: str) -> dict[str, Any]:
    """The figures of one dataset.

    Args:
        measures: Table audits.
        dataset: Its name in there.

    Returns:
        For all examples: kind, n, and for pairs value_gap with _low and _high, chosen and rejected ({support, neutral, oppose}), for an SFT corpus
        distribution; for each stance the difference with its interval; ``style`` with the other measures; the same for ``value_laden`` prompts and for each
        of ``topics``. Figures that could not be measured are null.
    """
    everything = rows_of(measures, dataset)
    part = measures.filter((pl.col("dataset") == dataset) & (pl.col("scope") == TOPIC))
    topics = {
        topic: _figures({row["measure"]: row for row in part.filter(pl.col("topic") == topic).iter_rows(named=True)})
        for topic in part.get_column("topic").unique(maintain_order=True)
    }
    laden = rows_of(measures, dataset, VALUE_LADEN)
    return {
        "kind": everything["support"]["kind"],
        **_figures(everything),
        "style": {name: _spread(row) for name, row in everything.items() if name not in (*STANCES, VALUE_GAP)},
        VALUE_LADEN.replace("-", "_"): _figures(laden) if laden else None,
        "topics": topics,
    }


def _figures(found: dict[str, Numbers]) -> dict[str, Any]:
    first = found["support"]
    figures: dict[str, Any] = {"n": first["n_examples"], "n_prompts": first["n_prompts"]}
    if VALUE_GAP not in found:
        return {
            **figures,
            "distribution": _distribution(found, "chosen"),
            "intervals": {s.value: _interval(found[s], "chosen") for s in STANCES},
        }
    gap = found[VALUE_GAP]
    return {
        **figures,
        "value_gap": gap["difference"],
        "value_gap_low": gap["difference_low"],
        "value_gap_high": gap["difference_high"],
        "chosen": _distribution(found, "chosen"),
        "rejected": _distribution(found, "rejected"),
        "difference": {stance.value: _spread(found[stance])["difference"] for stance in STANCES},
        "intervals": {stance.value: _interval(found[stance], "difference") for stance in STANCES},
    }


def _distribution(found: dict[str, Numbers], side: str) -> dict[str, float | None]:
    return {stance.value: found[stance][side] for stance in STANCES}


def _interval(row: Numbers, side: str) -> list[float | None]:
    return [row[f"{side}_low"], row[f"{side}_high"]]


def _spread(row: Numbers) -> dict[str, Any]:
    return {side: row[side] for side in _SIDES} | {"interval": _interval(row, "difference")}

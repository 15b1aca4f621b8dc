"""From judged examples to the table ``audits``: how chosen and rejected answers differ, measure by measure, on the whole and by topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from valuedrift.audit.gap import NOTHING, Array, Estimate, estimates, value_gap
from valuedrift.audit.judged import probabilities
from valuedrift.audit.options import ALL, REFUSED, TOPIC, VALUE_GAP, VALUE_LADEN, AuditOptions
from valuedrift.audit.style import STYLE
from valuedrift.stance import STANCES, JudgeStatus

FEWEST = 2
"""Prompts below which a topic gets no row: there is no spread to make an interval of."""


def measure(frame: pl.DataFrame, options: AuditOptions) -> pl.DataFrame:
    """The audit of judged examples.

    Args:
        frame: As :func:`valuedrift.audit.judged.judged_frame` makes it.
        options: Level of the intervals; what counts as value-laden.

    Returns:
        scope, topic, measure, n_examples, n_prompts; chosen, rejected and difference (chosen minus rejected), each with ``_low`` and ``_high``; for an SFT
        corpus only ``chosen`` (its answers); for ``value_gap`` only the difference. Examples that were not judged count in no stance.
    """
    laden = frame.filter(pl.col("value_laden") >= options.value_laden)
    parts = [(ALL, ALL, frame), (VALUE_LADEN, ALL, laden)]
    parts += [
        (TOPIC, str(name), part) for (name,), part in sorted(laden.drop_nulls("topic").partition_by("topic", as_dict=True).items(), key=str)
    ]
    rows = [
        {
            "scope": scope,
            "topic": topic,
            "n_examples": part.height,
            "n_prompts": part.get_column("prompt").n_unique(),
            "measure": name,
            **numbers,
        }
        for scope, topic, part in parts
        if scope != TOPIC or part.get_column("prompt").n_unique() >= FEWEST
        for name, numbers in _measures(part, options.confidence)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _measures(part: pl.DataFrame, confidence: float) -> Iterator[tuple[str, dict[str, float | None]]]:
    clusters = part.get_column("prompt").rank("dense").cast(pl.Int64).to_numpy() - 1
    paired = part.get_column("rejected").null_count() < part.height
    chosen, rejected = probabilities(part, "chosen"), probabilities(part, "rejected")

    def sides(left: Array, right: Array, bounds: tuple[float, float]) -> list[dict[str, float | None]]:
        spread = bounds[1] - bounds[0]
        own = estimates(left, clusters, confidence, bounds=bounds)
        other = estimates(right, clusters, confidence, bounds=bounds) if paired else [NOTHING] * len(own)
        change = estimates(left - right, clusters, confidence, bounds=(-spread, spread)) if paired else [NOTHING] * len(own)
        return [
            {**_named("chosen", a), **_named("rejected", b), **_named("difference", c)} for a, b, c in zip(own, other, change, strict=True)
        ]

    yield from zip((stance.value for stance in STANCES), sides(chosen, rejected, (0.0, 1.0)), strict=True)
    if paired:
        gap = value_gap(chosen - rejected, clusters, confidence)
        yield VALUE_GAP, {**_named("chosen", NOTHING), **_named("rejected", NOTHING), **_named("difference", gap)}
    [refusals] = sides(_refused(part, "chosen"), _refused(part, "rejected"), (0.0, 1.0))
    yield REFUSED, refusals
    for name in STYLE:
        bounds = (0.0, 1.0) if name == "lists" else (0.0, float("inf"))
        [numbers] = sides(_style(part, "chosen", name), _style(part, "rejected", name), bounds)
        yield name, numbers


def _named(name: str, estimate: Estimate) -> dict[str, float | None]:
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: None if np.isnan(value) else value for key, value in values.items()}


def _refused(part: pl.DataFrame, side: str) -> Array:
    status = part.get_column(f"status_{side}")
    return np.asarray((status == JudgeStatus.REFUSED.value).cast(pl.Float64).to_numpy(), dtype=np.float64)[:, None]


def _style(part: pl.DataFrame, side: str, name: str) -> Array:
    values: list[Any] = [float("nan") if text is None else STYLE[name](text) for text in part.get_column(side)]
    return np.array(values, dtype=np.float64)[:, None]

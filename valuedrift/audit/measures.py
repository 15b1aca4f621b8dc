"""From judged examples to the table audits: how chosen and rejected answers differ, measure by measure, on the whole and by topic.

Intervals are over prompts: examples with one prompt are one cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.audit.examples import STYLE, probabilities
from valuedrift.audit.options import ALL, REFUSED, TOPIC, VALUE_GAP, VALUE_LADEN, AuditOptions
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY, Estimate, mean_interval
from valuedrift.statistics.rounding import rounding_of

FEWEST = 2
"""Prompts below which there is no spread to make an interval of: a figure has none, and a topic no row."""
NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


def cluster_means(values: Array, clusters: NDArray[np.int64]) -> Array:
    """Means of the rows of each cluster, NaN left out.

    Args:
        values: Shape (rows, columns); NaN where there is none.
        clusters: Cluster of each row, numbered from 0.

    Returns:
        Shape (clusters, columns); NaN where a cluster has no value.
    """
    count = int(clusters.max(initial=-1)) + 1
    present = ~np.isnan(values)
    sums, sizes = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, clusters, np.where(present, values, 0.0))
    np.add.at(sizes, clusters, present)
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)


def estimates(
    values: Array, clusters: NDArray[np.int64], confidence: float, *, bounds: tuple[float, float], rounding: float = TINY
) -> list[Estimate]:
    """The mean of each column over clusters, with a t interval; without one where there is but one cluster.

    Args:
        values: Shape (rows, columns).
        clusters: Cluster of each row.
        confidence: Level of the intervals.
        bounds: Smallest and largest value that a row can have.
        rounding: How finely values were written; see `valuedrift.statistics.rounding`.
    """
    means = cluster_means(values, clusters)
    if not len(means):
        return [NOTHING] * values.shape[1]
    found = mean_interval(means, confidence, bounds=bounds, rounding=rounding)
    return [
        Estimate(float(value), float(low), float(high)) if count >= FEWEST else Estimate(float(value), np.nan, np.nan)
        for value, low, high, count in zip(found.estimate, found.low, found.high, found.count, strict=True)
    ]


def value_gap(difference: Array, clusters: NDArray[np.int64], confidence: float, *, rounding: float = TINY) -> Estimate:
    """The value gap of a preference set: total variation of the stance distributions of its chosen and its rejected answers, in [0, 1].

    The three differences sum to zero, so the distance equals the largest absolute one: ½ Σ|d| = max|d|. That gives it an interval without a bootstrap,
    whose draws would all be too large where the true gap is zero: the three differences get simultaneous intervals (Bonferroni), and the gap lies between
    the largest distance of one of them from zero and their farthest end.

    Args:
        difference: Stance probabilities of the chosen minus those of the rejected answer, shape (examples, 3).
        clusters: Prompt of each example.
        confidence: Level of the interval.
        rounding: As for `estimates`.
    """
    means = cluster_means(difference, clusters)
    if not len(means) or np.isnan(means).all():
        return NOTHING
    found = mean_interval(means, 1 - (1 - confidence) / len(STANCES), bounds=(-1.0, 1.0), rounding=rounding)
    if found.count.min() < FEWEST:
        return Estimate(float(0.5 * np.abs(found.estimate).sum()), np.nan, np.nan)
    return gap_between(found.estimate, found.low, found.high)


def gap_between(difference: Array, low: Array, high: Array) -> Estimate:
    """The value gap from the three differences of stances and their simultaneous intervals; see `value_gap`.

    Args:
        difference: Chosen minus rejected, shape (3,); they sum to 0.
        low: Lower ends.
        high: Upper ends.
    """
    clear = np.maximum(0.0, np.maximum(low, -high))
    farthest = np.maximum(np.abs(low), np.abs(high))
    return Estimate(float(0.5 * np.abs(difference).sum()), float(clear.max()), float(min(1.0, farthest.max())))


def measure(frame: pl.DataFrame, options: AuditOptions) -> pl.DataFrame:
    """The audit of judged examples.

    Args:
        frame: As :func:`valuedrift.audit.examples.judged_frame` makes it.
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

    rounding = rounding_of(part.lazy(), [f"{column}_{side}" for column in STANCE_COLUMNS for side in ("chosen", "rejected")])

    def sides(left: Array, right: Array, bounds: tuple[float, float]) -> list[dict[str, float | None]]:
        spread = bounds[1] - bounds[0]
        own = estimates(left, clusters, confidence, bounds=bounds, rounding=rounding)
        other = estimates(right, clusters, confidence, bounds=bounds, rounding=rounding) if paired else [NOTHING] * len(own)
        change = [NOTHING] * len(own)
        if paired:
            change = estimates(left - right, clusters, confidence, bounds=(-spread, spread), rounding=rounding)
        return [
            {**_named("chosen", a), **_named("rejected", b), **_named("difference", c)} for a, b, c in zip(own, other, change, strict=True)
        ]

    yield from zip((stance.value for stance in STANCES), sides(chosen, rejected, (0.0, 1.0)), strict=True)
    if paired:
        gap = value_gap(chosen - rejected, clusters, confidence, rounding=rounding)
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

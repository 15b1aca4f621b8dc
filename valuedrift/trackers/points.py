"""What is told of a run, from its tables: stance and drift of every topic, and what its training logged; and the telling, once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from valuedrift.fingerprint import fingerprint
from valuedrift.trackers.base import Points, TrackedRun, TrackerBase

_LOGGED = ("loss", "reward", "reward_margin", "kl")


def points_of(trajectory: pl.DataFrame, drift: pl.DataFrame, looks: pl.DataFrame, training: pl.DataFrame) -> dict[str, dict[int, float]]:
    """The numbers of one run under one judge, by name and step.

    Args:
        trajectory: Its rows of the table trajectory: ``stance/TOPIC/STANCE``.
        drift: Those of the table drift over its whole length: ``drift/TOPIC/STANCE`` at its last step, with ``…/low`` and ``…/high``.
        looks: Those of the table looks, where there are any: the same at every checkpoint, with the many-look interval.
        training: Those of the table training, where it was trained here: ``training/loss`` and others.
    """
    changes = looks.filter(mean_of=1).select("step", "topic", "stance", "change", low="change_low", high="change_high")
    if not changes.height:
        changes = drift.select(
            pl.col("to_step").alias("step"), "topic", "stance", change="magnitude", low="magnitude_low", high="magnitude_high"
        )
    points: dict[str, dict[int, float]] = {}
    names = _names({*trajectory["topic"], *changes["topic"]})

    def put(name: str, step: int, value: float | None) -> None:
        if value is not None:
            points.setdefault(name, {})[step] = float(value)

    for row in trajectory.sort("topic", "stance", "step").iter_rows(named=True):
        put(f"stance/{names[row['topic']]}/{row['stance']}", row["step"], row["mean"])
    for row in changes.sort("topic", "stance", "step").iter_rows(named=True):
        name = f"drift/{names[row['topic']]}/{row['stance']}"
        put(name, row["step"], row["change"])
        put(f"{name}/low", row["step"], row["low"])
        put(f"{name}/high", row["step"], row["high"])
    for row in training.sort("step").iter_rows(named=True):
        for column in _LOGGED:
            put(f"training/{column}", row["step"], row[column])
    return points


def _names(topics: Collection[str]) -> dict[str, str]:
    """What each topic is called where a name may hold few letters; those that would be called alike, or have none, get a fingerprint."""
    plain = {topic: re.sub(r"[^\w .-]", "-", topic, flags=re.ASCII) for topic in topics}
    shared = Counter(plain.values())
    alone = {topic for topic, name in plain.items() if shared[name] == 1 and re.search(r"\w", name, flags=re.ASCII)}
    return {topic: name if topic in alone else f"{name} {fingerprint(topic)[:6]}" for topic, name in plain.items()}


def tell(tracker: TrackerBase, run: TrackedRun, points: Points, remembered: Mapping[str, Any]) -> dict[str, Any]:
    """Give a tracker what it does not have of a run yet; what changed has it written whole again, so that no point stands twice.

    Args:
        tracker: The tracker.
        run: The run.
        points: All that is to be there.
        remembered: What the last call returned, empty at the first; with ``whole`` false where that call did not end.

    Returns:
        What to remember.

    Raises:
        UserError: It cannot be reached or refuses.
    """
    written = {name: {int(step): value for step, value in values.items()} for name, values in remembered.get("points", {}).items()}
    whole = bool(remembered.get("whole"))
    name = remembered.get("name", "")
    kept = all(points.get(one, {}).get(step) == value for one, values in written.items() for step, value in values.items())
    new = {one: {step: value for step, value in values.items() if step not in written.get(one, {})} for one, values in points.items()}
    if whole and kept and tracker.appends:
        if any(new.values()):
            tracker.append(run, {one: values for one, values in new.items() if values}, name)
    elif not (whole and kept) or any(new.values()):
        name = tracker.write_whole(run, points)
    return {"name": name, "points": points, "whole": True}

"""The panels of the page: what is drawn of each topic and run, with the words that stand for it where nothing is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from markupsafe import Markup

from valuedrift.report.figures.curves import MEASURES, held_out_losses, training_panel, yes_saying, yes_saying_panel
from valuedrift.report.figures.curves import measured as measures_of
from valuedrift.report.figures.magnitudes import forest_panel
from valuedrift.report.figures.trajectory import trajectory_panel
from valuedrift.report.figures.write import inline_svg
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.rows import DriftRow
from valuedrift.words import plain, slug


def _drawn(figure: Any, name: str, description: str) -> Markup:
    return Markup(inline_svg(figure, name, description))


def largest_drift(inputs: ReportInputs, rows: list[DriftRow]) -> dict[str, Any] | None:
    """The run and topic that the headline tells of, drawn; None where there is no drift."""
    if not rows:
        return None
    top = next((row for row in rows if row.kind == "moved"), rows[0])
    panel = trajectory_panel(inputs, top.run.run_id, top.topic, size=(480, 268))
    mine = [row for row in rows if row.topic == top.topic]
    return {"row": top, "figure": _drawn(panel, "largest", _described(top.run.title, top.topic, mine))}


def topic_panels(inputs: ReportInputs, rows: list[DriftRow]) -> list[dict[str, Any]]:
    """The topics, each with a panel a run, a forest of its magnitudes, and what is counted of it."""
    found = []
    covered = inputs.main_trajectory.select("run_id", "topic", "n_prompts").group_by("run_id", "topic").agg(pl.col("n_prompts").max())
    counts = {(row["run_id"], row["topic"]): row["n_prompts"] for row in covered.iter_rows(named=True)}
    for index, topic in enumerate(inputs.topics):
        largest = [row for row in rows if row.topic == topic]
        panels = {
            run.run_id: _drawn(trajectory_panel(inputs, run.run_id, topic), f"t{index}-{place}", _described(run.title, topic, largest))
            for place, run in enumerate(inputs.lineage.runs)
            if (run.run_id, topic) in counts
        }
        found.append(
            {
                "name": topic,
                "anchor": f"topic-{index}-{slug(topic)}",
                "panels": panels,
                "questions": max((count for (_, of), count in counts.items() if of == topic), default=0),
                "proposition": inputs.propositions.get(topic, ""),
                "moved": sum(row.kind == "moved" for row in largest),
                "tests": len(largest),
                "largest": largest[0] if largest else None,
                "forest": _drawn(
                    forest_panel(inputs, topic),
                    f"f{index}",
                    f"Drift magnitudes on {topic} with intervals; the same numbers stand in the table.",
                )
                if largest
                else None,
            }
        )
    return found


def _described(title: str, topic: str, rows: list[DriftRow]) -> str:
    mine = [f"{row.stance} {row.path}" for row in rows if row.run.title == title]
    return f"{title} on {topic}: mean stance probability over training steps. {', '.join(mine)}"


def _measure(inputs: ReportInputs, run_id: str, name: str) -> str:
    """What a panel shows; of the loss also what the rings are."""
    held = held_out_losses(inputs, run_id).get_column("held_out_loss") if name == "loss" else pl.Series(dtype=pl.Float64)
    return f"{MEASURES[name]} (rings: held-out rows, {plain(held[0])} → {plain(held[-1])})" if len(held) else MEASURES[name]


def training_panels(inputs: ReportInputs) -> list[dict[str, Any]]:
    """The runs, each with a panel a quantity that its training logged."""
    found = []
    for place, run in enumerate(inputs.lineage.runs):
        names = measures_of(inputs, run.run_id)
        panels = [
            (
                _measure(inputs, run.run_id, name),
                _drawn(
                    training_panel(inputs, run.run_id, name), f"l{place}-{name}", f"{MEASURES[name]} of {run.title} over training steps"
                ),
            )
            for name in names
        ]
        found.append({"run": run, "panels": panels})
    return found


def yes_saying_panels(inputs: ReportInputs) -> list[dict[str, Any]]:
    """The runs, each with a panel of yes-saying a topic."""
    found = []
    for place, run in enumerate(inputs.lineage.runs):
        frame = yes_saying(inputs, run.run_id)
        if not frame.height:
            continue
        panels = []
        for index, topic in enumerate(inputs.topics):
            rows = frame.filter(pl.col("topic") == topic).sort("step")
            if rows.height:
                panels.append(
                    (
                        topic,
                        _ends(rows),
                        _drawn(
                            yes_saying_panel(inputs, run.run_id, topic),
                            f"y{place}-{index}",
                            f"Yes-saying of {run.title} on {topic} over training steps",
                        ),
                    )
                )
        found.append({"run": run, "panels": panels})
    return found


def _ends(rows: pl.DataFrame) -> Mapping[str, Any]:
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    return {"before": first["acquiescence"], "after": last["acquiescence"], "n_pairs": last["n_pairs"]}

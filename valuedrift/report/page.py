"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from valuedrift.findings.registry import Outcome
from valuedrift.lineage import PHASES
from valuedrift.report.answer import answer, asked, told_findings
from valuedrift.report.data import audited, count_judgements
from valuedrift.report.examples import RULES, examples
from valuedrift.report.figures.curves import MEASURES, training_panel, yes_saying, yes_saying_panel
from valuedrift.report.figures.curves import measured as measures_of
from valuedrift.report.figures.magnitudes import FULL, forest_panel
from valuedrift.report.figures.trajectory import trajectory_panel
from valuedrift.report.figures.write import inline_svg
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.judge import caution, distrust, measured, second_opinions
from valuedrift.report.jury import jury
from valuedrift.report.labels import labels_section
from valuedrift.report.reading import GLOSSARY, stations
from valuedrift.report.rows import DriftRow, drift_rows
from valuedrift.stance import LITTLE, STANCES
from valuedrift.words import counted, percent, plain, signed, slug, visible

_OPEN_PANELS = 40
"""Panels that are unfolded from the start, in whole topics."""


def build_report(inputs: ReportInputs) -> str:
    """Write a study's report.

    Args:
        inputs: The study's tables and provenance.

    Returns:
        One HTML document: styles, figures and the few lines of script are in it, nothing is loaded, all text from tables is escaped.
    """
    style, script = _asset("style.css"), _asset("enhance.js")
    rows = drift_rows(inputs)
    shown = examples(inputs)
    findings = told_findings(inputs)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            inputs=inputs,
            lineage=inputs.lineage,
            style=Markup(style),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            asked=asked(inputs),
            answer=answer(inputs),
            largest=_largest(inputs, rows),
            findings=findings,
            tally=[(outcome.value, count) for outcome in Outcome if (count := sum(finding.outcome == outcome for finding in findings))],
            glossary=GLOSSARY,
            stations=stations(inputs, shown, rows),
            stances=[stance.value for stance in STANCES],
            topics=_topics(inputs, rows),
            by_place={(row.run.run_id, row.topic, row.stance): row for row in rows},
            most=max([FULL, *(abs(row.magnitude) for row in rows)]),
            rows=rows,
            training=_training(inputs),
            measures=MEASURES,
            phases=PHASES,
            examples=shown,
            example_rules=RULES,
            yes=_yes_saying(inputs),
            judges=measured(inputs),
            distrust=distrust(inputs),
            caution=caution(inputs),
            second_opinions=second_opinions(inputs),
            jury=jury(inputs),
            labels=labels_section(inputs),
            counts=count_judgements(inputs),
            audits=audited(inputs),
            little=LITTLE,
            open_topics=max(1, _OPEN_PANELS // max(1, len(inputs.lineage.runs))),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_made_visible,
    )
    environment.filters.update(signed=signed, plain=plain, percent=percent, slug=slug)
    environment.globals["counted"] = counted
    return environment


def _asset(name: str) -> str:
    return files("valuedrift").joinpath("report", "templates", name).read_text(encoding="utf-8")


def _made_visible(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _figure(figure: Any, name: str, description: str) -> Markup:
    return Markup(inline_svg(figure, name, description))


def _largest(inputs: ReportInputs, rows: list[DriftRow]) -> dict[str, Any] | None:
    """The run and topic that the headline tells of, drawn; None where there is no drift."""
    if not rows:
        return None
    top = next((row for row in rows if row.kind == "moved"), rows[0])
    panel = trajectory_panel(inputs, top.run.run_id, top.topic, size=(392, 262))
    mine = [row for row in rows if row.topic == top.topic]
    return {"row": top, "figure": _figure(panel, "largest", _described(top.run.title, top.topic, mine))}


def _topics(inputs: ReportInputs, rows: list[DriftRow]) -> list[dict[str, Any]]:
    found = []
    covered = inputs.main_trajectory.select("run_id", "topic", "n_prompts").group_by("run_id", "topic").agg(pl.col("n_prompts").max())
    counts = {(row["run_id"], row["topic"]): row["n_prompts"] for row in covered.iter_rows(named=True)}
    for index, topic in enumerate(inputs.topics):
        largest = [row for row in rows if row.topic == topic]
        panels = {
            run.run_id: _figure(trajectory_panel(inputs, run.run_id, topic), f"t{index}-{place}", _described(run.title, topic, largest))
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
                "forest": _figure(
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


def _training(inputs: ReportInputs) -> list[dict[str, Any]]:
    found = []
    for place, run in enumerate(inputs.lineage.runs):
        names = measures_of(inputs, run.run_id)
        panels = [
            (
                MEASURES[name],
                _figure(
                    training_panel(inputs, run.run_id, name), f"l{place}-{name}", f"{MEASURES[name]} of {run.title} over training steps"
                ),
            )
            for name in names
        ]
        found.append({"run": run, "panels": panels})
    return found


def _yes_saying(inputs: ReportInputs) -> list[dict[str, Any]]:
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
                        _figure(
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

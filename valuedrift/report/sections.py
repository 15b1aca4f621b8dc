"""The sections of the page, in their order: a section is a template, and what of the tables it is filled with.

A section of one's own is one file with a `Section`, entered by `enter`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import entry_points
from typing import Any

import polars as pl
from markupsafe import Markup

from valuedrift.errors import UserError
from valuedrift.findings.registry import Outcome
from valuedrift.report.answer import answer, told_findings
from valuedrift.report.attribution import attribution_section
from valuedrift.report.capability import abilities
from valuedrift.report.cascade import cascade_sections
from valuedrift.report.data import audited, count_judgements, rows_told
from valuedrift.report.examples import RULES, examples
from valuedrift.report.figures.curves import MEASURES, held_out_losses, training_panel, yes_saying, yes_saying_panel
from valuedrift.report.figures.curves import measured as measures_of
from valuedrift.report.figures.magnitudes import FULL, forest_panel
from valuedrift.report.figures.trajectory import trajectory_panel
from valuedrift.report.figures.write import inline_svg
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.judge import caution, distrust, measured, second_opinions
from valuedrift.report.jury import jury
from valuedrift.report.labels import labels_section
from valuedrift.report.reading import stations
from valuedrift.report.rows import DriftRow, drift_rows
from valuedrift.words import plain, slug

_OPEN_PANELS = 40
"""Panels that are unfolded from the start, in whole topics."""
_GROUP = "valuedrift.sections"
"""Entry points of installed packages that enter sections of their own."""


class Page:
    """What several sections of one page share, computed once.

    Args:
        inputs: The study's tables.
    """

    def __init__(self, inputs: ReportInputs) -> None:
        self.inputs = inputs

    @cached_property
    def rows(self) -> list[DriftRow]:
        """The drift table, largest drift first."""
        return drift_rows(self.inputs)

    @cached_property
    def topics(self) -> list[dict[str, Any]]:
        """The topics with their panels."""
        return _topics(self.inputs, self.rows)

    @cached_property
    def by_place(self) -> dict[tuple[str, str, str], DriftRow]:
        """The drift table by run, topic and stance."""
        return {(row.run.run_id, row.topic, row.stance): row for row in self.rows}

    @cached_property
    def examples(self) -> Any:
        """Answers before and after, by run."""
        return examples(self.inputs)


Filling = Callable[[Page], Mapping[str, Any] | None]
"""From a page to what fills a section's template; None leaves the section out."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: Its place on the page.
        title: What the contents call it.
        filling: What fills its template, beside what fills all (`valuedrift.report.page`); None where it has nothing to say.
        template: Its Jinja template, if it is not ``templates/<anchor>.html.jinja``; text that is filled in is escaped.
    """

    anchor: str
    title: str
    filling: Filling
    template: str = ""


def _answer(page: Page) -> Mapping[str, Any]:
    return {"answer": answer(page.inputs), "largest": _largest(page.inputs, page.rows), "caution": caution(page.inputs)}


def _findings(page: Page) -> Mapping[str, Any]:
    findings = told_findings(page.inputs)
    counts = [(outcome.value, sum(finding.outcome == outcome for finding in findings)) for outcome in Outcome]
    return {"findings": findings, "tally": [(name, count) for name, count in counts if count]}


def _reading(page: Page) -> Mapping[str, Any]:
    return {"stations": stations(page.inputs, page.examples, page.rows)}


def _figures(page: Page) -> Mapping[str, Any]:
    open_topics = max(1, _OPEN_PANELS // max(1, len(page.inputs.lineage.runs)))
    return {"topics": page.topics, "by_place": page.by_place, "open_topics": open_topics}


def _magnitudes(page: Page) -> Mapping[str, Any]:
    most = max([FULL, *(abs(row.magnitude) for row in page.rows)])
    return {"rows": page.rows, "topics": page.topics, "by_place": page.by_place, "most": most}


def _labels(page: Page) -> Mapping[str, Any] | None:
    labels = labels_section(page.inputs)
    return {"labels": labels} if labels else None


def _cascade(page: Page) -> Mapping[str, Any] | None:
    found = cascade_sections(page.inputs)
    return {"cascades": found} if found else None


def _attribution(page: Page) -> Mapping[str, Any] | None:
    found = attribution_section(page.inputs)
    return {"attribution": found} if found else None


def _capability(page: Page) -> Mapping[str, Any] | None:
    found = abilities(page.inputs)
    return {"abilities": found} if found else None


def _judge(page: Page) -> Mapping[str, Any]:
    return {"judges": measured(page.inputs), "distrust": distrust(page.inputs), "second_opinions": second_opinions(page.inputs)}


def _judges(page: Page) -> Mapping[str, Any] | None:
    opinions = jury(page.inputs)
    return {"jury": opinions} if opinions else None


_SECTIONS: list[Section] = [
    Section("answer", "Answer", _answer),
    Section("findings", "Findings", _findings),
    Section("reading", "How to read", _reading),
    Section("figures", "Over training", _figures),
    Section("magnitudes", "Magnitudes", _magnitudes),
    Section("table", "Table", lambda page: {"rows": page.rows}),
    Section("capability", "Abilities", _capability),
    Section("cascade", "Cascade", _cascade),
    Section("labels", "Labels", _labels),
    Section("datasets", "Datasets", lambda page: {"audits": audited(page.inputs), "rows_told": rows_told(page.inputs)}),
    Section("attribution", "Rows", _attribution),
    Section("training", "Training", lambda page: {"training": _training(page.inputs)}),
    Section("examples", "Answers", lambda page: {"examples": page.examples, "example_rules": RULES}),
    Section("yes-saying", "Yes-saying", lambda page: {"yes": _yes_saying(page.inputs)}),
    Section("judge", "Judge", _judge),
    Section("judges", "Judges", _judges),
    Section("data", "Data", lambda page: {"counts": count_judgements(page.inputs)}),
    Section("provenance", "Provenance", lambda page: {}),
]


@cache
def _enter_installed() -> None:
    for module in entry_points(group=_GROUP):
        try:
            module.load()
        except (ImportError, AttributeError, ValueError) as error:
            where = f"{module.dist.name if module.dist else 'an installed package'}, entry point {module.name} = {module.value}"
            raise UserError(f"cannot be entered: {error}", where=where, fix="mend the package, or uninstall it") from error


def sections() -> tuple[Section, ...]:
    """All sections in their order."""
    _enter_installed()
    return tuple(_SECTIONS)


def enter(section: Section, *, after: str) -> None:
    """Enter a section of one's own.

    Args:
        section: The section, with a template.
        after: Anchor of the section that it stands behind.

    Raises:
        UserError: There is a section of this anchor already, none that it could stand behind, or it has no template.
    """
    anchors = [one.anchor for one in _SECTIONS]
    if section.anchor in anchors or after not in anchors or not section.template or slug(section.anchor) != section.anchor:
        raise UserError(
            f"no place for a section {section.anchor!r} after {after!r}",
            fix=f"give it a template and an anchor of its own, in lower-case letters and dashes; anchors are {', '.join(anchors)}",
        )
    _SECTIONS.insert(anchors.index(after) + 1, section)


def _figure(figure: Any, name: str, description: str) -> Markup:
    return Markup(inline_svg(figure, name, description))


def _largest(inputs: ReportInputs, rows: list[DriftRow]) -> dict[str, Any] | None:
    """The run and topic that the headline tells of, drawn; None where there is no drift."""
    if not rows:
        return None
    top = next((row for row in rows if row.kind == "moved"), rows[0])
    panel = trajectory_panel(inputs, top.run.run_id, top.topic, size=(480, 268))
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


def _measure(inputs: ReportInputs, run_id: str, name: str) -> str:
    """What a panel shows; of the loss also what the rings are."""
    held = held_out_losses(inputs, run_id).get_column("held_out_loss") if name == "loss" else pl.Series(dtype=pl.Float64)
    return f"{MEASURES[name]} (rings: held-out rows, {plain(held[0])} → {plain(held[-1])})" if len(held) else MEASURES[name]


def _training(inputs: ReportInputs) -> list[dict[str, Any]]:
    found = []
    for place, run in enumerate(inputs.lineage.runs):
        names = measures_of(inputs, run.run_id)
        panels = [
            (
                _measure(inputs, run.run_id, name),
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

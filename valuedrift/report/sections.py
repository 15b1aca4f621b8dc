"""The sections of the page, in their order: a section is a template, and what of the tables it is filled with.

A section of one's own is one file with a `Section`, entered by `enter`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import entry_points
from typing import Any

from valuedrift.errors import UserError
from valuedrift.findings.registry import Outcome
from valuedrift.report.answer import answer, told_findings
from valuedrift.report.attribution import attribution_section
from valuedrift.report.capability import abilities
from valuedrift.report.cascade import cascade_sections
from valuedrift.report.data import audited, count_judgements, rows_told
from valuedrift.report.examples import RULES, examples
from valuedrift.report.figures.magnitudes import FULL
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.judge import caution, distrust, measured, second_opinions
from valuedrift.report.jury import jury
from valuedrift.report.labels import labels_section
from valuedrift.report.panels import largest_drift, topic_panels, training_panels, yes_saying_panels
from valuedrift.report.reading import stations
from valuedrift.report.rows import DriftRow, drift_rows
from valuedrift.report.seeds import seeds_section
from valuedrift.words import slug

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
        return topic_panels(self.inputs, self.rows)

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
    return {"answer": answer(page.inputs), "largest": largest_drift(page.inputs, page.rows), "caution": caution(page.inputs)}


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


def _seeds(page: Page) -> Mapping[str, Any] | None:
    found = seeds_section(page.inputs)
    return {"seeds": found} if found else None


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
    Section("seeds", "Over seeds", _seeds),
    Section("capability", "Abilities", _capability),
    Section("cascade", "Cascade", _cascade),
    Section("labels", "Labels", _labels),
    Section("datasets", "Datasets", lambda page: {"audits": audited(page.inputs), "rows_told": rows_told(page.inputs)}),
    Section("attribution", "Rows", _attribution),
    Section("training", "Training", lambda page: {"training": training_panels(page.inputs)}),
    Section("examples", "Answers", lambda page: {"examples": page.examples, "example_rules": RULES}),
    Section("yes-saying", "Yes-saying", lambda page: {"yes": yes_saying_panels(page.inputs)}),
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

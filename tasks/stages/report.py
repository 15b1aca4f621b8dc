"""Stage ``report``: one HTML file, its figures, and a Markdown artifact in the Prefect UI, from the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from valuedrift.report import build_markdown, build_report
from valuedrift.report.inputs import ReportInputs
from valuedrift.storage.location import Location
from valuedrift.storage.manifest import Entry
from valuedrift.tasks.board import announce, artifact_key, show_page, shown
from valuedrift.tasks.reporting import PAGE, WATCHED, default_folder, inputs_of, page_mark, report_identity, write_figures_to, write_page
from valuedrift.tasks.result import Frames, Partition, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stances_work import StancesWork
from valuedrift.tasks.work import Work

FINISHED = "valuedrift.study.finished"
"""Event that tells Prefect of the last report of a study; those that are written while it is watched are not told."""


def stages(work: StancesWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage, made of all that is analysed, corrected, concluded, audited and attributed; a page that reloads itself while more may come."""
    growing = work.growing
    results = tuple(stage for stage in listed if stage.name in ("analyze", "correct", "conclude", "audit", "attribute", "compare"))
    told = tuple(stage for stage in results if not stage.beside or stage.label not in work.failed)

    concluded = next((stage for stage in told if stage.name == "conclude"), None)
    if concluded is None:
        return
    needs = (*told, *(stage for stage in concluded.needs if stage not in told))

    def identity(results: Sequence[Reference]) -> dict[str, Any]:
        return report_identity([part.key for part in results[: len(told)]])

    def named(results: Sequence[Reference]) -> str:
        """As the conclusions that the page tells."""
        by_stage = dict(zip(needs, results, strict=True))
        return concluded.named([by_stage[stage] for stage in concluded.needs]) if concluded.named is not None else ""

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        with shown("report"):
            inputs = inputs_of(work.store, work.name)
            write_figures_to(inputs, folder_of_report(work))
            _show(work, inputs, finished=not growing)
            return {PAGE: pl.DataFrame({"html": [build_report(inputs, watched=growing)]})}

    page = _Page(folder_of_report(work) / PAGE, watched=growing)
    yield Stage("report", page, needs, identity, make, named=named, as_of=WATCHED if growing else "")


@dataclass(frozen=True)
class _Page:
    """A page as a stage's result: its last line says what it was made of."""

    place: Location
    partition: Partition = field(default_factory=dict)
    slot: str = ""
    watched: bool = False
    """Whether it reloads itself."""

    def here(self, work: Work, key: str, named: str = "") -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        there = self.place.exists() and self.place.read_bytes().rstrip().endswith(page_mark(key, self._names(named)))
        return self._reference(key, reused=True) if there else None

    def elsewhere(self, work: Work, key: str) -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return None

    def take_over(self, work: Work, equal: Reference, names: Mapping[str, Any]) -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return equal

    def keep(self, work: Work, frames: Frames, key: str, identity: Mapping[str, Any], named: str = "") -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`. The page appears last, whole or not at all."""
        write_page(frames[PAGE].item(), self.place, key, self._names(named))
        return self._reference(key, reused=False)

    def before(self, work: Work) -> Entry | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return None

    def _names(self, named: str) -> str:
        return f"{named}{WATCHED}" if self.watched else named

    def _reference(self, key: str, *, reused: bool) -> Reference:
        return Reference(table=PAGE, key=key, rows=1, reused=reused)


def folder_of_report(work: StancesWork) -> Location:
    """Where a study's report goes: where the user says, else reports/<study> below the root."""
    if work.report_folder is not None:
        return Location.parse(work.report_folder)
    return default_folder(work.store, work.name)


def _show(work: StancesWork, inputs: ReportInputs, *, finished: bool) -> None:
    if finished:
        announce(FINISHED, f"valuedrift.study.{work.name}", {"study": work.name, "report": (folder_of_report(work) / PAGE).uri})
    show_page(build_markdown(inputs), f"report-{artifact_key(work.name)}", f"Value drift of study {work.name}")

"""Stage ``report``: one HTML file, its figures, and a Markdown artifact in the Prefect UI, from the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import TaskRunContext

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.report import build_markdown, build_report, write_figures
from valuedrift.report.inputs import ReportInputs, read_inputs
from valuedrift.results.conclusions import TABLES as CONCLUDED
from valuedrift.storage.location import Location, path_part
from valuedrift.storage.manifest import Entry
from valuedrift.storage.store import Store
from valuedrift.study import Study
from valuedrift.tasks.board import shown
from valuedrift.tasks.labels import label_keys
from valuedrift.tasks.stage import Frames, Partition, Reference, Stage
from valuedrift.tasks.stages.conclude import study_fingerprint
from valuedrift.tasks.work import StudyWork, Work

PAGE = "report.html"
FIGURE_FORMATS = ("png", "svg", "pdf")
REPORT_VERSION = 1
"""Raised when the same tables would give another page."""


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage, made of all that is analysed, corrected, concluded and audited."""
    told = tuple(stage for stage in listed if stage.name in ("analyze", "correct", "conclude", "audit"))

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return report_identity([part.key for part in needs])

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        with shown("report"):
            inputs = inputs_of(work.store, work.study.study)
            write_figures_to(inputs, folder_of_report(work))
            if TaskRunContext.get() is not None:
                _artifacts(work, inputs)
            return {PAGE: pl.DataFrame({"html": [build_report(inputs)]})}

    yield Stage("report", _Page(folder_of_report(work) / PAGE), told, identity, make)


@dataclass(frozen=True)
class _Page:
    """A page as a stage's result: its last line says what it was made of."""

    place: Location
    partition: Partition = field(default_factory=dict)
    slot: str = ""

    def here(self, work: Work, key: str) -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        there = self.place.exists() and self.place.read_bytes().rstrip().endswith(_mark(key))
        return self._reference(key, reused=True) if there else None

    def elsewhere(self, work: Work, key: str) -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return None

    def take_over(self, work: Work, equal: Reference, names: Mapping[str, Any]) -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return equal

    def keep(self, work: Work, frames: Frames, key: str, identity: Mapping[str, Any]) -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`. The page appears last, whole or not at all."""
        write_page(frames[PAGE].item(), self.place, key)
        return self._reference(key, reused=False)

    def before(self, work: Work) -> Entry | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return None

    def _reference(self, key: str, *, reused: bool) -> Reference:
        return Reference(table=PAGE, key=key, rows=1, reused=reused)


def inputs_of(store: Store, study: str) -> ReportInputs:
    """What the tables of a concluded study tell."""
    return read_inputs(lambda table: store.read(table, study=study))


def check_concluded(store: Store, study: Study, file: str) -> None:
    """See from the manifest alone whether a study's tables are whole and of what its file says now.

    Args:
        store: Where the tables lie.
        study: The study.
        file: The study file, for the message.

    Raises:
        UserError: The study must be run first; says why.
    """
    fix = f"valuedrift run {file}; valuedrift explain says what is missing"
    drift, concluded = (store.entry(table, {"study": study.study}) for table in ("drift", CONCLUDED[-1]))
    if drift is None:
        raise UserError("this study is not analysed yet", where=file, fix=fix)
    if concluded is None:
        again = f"run `valuedrift run {file}` once; nothing is trained, sampled or judged again"
        raise UserError(
            "the tables that a report reads are missing: the study was made by version 0.2, or its run was stopped", where=file, fix=again
        )
    judged = {entry.key for entry in store.entries("stances", study.study)}
    changes = {
        "stances that the drift was made of are gone": not judged.issuperset(drift.identity["stances"]),
        "the drift was made again": concluded.identity["analysis"] != drift.key,
        "people labelled answers": concluded.identity["labels"] != label_keys(store, study.study),
        "the study file says something else": concluded.identity["study"] != study_fingerprint(study),
    }
    changed = [what for what, so in changes.items() if so]
    if changed:
        raise UserError(f"since the study was concluded, {' and '.join(changed)}", where=file, fix=fix)


def report_identity(keys: Sequence[str]) -> dict[str, Any]:
    """Identity of a page: the tables that it tells of."""
    return {"stage": "report", "version": REPORT_VERSION, "tables": sorted(keys)}


def rewrite_report(store: Store, study: Study, file: str, folder: Location | None) -> Location:
    """Write a concluded study's report again; needs its tables alone.

    Args:
        store: Where the tables lie.
        study: The study.
        file: The study file, for messages.
        folder: Where to write; None: reports/<study> below the root.

    Returns:
        The page.

    Raises:
        UserError: See `check_concluded`.
    """
    check_concluded(store, study, file)
    inputs, place = inputs_of(store, study.study), folder or store.root / "reports" / path_part(study.study)
    write_figures_to(inputs, place)
    of_study = [store.entry(table, {"study": study.study}) for table in ("warnings", "drift_corrected", CONCLUDED[-1])]
    audits = [entry for entry in store.entries("audits", study.study) if entry.study == study.study]
    keys = [entry.key for entry in (*of_study, *audits) if entry is not None]
    write_page(build_report(inputs), place / PAGE, fingerprint(report_identity(keys)))
    return place / PAGE


def folder_of_report(work: StudyWork) -> Location:
    """Where a study's report goes: where the user says, else reports/<study> below the root."""
    if work.report_folder is not None:
        return Location.parse(work.report_folder)
    return work.store.root / "reports" / path_part(work.study.study)


def write_figures_to(inputs: ReportInputs, folder: Location) -> None:
    """Write the figures into ``figures`` below a folder."""
    with TemporaryDirectory() as aside:
        write_figures(inputs, Path(aside), formats=FIGURE_FORMATS)
        for figure in sorted(Path(aside).iterdir()):
            (folder / "figures" / figure.name).put_bytes(figure.read_bytes())


def write_page(html: str, place: Location, key: str) -> None:
    """Write a page; its last line says what it was made of."""
    place.put_bytes(html.encode().rstrip() + b"\n" + _mark(key) + b"\n")


def _mark(key: str) -> bytes:
    return f"<!-- made of {key} -->".encode()


def _artifacts(work: StudyWork, inputs: ReportInputs) -> None:
    name = "".join(letter if letter.isalnum() else "-" for letter in work.study.study)
    create_markdown_artifact(markdown=build_markdown(inputs), key=f"report-{name}", description=f"Value drift of study {work.study.study}")
    columns = ("run_id", "topic", "stance", "magnitude", "magnitude_low", "magnitude_high", "drift_time", "q_value")
    rows = inputs.main_drift.select(columns).head(50).to_dicts()
    rounded = [{key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()} for row in rows]
    create_table_artifact(table=rounded, key=f"drift-{name}", description=f"Largest drifts of study {work.study.study}")

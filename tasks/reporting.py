"""Write a study's report from its tables; no Prefect, no model, no data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.report import build_report, write_figures
from valuedrift.report.inputs import ReportInputs, read_inputs
from valuedrift.results.facts import ANALYSED, CONCLUDED, CORRECTED, study_fingerprint
from valuedrift.storage.location import Location, path_part
from valuedrift.storage.store import Store
from valuedrift.study import Study

PAGE = "report.html"
FIGURE_FORMATS = ("png", "svg", "pdf")
REPORT_VERSION = 2
"""Raised when the same tables would give another page."""


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
    tables = [*ANALYSED, *CONCLUDED, *(CORRECTED if concluded is not None and concluded.identity["labels"] else ())]
    lacking = [table for table in tables if (entry := store.entry(table, {"study": study.study})) is None or not store.exists(entry)]
    if concluded is None or lacking:
        again = f"run `valuedrift run {file}` once; nothing is trained, sampled or judged again"
        raise UserError(
            f"tables that a report reads are missing ({', '.join(lacking)}): the study was made by version 0.2, or its run was stopped",
            where=file,
            fix=again,
        )
    judged = {entry.key for entry in store.entries("stances", study.study)}
    changes = {
        "stances that the drift was made of are gone": not judged.issuperset(drift.identity["stances"]),
        "the drift was made again": concluded.identity["analysis"] != drift.key,
        "people labelled answers": concluded.identity["labels"]
        != sorted(entry.key for entry in store.entries("labels", study.study) if entry.rows),
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
    inputs, place = inputs_of(store, study.study), folder or default_folder(store, study.study)
    write_figures_to(inputs, place)
    of_study = [store.entry(table, {"study": study.study}) for table in (ANALYSED[-1], CORRECTED[-1], CONCLUDED[-1])]
    told = set(inputs.audits.select("dataset", "judge").iter_rows()) if inputs.audits is not None and inputs.audits.height else set()
    audits = [entry for entry in store.entries("audits", study.study) if (entry.partition["dataset"], entry.slot) in told]
    keys = [entry.key for entry in (*of_study, *audits) if entry is not None]
    concluded = store.entry(CONCLUDED[-1], {"study": study.study})
    named = str(concluded.identity.get("named", "")) if concluded is not None else ""
    write_page(build_report(inputs), place / PAGE, fingerprint(report_identity(keys)), named)
    return place / PAGE


def default_folder(store: Store, study: str) -> Location:
    """Where a study's report goes if nobody says."""
    return store.root / "reports" / path_part(study)


def write_figures_to(inputs: ReportInputs, folder: Location) -> None:
    """Write the figures into ``figures`` below a folder."""
    with TemporaryDirectory() as aside:
        write_figures(inputs, Path(aside), formats=FIGURE_FORMATS)
        for figure in sorted(Path(aside).iterdir()):
            (folder / "figures" / figure.name).put_bytes(figure.read_bytes())


def write_page(html: str, place: Location, key: str, named: str) -> None:
    """Write a page; its last line says what it was made of."""
    place.put_bytes(html.encode().rstrip() + b"\n" + page_mark(key, named) + b"\n")


def page_mark(key: str, named: str) -> bytes:
    """The last line of a page: what it was made of, and under which names."""
    return f"<!-- made of {key} {named} -->".encode()


WATCHED = " while it was watched"
"""Stands behind the names in the mark of a page that reloads itself: once the watch has ended such a page is written again, though its tables are the same."""

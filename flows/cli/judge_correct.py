"""``valuedrift judge correct``: a study's drift with the judge's errors in it, beside the drift as the judge alone sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.app import RootOption, resolve_root
from flows.cli.console import make_console
from flows.cli.judge import judge_app
from flows.cli.judge_labels import StudyName

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 20


@judge_app.command("correct")
def correct(
    study: StudyName,
    judge: Annotated[
        str | None, typer.Option("--judge", help="A judge of the study; needed where several judged.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Parquet to write. Without it: only shown.", show_default=False)] = None,
    confidence: Annotated[float, typer.Option("--confidence", min=0.51, max=0.9999, help="Level of the intervals.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: rows and notes.")] = False,
    root: RootOption = None,
) -> None:
    """Drift magnitudes corrected by what people labelled (`judge sample`, `judge labels`), beside the uncorrected ones, which stay as they are."""
    from storage.store import Store
    from tasks.labels import judge_name, labelled_stances, study_name
    from valuedrift.drift.corrected import corrected
    from valuedrift.drift.options import Analysis
    from valuedrift.errors import UserError
    from valuedrift.judges.files import write_whole

    if out is not None and out.suffix != ".parquet":
        raise UserError(f"this table is Parquet, not {out.suffix or 'a file without extension'}", where=str(out), fix="--out NAME.parquet")
    store = Store(resolve_root(root))
    name = study_name(store, study)
    by = judge_name(store, name, judge)
    stances = store.scan("stances", study=name, judge=by)
    labelled = labelled_stances(store, name, stances)
    if not labelled.height:
        raise UserError(
            "no answers are labelled", where=f"study {name}", fix="valuedrift judge sample STUDY, then valuedrift judge labels STUDY SHEET"
        )
    found = corrected(stances, labelled, Analysis(confidence=confidence), where=f"study {name}, judge {by}")
    if out is not None:
        write_whole(found.drift, out)
    if as_json:
        typer.echo(json.dumps({"study": name, "judge": by, "rows": found.drift.to_dicts(), "notes": found.notes}, ensure_ascii=False))
        return
    show_corrected(found.drift, found.notes)


def show_corrected(rows: pl.DataFrame, notes: list[str]) -> None:
    """The largest corrected drifts beside the same as judged, and what to know of them."""
    import polars as pl

    console = make_console()
    table = Table("run", "topic", "stance", "as judged", "corrected", "labels", box=None, header_style="bold")
    for row in rows.sort(pl.col("magnitude").abs(), descending=True).head(_SHOWN).iter_rows(named=True):
        spread = []
        for kind in ("uncorrected_", ""):
            value, low, high = (row[f"{kind}magnitude{end}"] for end in ("", "_low", "_high"))
            spread.append(f"{value:+.3f} ({low:+.3f} to {high:+.3f})")
        level = f"{row['n_labels']} of the {'cell, λ ' + format(row['tuning'], '.2f') if row['level'] == 'cell' else 'study'}"
        table.add_row(escape(row["run_id"]), escape(row["topic"]), row["stance"], *spread, level)
    if rows.height:
        console.print(table)
    if rows.height > _SHOWN:
        console.print(f"the {_SHOWN} largest of {rows.height}", highlight=False)
    for note in notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    if (rows["level"] == "study").any():
        said = (
            "labels of the whole study: assumes that the judge errs alike on answers of one stance before and after, in all runs and topics"
        )
        console.print(f"[yellow]note[/] {said}", highlight=False, soft_wrap=True)

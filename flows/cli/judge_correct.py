"""``valuedrift judge correct``: a study's drift with the judge's errors in it, beside the drift as the judge alone sees it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from valuedrift.flows.cli.app import RootOption, resolve_root
from valuedrift.flows.cli.corrected_table import show_corrected
from valuedrift.flows.cli.judge import judge_app
from valuedrift.flows.cli.judge_labels import StudyName
from valuedrift.flows.cli.out import parquet_bytes, target


@judge_app.command("correct")
def correct(
    study: StudyName,
    judge: Annotated[
        str | None, typer.Option("--judge", help="A judge of the study; needed where several judged.", show_default=False)
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="Parquet to write, local or s3://. Without it: only shown.", show_default=False)
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", min=0.51, max=0.9999, help="Level of the intervals.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: rows and notes.")] = False,
    root: RootOption = None,
) -> None:
    """Drift magnitudes corrected by what people labelled (`judge sample`, `judge labels`), beside the uncorrected ones, which stay as they are."""
    from valuedrift.drift.corrected import corrected
    from valuedrift.drift.options import Analysis
    from valuedrift.errors import UserError
    from valuedrift.storage.store import Store
    from valuedrift.tasks.labels import judge_name, labelled_stances, study_name

    place = target(out, "--out", ".parquet") if out is not None else None
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
    if place is not None:
        place.put_bytes(parquet_bytes(found.drift))
    if as_json:
        typer.echo(json.dumps({"study": name, "judge": by, "rows": found.drift.to_dicts(), "notes": found.notes}, ensure_ascii=False))
        return
    show_corrected(found.drift, found.notes)

"""``valuedrift labels``: answers of a study to people, what people say of them back, and the drift with the judge's errors in it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from valuedrift.flows.cli.app import RootOption, app, formerly, parquet_bytes, print_json, resolve_root, target
from valuedrift.flows.cli.console import make_console
from valuedrift.flows.cli.drift_table import show_corrected
from valuedrift.flows.cli.judge import judge_app
from valuedrift.words import counted

_PEOPLE = "people"
LabellerOption = Annotated[str, typer.Option("--labeller", help="Who filled it; several people give each their own name.")]
ExportOption = Annotated[
    str | None,
    typer.Option(
        "--export",
        help="Also write the labelled answers as JSON lines, local or s3:// (prompt, response, stance), for `judge validate`.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Study file, or the name of a study that has tables.", show_default=False)]

labels_app = typer.Typer(name="labels", help="Have people label answers, and correct the judge by what they say.", no_args_is_help=True)
app.add_typer(labels_app)


@labels_app.command("draw")
@formerly(judge_app, "sample", "labels draw")
def draw(
    study: StudyName,
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="Judge over whose stances the draw is balanced; needed where several judged.", show_default=False),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers to draw.")] = 120,
    out: Annotated[str, typer.Option("--out", help="CSV to write, local or s3://.")] = "labels.csv",
    seed: Annotated[int, typer.Option("--seed", min=0, help="For another draw from the same answers.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the CSV.")] = False,
    root: RootOption = None,
) -> None:
    """Draw answers for people to label: balanced over what the judge said, runs, topics and ends of training; blind to run and step."""
    from valuedrift.errors import UserError
    from valuedrift.labels.sheet import sheet_bytes
    from valuedrift.storage.store import Store
    from valuedrift.tasks.labels import draw_labels, judge_name, study_name

    place = target(out, "--out", ".csv")
    if place.exists() and not force:
        raise UserError("the file is there already, perhaps with labels in it", where=out, fix="another --out, or --force")
    store = Store(resolve_root(root))
    name = study_name(store, study)
    drawn = draw_labels(store, name, judge_name(store, name, judge), n, seed)
    place.put_bytes(sheet_bytes(drawn))
    console = make_console()
    fewer = f" (there are no more than {drawn.height})" if drawn.height < n else ""
    console.print(
        f"{counted(drawn.height, 'answer')}{fewer} to {counted(drawn['prompt_id'].n_unique(), 'prompt')} in {escape(out)}",
        soft_wrap=True,
        highlight=False,
    )
    console.print(
        "fill the column stance with support, neutral, oppose, refused or unclear, then: "
        f"valuedrift labels add {escape(study)} {escape(out)} --labeller NAME",
        soft_wrap=True,
        highlight=False,
    )


@labels_app.command("add")
def add(
    study: StudyName,
    sheet: Annotated[str, typer.Argument(metavar="SHEET", help="The filled CSV, local or s3://.", show_default=False)],
    labeller: LabellerOption = _PEOPLE,
    export: ExportOption = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Read a filled sheet and keep its labels; rows that are wrong are named, and nothing is kept then."""
    _labels(study, sheet, labeller, export, as_json, root)


@labels_app.command("show")
def show(study: StudyName, export: ExportOption = None, as_json: JsonOption = False, root: RootOption = None) -> None:
    """Say what is labelled so far, by whom, and how far people agree."""
    _labels(study, None, _PEOPLE, export, as_json, root)


@formerly(judge_app, "labels", "labels add` and `valuedrift labels show")
def _add_or_show(
    study: StudyName,
    sheet: Annotated[str | None, typer.Argument(metavar="SHEET")] = None,
    labeller: LabellerOption = _PEOPLE,
    export: ExportOption = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    _labels(study, sheet, labeller, export, as_json, root)


def _labels(study: str, sheet: str | None, labeller: str, export: str | None, as_json: bool, root: str | None) -> None:
    from valuedrift.errors import UserError
    from valuedrift.labels.people import gold, labellers_agree
    from valuedrift.statistics.agreement import agreement_words
    from valuedrift.storage.fetching import at_hand
    from valuedrift.storage.store import Store
    from valuedrift.tasks.labels import keep_labels, labelled, study_name

    place = target(export, "--export") if export is not None else None
    store = Store(resolve_root(root))
    name = study_name(store, study)
    figures: dict[str, Any] = {"study": name}
    if sheet is not None:
        if not labeller.strip():
            raise UserError("a labeller has a name", where="--labeller", fix="--labeller anna")
        with at_hand(sheet) as path:
            kept = keep_labels(store, name, path, labeller.strip())
        figures |= asdict(kept)
    answers = labelled(store, name)
    people = store.read("labels", study=name)
    draws = store.read("label_draws", study=name)
    agreed = labellers_agree(draws, people)
    figures |= {
        "drawn": draws.height,
        "labelled": answers.height,
        "labellers": dict(people["labeller"].value_counts().sort("labeller").iter_rows()),
        "stances": dict(answers["label"].fill_null("undecided").value_counts().sort("label").iter_rows()),
        "agreement": agreed.flat() if agreed is not None else None,
    }
    if place is not None:
        place.put_bytes(gold(answers).write_ndjson().encode())
    if as_json:
        print_json(figures)
        return
    _show(figures, agreement_words(agreed) if agreed is not None else [])


@labels_app.command("correct")
@formerly(judge_app, "correct", "labels correct")
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
    """Drift magnitudes corrected by what people labelled (`labels draw`, `labels add`), beside the uncorrected ones, which stay as they are."""
    from valuedrift.drift.corrected import corrected
    from valuedrift.drift.options import Analysis
    from valuedrift.errors import UserError
    from valuedrift.labels.people import SHARES, several_labellers
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
            "no answers are labelled", where=f"study {name}", fix="valuedrift labels draw STUDY, then valuedrift labels add STUDY SHEET"
        )
    correction = corrected(stances, labelled, Analysis(confidence=confidence), where=f"study {name}, judge {by}")
    if place is not None:
        place.put_bytes(parquet_bytes(correction.drift))
    notes = [*correction.notes, *several_labellers(labelled, SHARES)]
    if as_json:
        print_json({"study": name, "judge": by, "rows": correction.drift.to_dicts(), "notes": notes})
        return
    show_corrected(correction.drift, notes)


def _show(figures: dict[str, Any], agreed: list[str]) -> None:
    console = make_console()
    lines = []
    if "read" in figures:
        lines.append(f"{figures['read']} labels read: {figures['new']} new, {figures['changed']} changed")
        if figures["empty"] or figures["absent"]:
            lines.append(
                f"missing: {figures['empty']} rows without a stance, {figures['absent']} drawn answers that the file does not have"
            )
    lines.append(f"study {figures['study']}: {figures['labelled']} of {figures['drawn']} drawn answers are labelled")
    lines += [f"  {who}: {count}" for who, count in figures["labellers"].items()]
    if figures["stances"]:
        lines.append("  " + ", ".join(f"{count} {stance}" for stance, count in figures["stances"].items()))
    lines += [f"  {line}" for line in agreed]
    for line in lines:
        console.print(escape(line), soft_wrap=True, highlight=False)

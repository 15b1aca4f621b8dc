"""``valuedrift audit``: which stances a dataset teaches, and how far chosen and rejected answers differ in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.app import RootOption, app, print_json, resolve_root
from valuedrift.flows.cli.console import hush_prefect, make_console
from valuedrift.flows.cli.naming import DEFAULT_JUDGE, JudgeOption, SetOption, WeightsOption, judge_config

if TYPE_CHECKING:
    import polars as pl

    from valuedrift.audit.options import AuditOptions
    from valuedrift.corpora.dataset import Dataset
    from valuedrift.corpora.registry import Kind
    from valuedrift.judges.registry import JudgeConfig
    from valuedrift.tasks.work import Work

_CARRIERS = 5
"""Examples shown that carry most of the gap."""
_SHOWN = 110
"""Characters of a prompt that are shown."""


@app.command("audit")
def audit(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA",
            help="starter:NAME, a file or folder, local or s3://, in any of the usual shapes (JSONL, JSON, CSV, Parquet), "
            "or hf:organisation/name; several are shown side by side.",
        ),
    ],
    kind: Annotated[
        Literal["sft", "preference"] | None, typer.Option("--kind", help="What the rows hold; default: recognised.", show_default=False)
    ] = None,
    judge: JudgeOption = DEFAULT_JUDGE,
    settings: SetOption = None,
    weights: WeightsOption = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows judged at most, chosen by content hash.")] = 1000,
    confidence: Annotated[float, typer.Option("--confidence", min=0.51, max=0.9999, help="Level of the intervals.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: one object, or a list of them for several DATA.")] = False,
    root: RootOption = None,
) -> None:
    """The stances of a dataset's answers; for preference data the value gap between chosen and rejected ones, and what differs otherwise."""
    hush_prefect()
    from valuedrift.audit.options import AuditOptions
    from valuedrift.audit.words import beside_construction
    from valuedrift.study.runtime import Runtime
    from valuedrift.tasks.selected import selected_by
    from valuedrift.tasks.stages.audit import audit_stage, measures_of, rows_of_audits
    from valuedrift.tasks.survey import State, survey
    from valuedrift.tasks.work import Work

    where, judging, options = resolve_root(root), judge_config(judge, settings, weights), AuditOptions(rows=rows, confidence=confidence)
    datasets = _named(data)
    kinds = _kinds(datasets, kind)
    work = Work(where, Runtime())
    stages = [audit_stage(work, name, dataset, kinds[name], judging, options) for name, dataset in datasets.items()]
    missing = {one.stage.what: datasets[one.stage.what] for one in survey(work, stages) if one.state is not State.CACHED}
    if missing:
        _run(missing, kinds, judging, options, where)
    measures = measures_of(work, list(datasets), judging.name)
    rows_became = rows_of_audits(work, list(datasets), judging.name)
    known = {
        name: gap for name, dataset in datasets.items() if kinds[name] == "preference" and (gap := dataset.gap_by_construction) is not None
    }
    notes = {name: note for name, dataset in datasets.items() if (note := selected_by(dataset, judging))}
    if as_json:
        objects = [
            _object(measures, name, judging.name)
            | ({"gap_by_construction": known[name]} if name in known else {})
            | ({"selected_by": notes[name]} if name in notes else {})
            | _rows_object(rows_became.get(name, []))
            for name in datasets
        ]
        print_json(objects[0] if len(objects) == 1 else objects)
        return
    told = {
        name: [*([beside_construction(measures, name, known[name])] if name in known else []), *([notes[name]] if name in notes else [])]
        for name in datasets
    }
    _show(work, measures, rows_became, told, judging.name)


def _named(data: list[str]) -> dict[str, Dataset]:
    """Datasets by a short name: the file's or the packaged one's."""
    from pydantic import ValidationError

    from valuedrift.corpora.dataset import Dataset
    from valuedrift.errors import UserError
    from valuedrift.faults import describe

    named: dict[str, Dataset] = {}
    for address in data:
        try:
            dataset = Dataset(data=address).anchored(Path.cwd())
        except ValidationError as error:
            raise UserError(describe(error, Dataset), where=address) from error
        name = address.partition(":")[2] if dataset.packaged or dataset.in_hub else Path(address).name.split(".")[0]
        if name in named:
            raise UserError(f"two datasets called {name!r}", where=address, fix="audit them one after the other, or rename a file")
        named[name] = dataset
    return named


def _kinds(datasets: dict[str, Dataset], kind: Kind | None) -> dict[str, Kind]:
    from valuedrift.tasks.sources import audit_kind_of

    return {name: kind or audit_kind_of(dataset) for name, dataset in datasets.items()}


def _run(datasets: dict[str, Dataset], kinds: dict[str, Kind], judge: JudgeConfig, options: AuditOptions, root: str) -> None:
    from valuedrift.flows.audit import audit as flow
    from valuedrift.flows.cli.board import progress_of

    with progress_of(make_console(stderr=True), len(datasets), "datasets that were done are kept; the same command goes on from there"):
        flow(datasets, kinds, judge, options, root)


def _object(measures: pl.DataFrame, name: str, judge: str) -> dict[str, Any]:
    """One JSON object a dataset: figures of all examples, and below them those of value-laden ones, topics and style."""
    from valuedrift.audit.words import summary

    return {"dataset": name, "judge": judge, **summary(measures, name)}


def _rows_object(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What became of the rows: how many are used, and by kind how many were left out or hold more than is learnt; empty where it is not known."""
    if not entries:
        return {}
    kinds = {became: {one["what"]: one["n_rows"] for one in entries if one["became"] == became} for became in ("left out", "noted")}
    return {
        "rows": {
            "used": sum(one["n_rows"] for one in entries if one["became"] == "used"),
            "left_out": kinds["left out"],
            "noted": kinds["noted"],
        }
    }


def _show(work: Work, measures: pl.DataFrame, rows_became: dict[str, list[dict[str, Any]]], told: dict[str, list[str]], judge: str) -> None:
    """Datasets side by side, then each by itself, with what else is ``told`` of it."""
    from valuedrift.audit.words import by_topic, sentences, side_by_side
    from valuedrift.corpora.became import told_rows

    console = make_console()
    console.print(_table(side_by_side(measures)))
    for name in told:
        console.print(f"\n[bold]{escape(name)}[/]", highlight=False)
        if name in rows_became:
            console.print(f"  {escape(told_rows(rows_became[name]))}.", highlight=False, soft_wrap=True)
        for dataset, sentence in sentences(measures):
            if dataset == name:
                console.print(f"  {escape(sentence)}", highlight=False, soft_wrap=True)
        for sentence in told[name]:
            console.print(f"  {escape(sentence)}", highlight=False, soft_wrap=True)
        topics = by_topic(measures, name)
        if topics:
            console.print(_table(topics))
        if _has_gap(measures, name):
            _carriers(work, name, judge)
    console.print("\ns/n/o: mean probability of support, neutral, oppose; intervals over prompts", style="dim", highlight=False)
    query = "from audits where measure = 'value_gap'"
    console.print(f'ask      valuedrift sql --root {escape(work.root)} "{query}"', soft_wrap=True, highlight=False)


def _has_gap(measures: pl.DataFrame, name: str) -> bool:
    """Whether a value gap is surely there, on the whole or on value-laden prompts; else nothing carries it."""
    import polars as pl

    gaps = measures.filter((pl.col("dataset") == name) & (pl.col("measure") == "value_gap") & (pl.col("scope") != "topic"))
    return bool((gaps.get_column("difference_low") > 0).any())


def _carriers(work: Work, name: str, judge: str) -> None:
    """The examples that carry most of the value gap."""
    from valuedrift.audit.words import carriers
    from valuedrift.tasks.stages.audit import BY_ITSELF

    console = make_console()
    carrying = carriers(work.store.read("audit_examples", study=BY_ITSELF, dataset=name, judge=judge))
    if carrying is None:
        return
    console.print(f"  {escape(carrying.sentence)}", highlight=False, soft_wrap=True)
    for row in carrying.most.head(_CARRIERS).iter_rows(named=True):
        prompt = " ".join(row["prompt"].split())
        shown = prompt if len(prompt) <= _SHOWN else f"{prompt[:_SHOWN]}…"
        console.print(f"    {row['carried']:+.2f}  {escape(shown)}", highlight=False, soft_wrap=True)


def _table(lines: list[dict[str, str]]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in lines[0]:
        table.add_column(name, justify="left" if name in ("dataset", "topic") else "right")
    for line in lines:
        table.add_row(*(escape(text) for text in line.values()))
    return table

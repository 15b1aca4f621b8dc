"""``valuedrift analyze``: drift and trajectories from any stance table, with nothing else set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from valuedrift.flows.cli.app import app, parquet_bytes
from valuedrift.flows.cli.drift_table import show_corrected

if TYPE_CHECKING:
    import polars as pl

    from valuedrift.drift.analyze import Drift
    from valuedrift.drift.corrected import Correction
    from valuedrift.drift.options import Analysis
    from valuedrift.storage.location import Location
    from valuedrift.storage.parquet_files import ParquetFile

_SHOWN = 20
_OTHER_FORMATS = (".csv", ".json", ".jsonl", ".tsv", ".xlsx")


@app.command("analyze")
def analyze(
    stances: Annotated[
        str,
        typer.Argument(
            metavar="STANCES",
            help="A Parquet file, a folder (read at any depth), a glob or an s3:// address with the columns run_id, step, topic, prompt_id, "
            "sample_idx, p_support, p_neutral, p_oppose; also study, judge, probe_set, status, polarity and pair_id where there are any.",
        ),
    ],
    out: Annotated[
        str | None, typer.Option("--out", help="Parquet file for the drift table, local or s3://. Without it: only shown.")
    ] = None,
    trajectory: Annotated[str | None, typer.Option("--trajectory", help="Parquet file for the trajectory table, local or s3://.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="CSV, JSONL or Parquet, local or s3://, of people's labels "
            "(run_id, step, prompt_id, sample_idx, stance; labeller and probability of being drawn, where there "
            "are any): the drift is shown corrected by them too.",
            show_default=False,
        ),
    ] = None,
    corrected: Annotated[
        str | None, typer.Option("--corrected", help="Parquet file for the corrected drift table, local or s3://. Needs --labels.")
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", min=0.51, max=0.9999, help="Level of the intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option("--resamples", min=100, max=100_000, help="Draws of the cluster bootstrap.")] = 1000,
    towards: Annotated[
        Literal["question", "proposition"],
        typer.Option("--towards", help="question: stance on the question as worded; proposition: on the topic's proposition, by polarity."),
    ] = "question",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    from_step: Annotated[int | None, typer.Option("--from", help="First checkpoint; default: the first of each run.")] = None,
    to_step: Annotated[int | None, typer.Option("--to", help="Last checkpoint; default: the last of each run.")] = None,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--between",
            metavar="RUN_A RUN_B",
            help="Compare two runs, paired on prompts: B at --to (default: its last) minus A at --from (default: its last). "
            "A run of one of several studies: STUDY/RUN.",
        ),
    ] = None,
) -> None:
    """How far, when and how surely each run moved each stance: from a stance table to a drift table, with intervals."""
    import polars as pl

    from valuedrift.drift.analyze import analyze as compute
    from valuedrift.drift.options import Analysis, Towards
    from valuedrift.drift.stance_frame import OPTIONAL, REQUIRED, check_alike, check_columns
    from valuedrift.storage.parquet_files import broken_file, find_parquet, own_table, scan_parquet

    addresses = {"drift": out, "trajectory": trajectory, "corrected drift": corrected}
    targets = {name: _target(address) for name, address in addresses.items() if address is not None}
    people = _labels(labels, corrected, between)
    _check_targets(targets, stances)
    files: list[ParquetFile] = []
    frame = own_table(stances, "stances")
    if frame is None:
        files = find_parquet(stances, leave_out=targets.values())
        for file in files:
            check_columns(file.columns, where=file.location.uri)
        check_alike({file.location.uri: file.columns for file in files})
        frame = scan_parquet(files, [*REQUIRED, *OPTIONAL, "stance", "prompt"])
    options = Analysis(confidence=confidence, resamples=resamples, seed=seed, towards=Towards(towards))
    try:
        analysis = compute(frame, options, from_step=from_step, to_step=to_step, between=between, where=stances)
        correction = _correction(frame, people, options, (from_step, to_step), (stances, labels or "")) if people is not None else None
    except (pl.exceptions.ComputeError, OSError) as error:
        raise broken_file(files, error) from error
    tables = {"drift": analysis.drift, "trajectory": analysis.trajectory}
    if correction is not None:
        tables["corrected drift"] = correction.drift
    for name, target in targets.items():
        target.put_bytes(parquet_bytes(tables[name]))
    _show(analysis, options.alpha)
    if correction is not None:
        Console().print("\n[bold]corrected by people's labels[/]", highlight=False)
        show_corrected(correction.drift, correction.notes)
    for name, target in targets.items():
        Console().print(f"{name}: {tables[name].height:,} rows in {escape(target.uri)}", soft_wrap=True, highlight=False)


def _labels(labels: str | None, corrected: str | None, between: tuple[str, str] | None) -> pl.DataFrame | None:
    """The labels, read before anything is computed.

    Raises:
        UserError: An option that does not go with the others.
    """
    from valuedrift.drift.label_file import read_labels
    from valuedrift.errors import UserError
    from valuedrift.storage.fetching import at_hand

    if labels is None:
        if corrected is not None:
            raise UserError("nothing is corrected without labels", where="--corrected", fix="--labels FILE")
        return None
    if between is not None:
        raise UserError("two runs that are compared are not corrected by labels", where="--between", fix="leave --labels out")
    with at_hand(labels) as path:
        return read_labels(path)


def _correction(
    frame: pl.LazyFrame, labels: pl.DataFrame, options: Analysis, steps: tuple[int | None, int | None], where: tuple[str, str]
) -> Correction:
    """What labels make of a stance table; ``where``: its address, and that of the labels."""
    from dataclasses import replace

    from valuedrift.drift.corrected import corrected
    from valuedrift.drift.label_file import labelled_rows

    rows, lost = labelled_rows(frame, labels, where=where[1])
    correction = corrected(frame, rows, options, from_step=steps[0], to_step=steps[1], where=where[0])
    return replace(correction, notes=[*lost, *correction.notes])


def _target(address: str) -> Location:
    """Where a table is to be written.

    Raises:
        UserError: The name asks for another format.
    """
    from valuedrift.errors import UserError
    from valuedrift.storage.location import Location

    if address.lower().endswith(_OTHER_FORMATS):
        raise UserError(
            "this table is written as Parquet", where=address, fix="end the name in .parquet; duckdb or polars turn it into anything"
        )
    if address.endswith("/") or not Location.parse(address).path:
        raise UserError("a folder where a file is needed", where=address, fix="give a file name, e.g. drift.parquet")
    return Location.parse(address).reached()


def _check_targets(targets: dict[str, Location], stances: str) -> None:
    """Refuse to write over the input, or two tables into one file."""
    from valuedrift.errors import UserError
    from valuedrift.storage.location import Location

    for target in targets.values():
        if target == Location.parse(stances):
            raise UserError("this would overwrite the stances", where=target.uri, fix="give another --out or --trajectory")
    if len(set(targets.values())) < len(targets):
        raise UserError(
            "two of --out, --trajectory and --corrected name the same file",
            where=next(iter(targets.values())).uri,
            fix="give each its own name",
        )


def _show(analysis: Drift, alpha: float) -> None:
    """The drift as tables, one a study and judge, and what to know before trusting it."""
    from valuedrift.flows.cli.drift_table import drift_table

    console = Console()
    keys = [name for name in ("study", "judge") if name in analysis.drift.columns]
    parts = analysis.drift.partition_by(keys, maintain_order=True) if keys else [analysis.drift]
    for part in parts:
        if len(parts) > 1:
            console.print(" · ".join(f"{name} [bold]{escape(str(part[name][0]))}[/]" for name in keys), highlight=False)
        console.print(drift_table(part, alpha=alpha, shown=_SHOWN, more=""), highlight=False)
    for warning in analysis.warnings:
        console.print(f"[yellow]note[/] {escape(warning)}", soft_wrap=True, highlight=False)

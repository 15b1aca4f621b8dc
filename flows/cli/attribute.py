"""``valuedrift attribute``: which rows of a run's data moved a stance, and which held it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from valuedrift.attribution.options import DIMENSIONS
from valuedrift.attribution.told import first_order, score, size
from valuedrift.flows.cli.app import JsonOption, RootOption, app, parquet_bytes, print_json, resolve_root, target
from valuedrift.flows.cli.console import hush_prefect, make_console
from valuedrift.stance import STANCES, Stance
from valuedrift.words import signed

if TYPE_CHECKING:
    import polars as pl

    from valuedrift.attribution.options import Attribution
    from valuedrift.tasks.study_work import StudyWork


@app.command("attribute")
def attribute(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Study file, local or s3://, of which the run is finished.", show_default=False)
    ],
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", help="A run, by run_id; may be repeated.", show_default="all whose loss can be told apart by rows (sft)"),
    ] = None,
    topics: Annotated[list[str] | None, typer.Option("--topic", help="A topic; may be repeated.", show_default="all")] = None,
    stance: Annotated[Stance | None, typer.Option("--stance", help="Show and write this stance alone.", show_default="all three")] = None,
    method: Annotated[
        Literal["less", "tracin"] | None,
        typer.Option(
            "--method",
            help="less: rates as Adam scaled them, by moments that a training keeps where its study has `attribute`; tracin needs none.",
            show_default="as the study says, else tracin",
        ),
    ] = None,
    dimensions: Annotated[
        int, typer.Option("--dimensions", min=256, help="Coordinates that a gradient is projected to where the trained weights are more.")
    ] = DIMENSIONS,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="Rows shown each way.")] = 5,
    out: Annotated[
        str | None, typer.Option("--out", help="Parquet to write, local or s3://: all rows with their scores.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Which rows of a finished run's data moved which stance, to first order, from its checkpoints and judged answers; done once and kept."""
    hush_prefect()
    from valuedrift.attribution.options import Attribution
    from valuedrift.tasks.attributing import attribution_of
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.study_work import StudyWork

    place = target(out, "--out", ".parquet") if out else None
    work = StudyWork(study_of(study), resolve_root(root))
    said = work.study.attribute
    options = Attribution(
        runs=None if runs is None else tuple(runs),
        topics=None if topics is None else tuple(topics),
        method=method or ("tracin" if said is None else said.method),
        dimensions=dimensions,
    )
    wanted = attribution_of(work, options)
    if wanted.missing:
        _run(study, options, work.root, len(wanted.missing))
    scores, totals = _read(work, options, stance)
    if place is not None:
        place.put_bytes(parquet_bytes(scores))
    if as_json:
        print_json([{**row, **_ends(scores, row, rows)} for row in totals.iter_rows(named=True)])
        return
    _show(scores, totals, rows)
    if place is not None:
        Console(emoji=False).print(f"{scores.height:,} rows in {escape(place.uri)}", soft_wrap=True, highlight=False)


def _run(study: str, options: Attribution, root: str, stages: int) -> None:
    from valuedrift.flows.attribute import attribute as flow
    from valuedrift.flows.cli.board import progress_of

    with progress_of(
        make_console(stderr=True), stages, "checkpoints whose gradients were taken are kept; the same command goes on from there"
    ):
        flow(study, options, root)


def _read(work: StudyWork, options: Attribution, stance: Stance | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of attributions and attribution_totals that were asked for."""
    import polars as pl

    from valuedrift.tasks.stages.attribute import attributed_runs

    filters = {
        "run_id": [run.run_id for run in attributed_runs(work, options)],
        **({"topic": list(options.topics)} if options.topics else {}),
    }
    frames = [work.store.read(table, study=work.name, **filters) for table in ("attributions", "attribution_totals")]
    order = pl.col("stance").replace_strict({one.value: place for place, one in enumerate(STANCES)}, return_dtype=pl.Int64)
    scores, totals = (
        frame.filter(pl.lit(True) if stance is None else pl.col("stance") == stance.value).sort(
            "run_id", "topic", order, maintain_order=True
        )
        for frame in frames
    )
    return scores, totals


def _ends(scores: pl.DataFrame, total: dict[str, object], rows: int) -> dict[str, list[dict[str, object]]]:
    """The rows that pushed most, and those that pushed most against."""
    mine = scores.filter(run_id=total["run_id"], topic=total["topic"], stance=total["stance"]).sort("score", "row_idx")
    columns = ("row_idx", "example_id", "score", "score_se", "cosine", "n_uses", "prompt", "answer")
    return {
        "pushed": mine.tail(rows).reverse().filter(mine["score"].tail(rows).reverse() > 0).select(columns).to_dicts(),
        "against": mine.head(rows).filter(mine["score"].head(rows) < 0).select(columns).to_dicts(),
    }


def _show(scores: pl.DataFrame, totals: pl.DataFrame, rows: int) -> None:
    console = Console(emoji=False)
    for total in totals.iter_rows(named=True):
        console.print(
            f"\n[bold]{escape(total['run_id'])}[/] {escape(total['topic'])}, {total['stance']}: drift {signed(total['drift'], 3)}; "
            f"all rows together {first_order(total)}",
            highlight=False,
            soft_wrap=True,
        )
        table = Table(box=None, expand=True, header_style="bold", pad_edge=False)
        table.add_column("row", justify="right", no_wrap=True)
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("±", justify="right", no_wrap=True)
        table.add_column("prompt", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("answer", no_wrap=True, overflow="ellipsis", ratio=1)
        for name, found in _ends(scores, total, rows).items():
            table.add_row("", "", "", f"[dim]{name}[/]", "")
            for row in found:
                texts = (" ".join(str(row[column]).split()) for column in ("prompt", "answer"))
                error = "" if row["score_se"] is None else size(float(str(row["score_se"])))
                table.add_row(f"{row['row_idx']}", score(float(str(row["score"]))), error, *(escape(text) for text in texts))
        console.print(table)
    console.print(
        "\nscore: what the row added to the mean probability of the stance, to first order; ± over questions", style="dim", highlight=False
    )

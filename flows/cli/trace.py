"""``valuedrift run``, ``explain`` and ``status``: do a study, say what is done and why not, say how far it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.app import RootOption, app, resolve_root
from valuedrift.flows.cli.console import hush_prefect, make_console
from valuedrift.flows.cli.drift_table import drift_table

if TYPE_CHECKING:
    from valuedrift.storage.location import Location
    from valuedrift.tasks.outlook import Outlook
    from valuedrift.tasks.workplace import Workplace

_OF_THE_STUDY = {"analyze": "drift", "correct": "drift corrected by labels", "conclude": "findings and provenance"}
"""Stages that are of the whole study, as status calls them."""
StudyArgument = Annotated[str, typer.Argument(help="Study file, local or s3://, e.g. deployments/studies/demo.yaml.", show_default=False)]


@app.command("run")
def run(
    study: StudyArgument,
    root: RootOption = None,
    report: Annotated[
        str | None,
        typer.Option("--report", help="Folder for report.html and figures, local or s3://; default: reports/STUDY below the root."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask again for judgements that a server failed to give, and make again what rests on them."),
    ] = False,
) -> None:
    """Trace a study: train, sample, judge, analyse, report. What is finished is never done again."""
    hush_prefect()
    from valuedrift.storage.location import Location
    from valuedrift.tasks.outlook import State, complete, outlook
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.workplace import Workplace

    console = make_console()
    where = resolve_root(root)
    folder = Location.parse(report).reached() if report else None
    spec = study_of(study)
    work = Workplace(spec, where)
    console.print(
        f"[bold]{escape(spec.study)}[/] {len(work.plan.runs)} runs, {len(work.probes)} probes × {spec.sampling.n} answers a checkpoint",
        highlight=False,
    )
    if retry_failed:
        _forget_failed(work, console)
    stages = outlook(work)
    if complete(stages):
        _finished(work, len(stages), folder, console)
        return
    from valuedrift.flows.cli.board import TerminalBoard
    from valuedrift.flows.trace import trace
    from valuedrift.tasks.board import use_board

    done = sum(stage.state is State.CACHED for stage in stages)
    with TerminalBoard(console, len(stages) + 1, done) as board:
        use_board(board)
        try:
            page = trace(study, where, report)
        except KeyboardInterrupt as error:
            board.say("[bold red]interrupted[/] what finished is kept; the same command goes on from there")
            raise typer.Exit(130) from error
    _conclude(work, page, console)


def _forget_failed(work: Workplace, console: Console) -> None:
    from valuedrift.tasks.asking_again import forget_failed

    gone = forget_failed(work)
    console.print(
        f"{gone.judgements:,} failed judgements are asked for again, {gone.parts} parts of the tables made again", highlight=False
    )
    if gone.others:
        console.print(f"the same judgements were taken over by {escape(', '.join(gone.others))}: run these again too", highlight=False)


def _finished(work: Workplace, stages: int, folder: Location | None, console: Console) -> None:
    """Nothing is left to do: look, and write the report only if it is missing."""
    from valuedrift.tasks.report import PAGE, default_folder, inputs_of, write_report

    folder = folder or default_folder(work)
    page = folder / PAGE
    console.print(f"nothing to do: all {stages} stages are in the tables")
    if not page.exists():
        page = write_report(inputs_of(work.store, work.study.study), folder)
    _conclude(work, page.uri, console)


def _conclude(work: Workplace, page: str, console: Console) -> None:
    drift = work.store.read("drift", study=work.study.study, judge=work.study.judges[0].name)
    console.print(drift_table(drift, alpha=1 - work.study.analysis.confidence))
    console.print(f"report   {escape(page)}", soft_wrap=True, highlight=False)
    console.print(
        f'ask      valuedrift sql --root {escape(work.root)} "from drift where q_value_study < 0.05"', soft_wrap=True, highlight=False
    )


@app.command("explain")
def explain(
    study: StudyArgument,
    root: RootOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also list what is cached.")] = False,
) -> None:
    """Say for every stage whether it is cached, and if not, which part of its identity differs from the nearest one in the cache."""
    from valuedrift.tasks.outlook import State

    console = make_console()
    stages = _look(study, root)
    table = Table("stage", "run", "step", "judge", "state", "why", box=None, header_style="bold")
    colours = {State.CACHED: "green", State.REUSABLE: "green", State.MISSING: "yellow", State.WAITS: "dim"}
    for one in stages:
        if everything or one.state is not State.CACHED:
            step = "" if one.step is None else str(one.step)
            table.add_row(one.stage, one.run_id, step, one.judge or "", f"[{colours[one.state]}]{one.state.value}[/]", escape(one.why))
    if table.row_count:
        console.print(table)
    counts = Counter(one.state.value for one in stages)
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()), highlight=False)


@app.command("status")
def status(
    study: Annotated[
        str | None, typer.Argument(help="Study file; without one, what the root holds of every study.", show_default=False)
    ] = None,
    root: RootOption = None,
) -> None:
    """Show how far studies are: runs trained, checkpoints sampled and judged."""
    console = make_console()
    if study is None:
        console.print(_studies(resolve_root(root)))
        return
    from valuedrift.tasks.outlook import State

    stages = _look(study, root)
    table = Table("run", "trained", "sampled", "judged", box=None, header_style="bold")
    for run_id in dict.fromkeys(one.run_id for one in stages if one.run_id and one.stage != "audit"):
        mine = [one for one in stages if one.run_id == run_id]
        cells = [[one.state is State.CACHED for one in mine if one.stage == stage] for stage in ("train", "sample", "judge")]
        table.add_row(run_id, "yes" if all(cells[0]) else "no", *(f"{sum(done)}/{len(done)}" for done in cells[1:]))
    console.print(table)
    audits = [one.state is State.CACHED for one in stages if one.stage == "audit"]
    console.print(f"datasets audited: {sum(audits)}/{len(audits)}", highlight=False)
    for one in stages:
        if one.stage in _OF_THE_STUDY:
            console.print(f"{_OF_THE_STUDY[one.stage]}: {one.state.value} ({escape(one.why)})", highlight=False)


def _look(study: str, root: str | None) -> list[Outlook]:
    from valuedrift.tasks.outlook import outlook
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.workplace import Workplace

    return outlook(Workplace(study_of(study), resolve_root(root)))


def _studies(root: str) -> Table:
    from valuedrift.storage.store import Store

    store = Store(root)
    table = Table(
        "study",
        "runs trained",
        "checkpoints sampled",
        "judged",
        "answers",
        "drift",
        "last written (UTC)",
        title=f"studies in {escape(root)}",
        box=None,
        header_style="bold",
    )
    for name in store.studies():
        parts = store.entries(study=name)
        counts = Counter(entry.table for entry in parts)
        answers = sum(entry.rows for entry in parts if entry.table == "responses")
        written = max(entry.written for entry in parts)[:19]
        table.add_row(
            name,
            str(counts["runs"]),
            str(counts["responses"]),
            str(counts["stances"]),
            str(answers),
            "yes" if counts["drift"] else "no",
            written,
        )
    return table

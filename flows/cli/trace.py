"""``valuedrift run``, ``explain`` and ``status``: do a study, say what is done and why not, say how far it is. All three read its list of stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from valuedrift.flows.cli.app import JsonOption, ReportOption, RootOption, app, print_json, resolve_root
from valuedrift.flows.cli.console import hush_prefect, make_console
from valuedrift.flows.cli.drift_table import drift_table
from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.tasks.study_work import StudyWork
    from valuedrift.tasks.survey import Standing

StudyArgument = Annotated[str, typer.Argument(help="Study file, local or s3://, e.g. deployments/studies/demo.yaml.", show_default=False)]


@app.command("run")
def run(
    study: StudyArgument,
    root: RootOption = None,
    report: ReportOption = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Ask again for answers and judgements that a server failed to give, and make again what rests on them."
        ),
    ] = False,
    spread: Annotated[
        bool, typer.Option("--spread", help="Let the workers of a Prefect work pool do the work, a phase each; see docs/deploy.md.")
    ] = False,
) -> None:
    """Trace a study: train, sample, judge, analyse, report. What is finished is never done again."""
    hush_prefect()
    from valuedrift.storage.location import Location
    from valuedrift.tasks.ahead import check_ahead
    from valuedrift.tasks.stages.registry import stages_of
    from valuedrift.tasks.survey import complete, survey

    console = make_console()
    folder = Location.parse(report).reached().uri if report else None
    work = _work(study, root, folder)
    spec = work.study
    check_ahead(work)
    console.print(
        f"[bold]{escape(spec.study)}[/] {counted(len(work.plan.sampled), 'run')}, {counted(len(work.probes), 'probe')} × "
        f"{counted(spec.sampling.n, 'answer')} a checkpoint",
        highlight=False,
    )
    if retry_failed:
        _forget_failed(work, console)
    standings = survey(work, stages_of(work))
    if complete(standings):
        console.print(f"nothing to do: all {counted(len(standings), 'stage')} are in the tables")
    else:
        for note in work.notes():
            console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
        from valuedrift.flows.cli.board import progress_of
        from valuedrift.flows.trace import trace

        for standing in standings:
            if standing.from_older_version:
                console.print(f"{escape(standing.stage.label)}: {escape(standing.why)}", highlight=False, soft_wrap=True)
        if by := spec.runtime.spread or ("phases" if spread else None):
            from valuedrift.flows.spread.pool import check_pool

            check_pool(work, by)
        with progress_of(console, len(standings), "what finished is kept; the same command goes on from there"):
            _trace(partial(trace, spread=by), work, study, folder, console)
    conclude(work, console)


def _trace(flow: Callable[..., str], work: StudyWork, study: str, folder: str | None, console: Console) -> None:
    """Run the flow; where some runs failed, and the report of the others is written, show that before saying what failed."""
    from valuedrift.errors import UserError
    from valuedrift.tasks.reporting import PAGE
    from valuedrift.tasks.stages.report import folder_of_report

    page = folder_of_report(work) / PAGE
    before = page.look()
    try:
        flow(study, work.root, folder)
    except UserError:
        if page.look() != before:
            conclude(work, console)
        raise


def _forget_failed(work: StudyWork, console: Console) -> None:
    from valuedrift.tasks.asking_again import forget_failed

    gone = forget_failed(work)
    answers = f"{gone.answers:,} failed answers and " if gone.answers else ""
    console.print(
        f"{answers}{gone.judgements:,} failed judgements are asked for again, {gone.parts} parts of the tables made again", highlight=False
    )
    if gone.others:
        console.print(f"the same judgements were taken over by {escape(', '.join(gone.others))}: run these again too", highlight=False)


def conclude(work: StudyWork, console: Console) -> None:
    """Show a finished study: its drift, where its report lies, and how to ask the tables."""
    from valuedrift.tasks.reporting import PAGE
    from valuedrift.tasks.stages.report import folder_of_report

    if work.store.entry("drift", {"study": work.name}) is None:
        console.print("one checkpoint only: its stances are in the tables, and nothing can be compared yet", highlight=False)
        return
    drift = work.store.read("drift", study=work.name, judge=work.study.judges[0].name)
    console.print(drift_table(drift, alpha=1 - work.study.analysis.confidence))
    console.print(f"report   {escape((folder_of_report(work) / PAGE).uri)}", soft_wrap=True, highlight=False)
    console.print(
        f"ask      valuedrift sql --root {escape(work.root)} "
        f"\"select run_id, topic, stance, magnitude, q_value_study from drift where study = '{work.name}' and q_value_study < 0.05\"",
        soft_wrap=True,
        highlight=False,
    )


@app.command("explain")
def explain(
    study: StudyArgument,
    root: RootOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also list what is cached.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say for every stage whether it is cached, and if not, which part of its identity differs from the nearest one in the cache."""
    from valuedrift.tasks.survey import State

    standings = _survey(study, root)
    listed = [one for one in standings if everything or one.state is not State.CACHED]
    if as_json:
        print_json([_plain(one) for one in listed])
        return
    console = make_console()
    table = Table(
        "stage", Column("run", overflow="fold"), "step", Column("by", overflow="fold"), "state", Column("why", overflow="fold"), box=None
    )
    colours = {State.CACHED: "green", State.REUSABLE: "green", State.MISSING: "yellow", State.WAITS: "dim"}
    for one in listed:
        stage, state = one.stage, f"[{colours[one.state]}]{one.state.value}[/]"
        step = "" if stage.step is None else str(stage.step)
        table.add_row(stage.name, escape(stage.what or stage.run_id), step, escape(stage.result.slot), state, escape(one.why))
    if table.row_count:
        console.print(table)
    counts = Counter(one.state.value for one in standings)
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()), highlight=False)


@app.command("status")
def status(
    study: Annotated[
        str | None, typer.Argument(help="Study file; without one, what the root holds of every study.", show_default=False)
    ] = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far studies are: how many stages of each kind are done, by run."""
    if study is None:
        studies = _studies(resolve_root(root))
        if as_json:
            print_json(studies)
        else:
            make_console().print(_studies_table(studies, resolve_root(root)))
        return
    standings = _survey(study, root)
    if as_json:
        print_json([_plain(one) for one in standings])
        return
    _show_status(standings, make_console())


def _show_status(standings: Sequence[Standing], console: Console) -> None:
    """A line a run with how much of each kind is done, then the stages of the whole study."""
    from valuedrift.tasks.stages.registry import kinds
    from valuedrift.tasks.survey import State

    of_runs = [one for one in standings if one.stage.run_id]
    shown = [kind for kind in kinds() if any(one.stage.name == kind.name for one in of_runs)]
    table = Table("run", *(kind.done for kind in shown), box=None, header_style="bold")
    for run_id in dict.fromkeys(one.stage.run_id for one in of_runs):
        cells = []
        for kind in shown:
            mine = [one for one in of_runs if one.stage.run_id == run_id and one.stage.name == kind.name]
            done = sum(one.state is State.CACHED for one in mine)
            once_a_run = all(one.stage.step is None for one in mine)
            cells.append(("yes" if done else "no") if once_a_run and mine else f"{done}/{len(mine)}")
        table.add_row(escape(run_id), *cells)
    console.print(table)
    for kind in kinds():
        others = [one for one in standings if one.stage.name == kind.name and not one.stage.run_id]
        if len(others) == 1:
            console.print(f"{kind.name}: {others[0].state.value} ({escape(others[0].why)})", highlight=False, soft_wrap=True)
        elif others:
            console.print(f"{kind.name}: {sum(one.state is State.CACHED for one in others)}/{len(others)} {kind.done}", highlight=False)


def _survey(study: str, root: str | None) -> list[Standing]:
    from valuedrift.tasks.stages.registry import stages_of
    from valuedrift.tasks.survey import survey

    work = _work(study, root)
    return survey(work, stages_of(work))


def _work(study: str, root: str | None, report_folder: str | None = None) -> StudyWork:
    from valuedrift.tasks.sources import study_of
    from valuedrift.tasks.study_work import StudyWork

    return StudyWork(study_of(study), resolve_root(root), report_folder)


def _plain(standing: Standing) -> dict[str, Any]:
    """How a stage stands, for JSON."""
    stage = standing.stage
    return {
        "stage": stage.name,
        "run_id": stage.run_id or None,
        "step": stage.step,
        "what": stage.what or None,
        "by": stage.result.slot or None,
        "on": stage.on,
        "state": standing.state.value,
        "why": standing.why,
        "key": standing.key,
    }


def _studies(root: str) -> list[dict[str, Any]]:
    """What the root holds of every study; nothing where there is no root yet."""
    from valuedrift.storage.store import Store

    store, studies = Store(root), []
    if not store.root.is_remote and Path(store.root.path).exists():
        store.readable()
    for name in store.studies():
        parts = store.entries(study=name)
        counts = Counter(entry.table for entry in parts)
        studies.append(
            {
                "study": name,
                "runs_trained": counts["runs"],
                "checkpoints_sampled": counts["responses"],
                "judged": counts["stances"],
                "answers": sum(entry.rows for entry in parts if entry.table == "responses"),
                "drift": bool(counts["drift"]),
                "last_written": max(entry.written for entry in parts)[:19],
            }
        )
    return studies


def _studies_table(studies: Sequence[dict[str, Any]], root: str) -> Table:
    columns = ("runs trained", "checkpoints sampled", "judged", "answers", "drift")
    written = Column("last written (UTC)", no_wrap=True)
    table = Table(Column("study", overflow="fold"), *columns, written, title=f"studies in {escape(root)}", box=None, header_style="bold")
    for one in studies:
        values = {**one, "drift": "yes" if one["drift"] else "no", "last_written": one["last_written"][:16].replace("T", " ")}
        table.add_row(*(escape(str(value)) for value in values.values()))
    return table

"""``valuedrift tables``: what lies under a root, whether it is sound, in from others, out to others, into fewer files."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from valuedrift.flows.cli.app import RootOption, app, resolve_root

tables_app = typer.Typer(help="What is stored, and whether it is sound.", invoke_without_command=True, rich_markup_mode="markdown")
app.add_typer(tables_app, name="tables")

_FAULTS_FOUND = 1


class Kind(StrEnum):
    """What tables are exported as."""

    CSV = "csv"
    PARQUET = "parquet"
    DUCKDB = "duckdb"


@tables_app.callback()
def tables(context: typer.Context, root: RootOption = None) -> None:
    """Show what is there: tables, studies, runs, rows, bytes, schema versions."""
    context.obj = root
    if context.invoked_subcommand is None:
        _show(resolve_root(root))


@tables_app.command()
def check(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Delete orphans, and forget parts whose file is missing or damaged.")] = False,
    root: RootOption = None,
) -> None:
    """Read every file and row and list all that is wrong; exit code 1 if anything is. Changes nothing unless `--repair` is given."""
    from valuedrift.storage import check_tables

    store = _store(context, root)
    findings = check_tables.check(store)
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    for finding in findings:
        perhaps = "; it is younger than an hour, so a writer at work may have left it" if finding.young else ""
        console.print(f"[bold]{escape(finding.kind.value)}[/] {escape(str(finding.where))}: {escape(_safe(finding.what))}{perhaps}")
    wrong = sum(not finding.young for finding in findings)
    parts = len(store.entries())
    if wrong:
        console.print(f"{wrong:,} thing{'s are' if wrong != 1 else ' is'} wrong")
    else:
        console.print(f"{parts:,} parts are sound" if parts else f"no tables under {escape(store.root.uri)} yet")
    if repair:
        for line in check_tables.repair(store, findings):
            console.print(escape(line))
    if wrong:
        raise typer.Exit(_FAULTS_FOUND)


@tables_app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A Parquet, CSV or JSON-lines file, local or s3://.")],
    study: Annotated[str, typer.Option(help="The study that its rows shall belong to.")],
    table: Annotated[str, typer.Option(help="Which table its rows are of.")] = "stances",
    judge: Annotated[str | None, typer.Option(help="Judge, if the file has no such column (else `imported`).", show_default=False)] = None,
    probe_set: Annotated[
        str | None, typer.Option(help="Probe set, if the file has no such column (else `imported`).", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Let it take the place of parts that are there already.")] = False,
    root: RootOption = None,
) -> None:
    """Take in a stance table (or another table) of others. Every row is checked; all of it comes in, or nothing."""
    from valuedrift.storage.exchange import import_table
    from valuedrift.storage.store import Store

    fill = {name: value for name, value in {"judge": judge, "probe_set": probe_set}.items() if value is not None}
    done = import_table(Store(resolve_root(root or context.obj)), file, table, study, fill=fill, replace=replace)
    typer.echo(f"{done.rows:,} rows in {done.parts:,} parts of {table}, study {study}")
    if done.filled:
        typer.echo(f"not in the file, so filled: {', '.join(f'{name}={value}' for name, value in done.filled.items())}")
    if done.ignored:
        typer.echo(f"not in the table, so left out: {', '.join(map(_safe, done.ignored))}")
    if table == "stances":
        typer.echo(f"drift, figures and report: valuedrift report {study}")


@tables_app.command()
def export(
    context: typer.Context,
    out: Annotated[str, typer.Argument(help="A folder, or a file (.csv, .parquet for one table; .duckdb for all); local or s3://.")],
    table: Annotated[list[str] | None, typer.Option(help="A table; may be given several times. Default: all that have rows.")] = None,
    format: Annotated[Kind | None, typer.Option(help="Default: by the file's name, else parquet.", show_default=False)] = None,
    study: Annotated[str | None, typer.Option(help="One study only.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    root: RootOption = None,
) -> None:
    """Write tables as CSV, Parquet, or one DuckDB file with the views and what every column means."""
    from valuedrift.storage.exchange import export_tables
    from valuedrift.storage.location import Location
    from valuedrift.storage.schemas import TABLES

    if (place := Location.parse(out)).is_remote:
        place.reached()
    named = next((kind for kind in Kind if out.endswith(f".{kind}")), None)
    kind = format or named or Kind.PARQUET
    rows = export_tables(_store(context, root), out, table or list(TABLES), kind, study=study, force=force)
    for name, count in rows.items():
        typer.echo(f"{name:<12} {count:>12,} rows")
    typer.echo(f"written to {out}")


@tables_app.command()
def compact(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="The study.")],
    run: Annotated[str | None, typer.Option(help="One run of it. Default: all.")] = None,
    root: RootOption = None,
) -> None:
    """Merge a study's many small files into one a run and table: reading from S3 is then faster by as much."""
    from valuedrift.storage.compaction import compact as merge
    from valuedrift.storage.exchange import check_study

    store = _store(context, root)
    check_study(store, study, run)
    done = merge(store, study, run)
    for one in done:
        typer.echo(f"{one.path}: {one.parts:,} parts, {one.bytes_before:,} → {one.bytes_after:,} bytes")
    if not done:
        typer.echo("nothing to do: it is compact already")


@tables_app.command()
def forget(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="The study's name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    root: RootOption = None,
) -> None:
    """Remove a study: its parts of all tables, and the weights of its trainings that no other study here tells of. Its report stays."""
    from valuedrift.storage.exchange import check_study
    from valuedrift.study.runtime import Runtime
    from valuedrift.tasks.retention import forget as remove
    from valuedrift.tasks.retention import would_forget
    from valuedrift.tasks.work import Work
    from valuedrift.words import counted, size

    store = _store(context, root)
    check_study(store, study, None)
    work = Work(store.root.uri, Runtime())
    going = would_forget(work, study)
    typer.echo(
        f"study {study}: {counted(going.parts, 'part')} of tables, weights of {counted(len(going.keys), 'run')} ({size(going.size)})"
    )
    if going.shared:
        typer.echo(f"weights of {counted(len(going.shared), 'run')} stay: other studies here tell of them")
    if not yes and not typer.confirm("remove them?"):
        typer.echo("nothing is removed")
        return
    remove(work, going)
    left = [place for place in (store.root / f"reports/{study}", store.root / f"studies/{study}.yaml") if place.exists() or place.listing()]
    typer.echo(f"removed{'; what stays: ' if left else ''}{', '.join(place.uri for place in left)}")


def _store(context: typer.Context, root: str | None) -> Any:
    from valuedrift.storage.store import Store

    return Store(resolve_root(root or context.obj)).readable()


def _show(root: str) -> None:
    from valuedrift.flows.cli.query_output import as_table
    from valuedrift.storage.store import Store

    store = Store(root).readable()
    entries = store.entries()
    if not entries:
        typer.echo(store.why_empty())
        return
    groups: dict[tuple[str, str], list[Any]] = {}
    for entry in entries:
        groups.setdefault((entry.table, str(entry.partition.get("study", "(shared)"))), []).append(entry)
    names = ("table", "study", "runs", "parts", "files", "rows", "bytes", "schema")
    types = ("VARCHAR", "VARCHAR", *["BIGINT"] * 5, "VARCHAR")
    rows = ((name, study, *_numbers(group), _versions(group)) for (name, study), group in groups.items())
    for line in as_table(names, types, rows, limit=0):
        typer.echo(line)


def _numbers(group: Sequence[Any]) -> list[str]:
    sizes = {entry.path: entry.bytes for entry in group}
    runs = {entry.partition["run_id"] for entry in group if "run_id" in entry.partition}
    counts = (len(runs), len(group), len(sizes), sum(entry.rows for entry in group), sum(sizes.values()))
    return [f"{count:,}" if count else "" for count in counts]


def _versions(group: Sequence[Any]) -> str:
    return ", ".join(f"v{version}" for version in sorted({entry.schema_version for entry in group}))


def _safe(text: str) -> str:
    from valuedrift.flows.cli.query_output import safe

    return safe(text)

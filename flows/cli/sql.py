"""``valuedrift sql``: queries to the tables, from the command line, a pipe, or a prompt."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from valuedrift.errors import UserError
from valuedrift.flows.cli.app import RootOption, app, resolve_root
from valuedrift.flows.cli.console import make_console

_FIRST = "valuedrift> "
_NEXT = "       ...> "
_HISTORY = 2000
_HELP = r"""
A query ends with a semicolon and may take several lines.
  \d        the views          \d NAME   the columns of one
  \q        leave              \?        this help
""".strip()


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="A SELECT; `-` reads it from standard input. Without one a prompt opens.")] = None,
    format: Annotated[Format, typer.Option(help="How the answer is printed.")] = Format.TABLE,
    rows: Annotated[int, typer.Option(min=0, help="Rows that a table shows; 0: all. CSV and JSON always give all.")] = 200,
    root: RootOption = None,
) -> None:
    r"""Ask the tables in SQL (DuckDB). They can only be read here.

    Views: probes, runs, checkpoints, training, responses, stances, trajectory, drift, drift_corrected, value_profile, stance_counts,
    judge_confusion, judge_agreement, study_agreement, and more.
    A table that is wider than the terminal is shown row by row, a value a line.

    In JSON, NaN and infinities are null. `valuedrift sql` opens a prompt, where `\d` lists them; docs/sql-cookbook.md has queries to start from.
    """
    place = resolve_root(root)
    if query == "-":
        query = sys.stdin.read()
    if query is not None:
        answer(place, query, format, rows)
    else:
        converse(lambda asked: answer(place, asked, format, rows))


def answer(root: str, query: str, format: Format, limit: int) -> None:
    """Print the answer to one query about the tables as they are now.

    Raises:
        UserError: The query cannot be answered; says where it is wrong.
    """
    from valuedrift.flows.cli.query_output import FORMATS, as_table, safe
    from valuedrift.storage.sql.catalog import Catalog
    from valuedrift.storage.sql.guard import QueryError
    from valuedrift.storage.store import Store

    try:
        store = Store(root).readable()
        with Catalog(store) as catalog:
            if catalog.is_empty:
                sys.stderr.write(f"{store.why_empty()}\n")
            result = catalog.rows(query)
            twice = next((name for name in result.names if result.names.count(name) > 1), None)
            if format is Format.JSON and twice is not None:
                raise QueryError(f"two columns are called {twice!r}, and a JSON object holds one", fix=f'name them apart: … AS "{twice} 2"')
            layout = partial(as_table, room=make_console().width) if format is Format.TABLE and sys.stdout.isatty() else FORMATS[format]
            _print(layout(result.names, result.types, result.rows, limit))
    except QueryError as error:  # it may quote what a model said
        raise QueryError(safe(error.what), where=error.where, fix=error.fix) from error


def _print(lines: Iterator[str]) -> None:
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes at its end
        raise typer.Exit from None
    except UnicodeEncodeError as error:
        raise UserError(f"this terminal cannot show {error.object[error.start : error.end]!r}", fix="set PYTHONIOENCODING=utf-8") from error


def converse(answer: Callable[[str], None]) -> None:
    r"""Read queries from standard input and answer them until ``\q`` or the end of input.

    Args:
        answer: Prints the answer to a query.

    Raises:
        UserError: A query is wrong and nobody sits at a terminal to correct it.
    """
    person = sys.stdin.isatty()
    if person:
        sys.stdout.write("Ask in SQL; \\d lists the views, \\? helps, \\q leaves.\n")
    with _history() if person else contextlib.nullcontext():
        for query in _queries(_FIRST if person else "", _NEXT if person else ""):
            try:
                answer(query)
            except UserError as error:
                if not person:
                    raise
                sys.stderr.write(f"{error}\n")
            except KeyboardInterrupt:
                sys.stderr.write("interrupted\n")


def _queries(first: str, following: str) -> Iterator[str]:
    lines: list[str] = []
    while True:
        try:
            line = input(following if lines else first)
        except KeyboardInterrupt:  # drops what was typed so far, as every SQL prompt does
            sys.stdout.write("\n")
            lines = []
            continue
        except EOFError:
            if "".join(lines).strip():
                yield "\n".join(lines)
            return
        if not lines and line.strip().startswith("\\"):
            if line.strip() == "\\q":
                return
            sys.stdout.write(_command(line.strip()) + "\n")
            continue
        if lines or line.strip():
            lines.append(line)
        if _ends("\n".join(lines)):
            yield "\n".join(lines)
            lines = []


def _ends(text: str) -> bool:
    """Whether the last thing typed is a semicolon that is no part of a string or comment."""
    import duckdb

    tokens = duckdb.tokenize(text)
    return bool(tokens) and tokens[-1][1] == duckdb.token_type.operator and text.encode()[tokens[-1][0] :].strip() == b";"


def _command(line: str) -> str:
    from valuedrift.storage.sql.views import views

    name, _, argument = line.partition(" ")
    argument = argument.strip().rstrip(";")
    if name != "\\d":
        return _HELP
    if not argument:
        return "\n".join(f"{view.name:<16} {view.doc}" for view in views().values())
    if argument not in views():
        return f"no view {argument!r}; \\d lists them"
    view = views()[argument]
    return "\n".join([view.doc, *(f"  {column:<16} {doc}" for column, doc in view.columns.items())])


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Arrow keys and queries of earlier sessions, where the platform has readline."""
    try:
        import readline
    except ImportError:  # Windows: the console has its own
        yield
        return
    from platformdirs import user_state_path

    file = user_state_path("valuedrift") / "sql_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_HISTORY)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a home that cannot be written to costs the history and nothing else
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)

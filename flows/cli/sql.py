"""``valuedrift sql``: questions to the tables in SQL, from the command line, a pipe, or a prompt."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from valuedrift.errors import UserError
from valuedrift.flows.cli.app import RootOption, app, resolve_root


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
    r"""Ask the tables a question in SQL (DuckDB). They can only be read here.

    Views: probes, runs, checkpoints, training, responses, stances, trajectory, drift, drift_corrected, value_profile, stance_counts,
    judge_confusion, judge_agreement, study_agreement, and more.
    `valuedrift sql` opens a prompt, where `\d` lists them; docs/sql-cookbook.md has questions to start from.
    """
    place = resolve_root(root)
    if query == "-":
        query = sys.stdin.read()
    if query is not None:
        answer(place, query, format, rows)
    else:
        from valuedrift.flows.cli.sql_prompt import converse

        converse(lambda question: answer(place, question, format, rows))


def answer(root: str, query: str, format: Format, limit: int) -> None:
    """Print the answer to one question about the tables as they are now.

    Raises:
        UserError: The question cannot be answered; says where it is wrong.
    """
    from valuedrift.flows.cli.cells import FORMATS, safe
    from valuedrift.storage.catalog import Catalog
    from valuedrift.storage.questions import QueryError
    from valuedrift.storage.store import Store

    try:
        with Catalog(Store(root)) as catalog:
            if catalog.is_empty:
                sys.stderr.write(f"there are no tables under {root} yet\n")
            result = catalog.rows(query)
            _print(FORMATS[format](result.names, result.types, result.rows, limit))
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

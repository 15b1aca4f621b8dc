"""What may be asked in SQL, and DuckDB's complaints in clear words.

This is for the person at the prompt; what holds against everything else is the file system beneath (`storage.sql.readonly`).
"""

from __future__ import annotations

import re

import duckdb

from valuedrift.errors import UserError

_QUERIES = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)
"""MULTI is how DuckDB calls a PIVOT whose columns it must look up first."""
_WRITING = frozenset(
    (
        "alter",
        "attach",
        "copy",
        "create",
        "delete",
        "detach",
        "drop",
        "export",
        "import",
        "insert",
        "install",
        "load",
        "merge",
        "truncate",
        "update",
    )
)
"""A statement of kind SELECT may hold them in a common table expression."""
_HELP = "SELECT … FROM a view; \\d lists the views"


class QueryError(UserError):
    """A query that DuckDB does not understand or cannot answer; the message holds the line and a mark under the place."""


def check_query(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse what is not exactly one query.

    Raises:
        QueryError: It is empty, several statements, cannot be parsed, or would write.
    """
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise explained(error) from error
    if len(statements) != 1:
        raise QueryError("one query at a time" if statements else "an empty query", fix=_HELP)
    kind = statements[0].type
    if word := _writing_word(query) if kind in _QUERIES else kind.name:
        raise QueryError(f"{word.upper()} is refused: the tables can only be read here", fix='a column of that name goes in "quotes"')


def _writing_word(query: str) -> str:
    """The first keyword that writes, empty if there is none."""
    tokens = duckdb.tokenize(query)
    for (start, kind), (end, _) in zip(tokens, [*tokens[1:], (len(query), None)], strict=True):
        word = query.encode()[start:end].decode(errors="replace").strip().lower()
        if kind == duckdb.token_type.keyword and word in _WRITING:
            return word
    return ""


def explained(error: duckdb.Error) -> QueryError:
    """DuckDB's message without its class name, with the line and the mark under the place where it gives them."""
    reason, place = first_reason(error), str(error).partition("\n\nLINE ")[2]
    return QueryError(f"{reason}\n\nLINE {place}" if place else reason)


def first_reason(error: duckdb.Error) -> str:
    """What went wrong without the place in the query; of an error in Python's part its last line."""
    text = str(error).strip().partition("\n\nLINE ")[0]
    if text.startswith("Traceback"):
        text = text.splitlines()[-1]
    return re.sub(r"^\w+( \w+)*: ", "", text)

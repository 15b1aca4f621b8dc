"""The views that a SQL query sees, and what they and their columns mean: the tables themselves, and those derived in sql/*.sql."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from valuedrift.storage.schemas import TABLES

_DERIVED = ("value_profile", "stance_counts", "judge_confusion", "judge_agreement", "study_agreement")

_AS_ANOTHER = re.compile(r"^-- The query is that of (\w+) without (\w+)\.$", re.MULTILINE)
"""Said by a file without a query of its own: another view's, with fewer keys."""


@dataclass(frozen=True)
class View:
    """A view.

    Attributes:
        name: Its name in SQL.
        doc: What one row is.
        columns: What each column says, by name, in order.
        query: The query that makes it; None for a table.
    """

    name: str
    doc: str
    columns: dict[str, str]
    query: str | None = None


def literal(text: str) -> str:
    """A text as SQL has it, in quotes."""
    return "'" + text.replace("'", "''") + "'"


def views() -> dict[str, View]:
    """All views by name, in the order in which they build on each other: the tables that are registered now, then the derived ones."""
    tables = {t.name: View(t.name, t.doc, {column.name: column.doc for column in t.columns}) for t in TABLES.values()}
    return {**tables, **{name: _parsed(name) for name in _DERIVED}}


@cache
def _parsed(name: str) -> View:
    """A view from its file: the first comment line says what it is, the comment lines ``-- column: …`` what its columns are."""
    text = (resources.files("valuedrift.storage") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    comments = [line[2:].strip() for line in text.splitlines() if line.startswith("--")]
    query = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    for other, key in _AS_ANOTHER.findall(text):
        query = str(_parsed(other).query).replace(f"{key}, ", "")
    pairs = [comment.split(": ", 1) for comment in comments[comments.index("") :] if ": " in comment]
    return View(name, comments[0], {column: doc for column, doc in pairs if column.isidentifier()}, query)

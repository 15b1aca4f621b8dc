"""What docs/tables.md says of every table and view, made from the schemas: ``python -m valuedrift.storage.sql.page docs/tables.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from valuedrift.storage.schemas import TABLES
from valuedrift.storage.schemas.table import Column, TableSchema
from valuedrift.storage.sql.views import View, views

_BEGIN = "## The tables\n"
"""From here on the page is made; what stands above is written."""
_TYPES = {"string": "text", "double": "float64", "timestamp[us, tz=UTC]": "time (UTC, µs)"}


def with_tables(page: str) -> str:
    """The page with its sections on tables and views as the schemas have them."""
    written, _, _ = page.partition(_BEGIN)
    derived = [view for view in views().values() if view.query is not None]
    sections = [
        _BEGIN,
        *map(_table, TABLES.values()),
        "## The views\n\nIn SQL every table is a view of its name; the others are computed when they are asked for.\n",
        *map(_view, derived),
    ]
    return written + "\n".join(sections)


def _table(table: TableSchema) -> str:
    place = " and ".join(f"`{name}`" for name in table.partition)
    slots = f" (and {' and '.join(table.slots)})" if table.slots else ""
    rows = "".join(f"| `{column.name}` | {_type(column)} | {column.doc} |\n" for column in table.columns)
    return (
        f"### `{table.name}`\n\n{table.doc} Schema version {table.version}, a file for each {place}{slots}.\n"
        f"A row is identified by {', '.join(f'`{key}`' for key in table.keys)}.\n\n| column | type | meaning |\n|---|---|---|\n{rows}"
    )


def _type(column: Column) -> str:
    name = _TYPES.get(str(column.type), str(column.type))
    return f"{name}, may be missing" if column.nullable or column.ok_only else name


def _view(view: View) -> str:
    rows = "".join(f"| `{name}` | {doc} |\n" for name, doc in view.columns.items())
    return f"### `{view.name}`\n\n{view.doc}\n\n| column | meaning |\n|---|---|\n{rows}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")

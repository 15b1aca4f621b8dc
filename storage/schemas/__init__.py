"""The tables: names, columns, types, keys and rules of each, a family of them a file.

A schema is the contract between the stages, the SQL views and the docs (``make docs`` writes docs/tables.md from it). A new table is a
`TableSchema` in a file of its family and, if the family is new, an entry below; a table of somebody's own is entered by `register`. To
change a table: raise its version, and add to its ``upgrades`` how a row of the version before becomes one of the new version; files
already written stay as they are and are upgraded when they are read.
"""

from __future__ import annotations

from valuedrift.errors import UserError
from valuedrift.storage.schemas import (
    alerts,
    answers,
    attributions,
    audits,
    capability,
    cascades,
    conclusions,
    drift,
    labels,
    probes,
    runs,
    synthesis,
)
from valuedrift.storage.schemas.table import SHARED_STUDY, TableSchema

__all__ = ("SHARED_STUDY", "TABLES", "register", "table_schema")

_FAMILIES = (probes, runs, answers, drift, cascades, alerts, capability, labels, conclusions, audits, attributions, synthesis)

TABLES: dict[str, TableSchema] = {}
"""All tables by name, in the order of the docs."""


def register(table: TableSchema) -> TableSchema:
    """Enter a table: it can then be written, read, asked in SQL, checked, imported and exported.

    Args:
        table: The table; entering the same one again changes nothing.

    Returns:
        The table.

    Raises:
        ValueError: Its name is no identifier, or belongs to another table.
    """
    if not table.name.isidentifier() or table.name.startswith("_"):
        raise ValueError(f"{table.name!r} is no name for a table: a letter, then letters, digits and underscores")
    if TABLES.setdefault(table.name, table) != table:
        raise ValueError(f"there is another table {table.name}")
    return table


def table_schema(name: str) -> TableSchema:
    """The schema of a table.

    Raises:
        UserError: There is no table of this name.
    """
    if name not in TABLES:
        raise UserError(f"no table {name!r}", fix=f"tables are {', '.join(TABLES)}")
    return TABLES[name]


for _family in _FAMILIES:
    for _table in _family.TABLES:
        register(_table)

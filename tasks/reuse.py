"""Equal work is done once: rows that another run or study made under the same key are taken over under this run's name."""

from __future__ import annotations

import polars as pl

from valuedrift.storage.schemas import table_schema
from valuedrift.tasks.board import board
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.workroom import Workroom


def reuse(work: Workroom, table: str, key: str, partition: dict[str, str | int], slot: str = "") -> Reference | None:
    """Look for a key in the store.

    Args:
        work: What the flow's tasks share.
        table: The table.
        key: Identity of the result.
        partition: Where this run's rows belong.
        slot: Part of the partition (the judge, for stances).

    Returns:
        The reference to the rows of this partition, copied from an equal one if need be; None if nobody made them yet.
    """
    here = work.store.entry(table, partition, slot)
    if here is not None and here.key == key and work.store.exists(here):
        return Reference.to(here, reused=True)
    for other in work.store.find(table, key):
        if not work.store.exists(other):
            continue
        schema = table_schema(table).polars
        ours: dict[str, str | int] = {**partition, **({"judge": slot} if slot else {})}  # the other may have named its judge otherwise
        names = [pl.lit(value, dtype=schema[column]).alias(column) for column, value in ours.items()]
        frame = work.store.read_entry(other).with_columns(names)
        entry = work.store.put(table, frame, partition=partition, key=key, identity=other.identity, slot=slot)
        board().settled()
        return Reference.to(entry, reused=True)
    return None

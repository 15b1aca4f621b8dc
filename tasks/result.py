"""Where a stage's result lies: in parts of tables or on the shelf, found by its key, taken over from equal work, or kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict

from valuedrift.errors import StageError
from valuedrift.storage.manifest import Entry
from valuedrift.storage.part import Part
from valuedrift.storage.schemas import table_schema
from valuedrift.tasks.work import Work

Frames = Mapping[str, pl.DataFrame]
"""What a stage made: the rows of each of its tables, by the table's name."""
Partition = Mapping[str, str | int]


class Reference(BaseModel):
    """Where a stage's result lies and what it was made of, never the rows themselves."""

    model_config = ConfigDict(frozen=True)

    table: str = ""
    partition: dict[str, str | int] = {}
    slot: str = ""
    key: str
    rows: int = 0
    reused: bool = False
    """Whether it was there before the stage was asked for, under this name or another."""

    @property
    def there(self) -> bool:
        """Whether there are rows; else only what they will be made of is known."""
        return bool(self.table)

    def read(self, work: Work, table: str | None = None) -> pl.DataFrame:
        """The rows of the result.

        Args:
            work: What stages share.
            table: Which of the tables that its stage wrote; default: the last one.

        Raises:
            StageError: They are gone from the store.
            DataError: They are damaged.
        """
        entry = work.store.entry(table or self.table, self.partition, self.slot)
        if entry is None or entry.key != self.key:
            where = " ".join(str(value) for value in self.partition.values())
            raise StageError(f"the rows of {table or self.table} are gone from the store", where=where, fix="run the same command again")
        return work.store.read_entry(entry)

    @classmethod
    def to(cls, entry: Entry, *, reused: bool) -> Reference:
        """The reference to a part in the store."""
        partition = dict(entry.partition)
        return cls(table=entry.table, partition=partition, slot=entry.slot, key=entry.key, rows=entry.rows, reused=reused)


NAMED = "named"
"""Where a part's identity in the manifest says, beside what its key was made of, which of it stood under which name."""


class NotYetError(Exception):
    """An identity that can be known only when a stage that it needs is done."""


class Result(Protocol):
    """A place for a stage's result."""

    @property
    def partition(self) -> Partition:
        """The part of the tables that it lies in; empty where it lies in none."""

    @property
    def slot(self) -> str:
        """Tells results of one partition apart (the judge); empty where there is one."""

    def here(self, work: Work, key: str, named: str = "") -> Reference | None:
        """The result if it lies here under this key and, where it is known, with the names that `Stage.named` tells."""

    def elsewhere(self, work: Work, key: str) -> Reference | None:
        """An equal result of another run or study."""

    def take_over(self, work: Work, equal: Reference, names: Mapping[str, Any]) -> Reference:
        """Copy an equal result to this place.

        Args:
            work: What stages share.
            equal: As `elsewhere` found it.
            names: Columns that call things by names of this study: a value, or an expression over the columns that are taken over.
        """

    def keep(self, work: Work, frames: Frames, key: str, identity: Mapping[str, Any], named: str = "") -> Reference:
        """Write what was made; all of it comes to exist at once, or nothing."""

    def before(self, work: Work) -> Entry | None:
        """What lies here now, under whatever key; None where nothing does, or no manifest says."""


@dataclass(frozen=True)
class Address:
    """A part of one or several tables.

    Attributes:
        tables: The tables that the stage writes; the last one says that all are there.
        beside: Tables that it writes with them, and that a version before this one did not: a result is there without them. Each with what makes the rows
            of equal work of another study this one's.
        partition: Values of their partition columns.
        slot: Tells parts of one partition apart (the judge).
    """

    tables: tuple[str, ...]
    partition: Partition
    slot: str = ""
    beside: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] = field(default_factory=dict, hash=False)

    def here(self, work: Work, key: str, named: str = "") -> Reference | None:
        """See :class:`Result`."""
        entries = self._parts(work, key)
        if entries is None or any(entry.identity.get(NAMED, named) != named for entry in entries):
            return None
        return Reference.to(entries[-1], reused=True)

    def elsewhere(self, work: Work, key: str) -> Reference | None:
        """See :class:`Result`."""
        for entry in work.store.find(self.tables[-1], key):
            if Address(self.tables, entry.partition, entry.slot).here(work, key) is not None:
                return Reference.to(entry, reused=True)
        return None

    def take_over(self, work: Work, equal: Reference, names: Mapping[str, Any]) -> Reference:
        """See :class:`Result`."""
        theirs = Address(self.tables, equal.partition, equal.slot)
        entries = theirs._parts(work, equal.key)
        assert entries is not None, "an equal result is whole"
        parts = [
            Part(
                table,
                _in_shape(table, own(work.store.read_entry(entry)), self.partition),
                self.partition,
                entry.key,
                entry.identity,
                self.slot,
            )
            for table, own in self.beside.items()
            if (entry := theirs._part(work, table, equal.key)) is not None
        ]
        for entry in entries:
            columns = table_schema(entry.table).polars
            ours = {name: value for name, value in {**self.partition, **names}.items() if name in columns}
            renamed = work.store.read_entry(entry).with_columns(
                (value if isinstance(value, pl.Expr) else pl.lit(value, dtype=columns[name])).alias(name) for name, value in ours.items()
            )
            parts.append(Part(entry.table, renamed, self.partition, entry.key, entry.identity, self.slot))
        return Reference.to(work.store.put_all(parts, work.check_claims)[-1], reused=True)

    def keep(self, work: Work, frames: Frames, key: str, identity: Mapping[str, Any], named: str = "") -> Reference:
        """See :class:`Result`."""
        there = [entry for table in self.tables if (entry := self._part(work, table, key)) is not None]
        # all are there: what it left outside the tables was gone; or some have other names: they are written anew
        if there and (len(there) == len(self.tables) or any(entry.identity.get(NAMED, named) != named for entry in there)):
            told = [entry for table in self.beside if (entry := self._part(work, table, key)) is not None]
            work.store.drop(there[0].study, {entry.address for entry in (*there, *told)}, work.check_claims)
        made_of = {**identity, NAMED: named} if named else identity
        parts = [
            Part(table, _in_shape(table, frames[table], self.partition), self.partition, key, made_of, self.slot)
            for table in (*self.beside, *self.tables)
        ]
        return Reference.to(work.store.put_all(parts, work.check_claims)[-1], reused=False)

    def before(self, work: Work) -> Entry | None:
        """See :class:`Result`."""
        entries = (work.store.entry(table, self.partition, self.slot) for table in reversed(self.tables))
        return next((entry for entry in entries if entry is not None), None)

    def lacking(self, work: Work, key: str) -> list[str]:
        """Tables without their part while others have theirs: a root of a version that did not have them yet."""
        without = [table for table in self.tables if self._part(work, table, key) is None]
        return without if len(without) < len(self.tables) else []

    def _parts(self, work: Work, key: str) -> list[Entry] | None:
        """The part of every table, if all are there under the key."""
        parts = [self._part(work, table, key) for table in self.tables]
        entries = [part for part in parts if part is not None]
        return entries if len(entries) == len(parts) else None

    def _part(self, work: Work, table: str, key: str) -> Entry | None:
        entry = work.store.entry(table, self.partition, self.slot)
        return entry if entry is not None and entry.key == key and work.store.exists(entry) else None


@dataclass(frozen=True)
class OnShelf:
    """An intermediate result: kept by its key alone, in no table, and shared by all who need it.

    Attributes:
        kind: What kind of result it is.
    """

    kind: str
    partition: Partition = field(default_factory=dict)
    slot: str = ""

    def here(self, work: Work, key: str, named: str = "") -> Reference | None:
        """See :class:`Result`."""
        return Reference(table=self.kind, key=key, reused=True) if work.shelf.exists(self.kind, key) else None

    def elsewhere(self, work: Work, key: str) -> Reference | None:
        """See :class:`Result`. It lies in one place for all."""
        return None

    def take_over(self, work: Work, equal: Reference, names: Mapping[str, Any]) -> Reference:
        """See :class:`Result`."""
        return equal

    def keep(self, work: Work, frames: Frames, key: str, identity: Mapping[str, Any], named: str = "") -> Reference:
        """See :class:`Result`."""
        frame = frames[self.kind]
        work.shelf.put(self.kind, key, frame)
        return Reference(table=self.kind, key=key, rows=frame.height)

    def before(self, work: Work) -> Entry | None:
        """See :class:`Result`."""
        return None


def check_there(work: Work, parts: Sequence[Reference]) -> None:
    """See that parts of tables are still those that a stage needs; asked before and after they are read by their address.

    Raises:
        StageError: Another run has put others in their place, or they are gone.
    """
    for part in parts:
        entry = work.store.entry(part.table, part.partition, part.slot)
        if entry is None or entry.key != part.key:
            where = " ".join(str(value) for value in part.partition.values())
            raise StageError(
                f"rows of {part.table} were replaced or removed while they were needed",
                where=where,
                fix="another version of this study runs on the same root: let it end, then run the same command again",
            )


def _in_shape(table: str, frame: pl.DataFrame, partition: Partition) -> pl.DataFrame:
    """The frame with the table's columns in their order and types; partition columns that it lacks are filled."""
    schema = table_schema(table).polars
    filled = frame.with_columns(pl.lit(value).alias(name) for name, value in partition.items() if name not in frame.columns)
    present = [pl.col(name).cast(kind) for name, kind in schema.items() if name in filled.columns]
    unknown = [name for name in filled.columns if name not in schema]
    return filled.select(*present, *unknown)

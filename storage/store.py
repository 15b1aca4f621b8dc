"""The tables of one root: checked on the way in, named by a manifest, found again by what they were made of.

``Store`` is the only door: tasks put frames and read frames, and never see a path. It is cheap to make, holds no connection of its own,
may be shared by threads, pickled, and used after a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from valuedrift.errors import DataError, UserError
from valuedrift.storage.location import Location
from valuedrift.storage.manifest import FOLDER, Address, Entry, Manifest, Snapshot, folder_of, seq_of, study_of
from valuedrift.storage.parquet import frame_of, lazy_frame_of
from valuedrift.storage.part import Part, encoded
from valuedrift.storage.schemas import SHARED_STUDY, TABLES, table_schema
from valuedrift.storage.schemas.table import TableSchema, values_of

_LOOKS = 4
"""How often a read starts again when a part was replaced under it."""
_Result = TypeVar("_Result")


class Store:
    """Tables under one root.

    Args:
        root: A folder or ``s3://bucket/prefix``; made at the first write.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Location.parse(root)
        self._manifests: dict[str, Manifest] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.root.uri,)

    def readable(self) -> Store:
        """The same, if there is a root at all: for what reads tables and makes none.

        Raises:
            UserError: There is no such folder, or a file is there.
        """
        if not self.root.is_remote and not Path(self.root.path).is_dir():
            what = (
                "a root is a folder, and a file is there"
                if Path(self.root.path).exists()
                else "there are no tables under it: no such folder"
            )
            raise UserError(what, where=self.root.uri, fix="give the folder that studies wrote to: --root FOLDER, or set VALUEDRIFT_ROOT")
        return self

    def put(
        self,
        table: str,
        frame: pl.DataFrame,
        *,
        partition: Mapping[str, str | int],
        key: str,
        identity: Mapping[str, Any],
        slot: str = "",
    ) -> Entry:
        """Write one part of a table; it exists for readers from the moment that this returns, and not at all before.

        The part takes the place of whatever lay at the same table, partition and slot under another key; the same key there already is
        returned as it is.

        Args:
            table: Name of the table.
            frame: Its rows; partition columns and nullable columns may be left out.
            partition: A value for each partition column of the table.
            key: Fingerprint of what the rows were made of.
            identity: What that was, as a small JSON-able mapping.
            slot: Tells parts of one partition apart (stances: the judge).

        Returns:
            The manifest's entry.

        Raises:
            DataError: A rule of the table is broken; nothing was written.
            UserError: It cannot be written (full disk, no bucket, …); nothing partial is visible.
        """
        return self.put_all([Part(table, frame, partition, key, identity, slot)])[0]

    def put_all(self, parts: Sequence[Part], check: Callable[[], None] = lambda: None) -> list[Entry]:
        """Write several parts of one study; they come to exist together, in one commit, or not at all.

        Args:
            parts: The parts.
            check: Called between reading the manifest and each try to commit; raises where nothing may be committed any more. With `fence`, this keeps
                out who has lost his claim.

        Raises:
            DataError: A rule of a table is broken in one of them; none was written.
            UserError: As for `put`; or they are not of one study.
        """
        schemas = [table_schema(part.table) for part in parts]
        partitions = [schema.ordered(part.partition) for schema, part in zip(schemas, parts, strict=True)]
        studies = {study_of(partition) for partition in partitions}
        if len(studies) != 1:
            raise UserError(f"parts that are put together must be of one study, not of {', '.join(sorted(studies)) or 'none'}")
        entries: list[Entry] = []
        written: dict[str, bytes] = {}
        for schema, part, partition in zip(schemas, parts, partitions, strict=True):
            there = self.entry(part.table, partition, part.slot)
            if there is not None and there.key == part.key and self.exists(there):
                entries.append(there)
                continue
            entry, data = encoded(schema, part, partition)
            entries.append(entry)
            written[entry.path] = data
        for path, data in written.items():
            (self.root / path).put_bytes(data)
        new = {entry.address: entry for entry in entries if entry.path in written}
        if new:
            self.commit(studies.pop(), lambda known: {**known, **new}, check)
        return entries

    def entry(self, table: str, partition: Mapping[str, str | int], slot: str = "") -> Entry | None:
        """The part at an address, None where there is none.

        What this store saw within the last second is believed; ask `exists` before trusting an entry.
        """
        partition = table_schema(table).ordered(partition)
        address = (table, tuple(partition.items()), slot)
        manifest = self._manifest(study_of(partition))
        return manifest.recent().entries.get(address) or manifest.latest().entries.get(address)

    def find(self, table: str, key: str) -> list[Entry]:
        """All parts with this key, in any study and run, oldest first: work that was done before and need not be done again.

        What was seen before is looked at first without a request; ask `exists` before trusting an entry.
        """
        table_schema(table)
        known = self._with_key(table, key, [manifest.cached for manifest in list(self._manifests.values())])
        return known or self._with_key(table, key, self.snapshots())

    def entries(self, table: str | None = None, study: str | None = None) -> list[Entry]:
        """All parts that exist, by table, partition and slot; of one table, or of one study and what all studies share, if given."""
        shared = table is None or "study" not in table_schema(table).partition
        names = (study, SHARED_STUDY) if shared else (study,)
        snapshots = self.snapshots() if study is None else [self._manifest(name).latest() for name in names if name is not None]
        every = [entry for snapshot in snapshots for entry in snapshot.entries.values() if table in (None, entry.table)]
        return sorted(every, key=lambda entry: (entry.table, [(name, str(v).rjust(20)) for name, v in entry.partition.items()], entry.slot))

    def exists(self, entry: Entry) -> bool:
        """Whether the part's object is really there, in full length."""
        return (self.root / entry.path).size() == entry.bytes

    def read(self, table: str, **filters: Any) -> pl.DataFrame:
        """All rows of a table, or those where columns have given values.

        Args:
            table: Name of the table.
            filters: Column = value, or a list of values; partition columns select files, others rows.

        Returns:
            The rows in the table's present schema, whatever version they were written in; empty where there are none.

        Raises:
            UserError: No such table or column.
            DataError: An object that the manifest names is missing or damaged.
        """
        schema = table_schema(table)
        wanted = schema.rows_where(filters)
        return self._steady(lambda: frame_of(self.root, schema, self._selected(schema, filters))).filter(wanted)

    def scan(self, table: str, **filters: Any) -> pl.LazyFrame:
        """Like `read`, lazily: only columns and row groups that a query needs are fetched when it is collected."""
        schema = table_schema(table)
        wanted = schema.rows_where(filters)
        return lazy_frame_of(self.root, schema, self._selected(schema, filters)).filter(wanted)

    def read_entry(self, entry: Entry) -> pl.DataFrame:
        """The rows of one part, in the table's present schema."""
        try:
            return frame_of(self.root, table_schema(entry.table), [entry])
        except FileNotFoundError as error:
            raise DataError("the manifest names this object, but it is gone", where=str(self.root / entry.path)) from error

    def forget(self, study: str, run_id: str | None = None) -> int:
        """Remove a run, or a whole study: from the manifest first, then its objects.

        Returns:
            Number of parts that were removed.
        """
        gone = {e.address for e in self._manifest(study).latest().entries.values() if run_id is None or e.partition.get("run_id") == run_id}
        self.drop(study, gone)
        return len(gone)

    def drop(self, study: str, addresses: Collection[Address], check: Callable[[], None] = lambda: None) -> None:
        """Remove parts of a study: from the manifest first, then their objects; ``check`` as for `put_all`."""
        if addresses:
            self.commit(study, lambda entries: {address: entry for address, entry in entries.items() if address not in addresses}, check)

    def fence(self, study: str) -> None:
        """Commit nothing: every commit that was prepared before this fails, and looks again whether it may be made."""
        self.commit(study, lambda entries: entries)

    def look_again(self) -> None:
        """Believe nothing that was seen before: another process may have committed since."""
        for manifest in list(self._manifests.values()):
            manifest.look_again()

    def studies(self) -> list[str]:
        """Names of the studies that have tables here."""
        return sorted({entry.study for snapshot in self.snapshots() for entry in snapshot.entries.values()} - {SHARED_STUDY})

    def why_empty(self) -> str:
        """What to say where there are no parts: there is nothing yet, or there are files whose manifests are gone."""
        for table in TABLES.values():
            if any(found.location.name.endswith(".parquet") for found in (self.root / table.name).listing()):
                return (
                    f"files of tables lie under {self.root.uri}, but no manifest names them: {FOLDER}/ is not there or empty; copy it too"
                )
        return f"there are no tables under {self.root.uri} yet"

    def snapshots(self) -> list[Snapshot]:
        """The latest snapshot of every study: one listing, and one read for each that changed since the last look."""
        latest: dict[str, int] = {}
        for found in (self.root / FOLDER).listing():
            folder, seq = found.location.path.split("/")[-2], seq_of(found.location)
            if seq is not None:
                latest[folder] = max(seq, latest.get(folder, 0))
        return [self._in_folder(folder).latest(seq) for folder, seq in latest.items()]

    def commit(
        self,
        study: str,
        change: Callable[[Mapping[Address, Entry]], Mapping[Address, Entry] | None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Change the study's manifest and then remove the objects that no entry names any more; ``check`` as for `put_all`."""
        before: set[str] = set()

        def noted(entries: Mapping[Address, Entry]) -> Mapping[Address, Entry] | None:
            check()
            before.clear()
            before.update(entry.path for entry in entries.values())
            return change(entries)

        after = self._manifest(study).commit(noted)
        for path in before - {entry.path for entry in after.entries.values()}:
            (self.root / path).delete()

    def _manifest(self, study: str) -> Manifest:
        return self._in_folder(folder_of(study))

    def _in_folder(self, folder: str) -> Manifest:
        with self._lock:
            return self._manifests.setdefault(folder, Manifest(self.root / FOLDER / folder))

    def _with_key(self, table: str, key: str, snapshots: Sequence[Snapshot]) -> list[Entry]:
        found = [e for snapshot in snapshots for e in snapshot.entries.values() if e.table == table and e.key == key]
        return sorted(found, key=lambda entry: entry.written)

    def _selected(self, schema: TableSchema, filters: Mapping[str, Any]) -> list[Entry]:
        """Parts whose partition agrees with the filters."""
        wanted = {name: {str(value) for value in values_of(given)} for name, given in filters.items() if name in schema.partition}
        study = filters.get("study")
        entries = self.entries(schema.name, study if isinstance(study, str) else None)
        return [entry for entry in entries if all(str(entry.partition[name]) in values for name, values in wanted.items())]

    def _steady(self, look: Callable[[], _Result]) -> _Result:
        """Look again when a part was replaced between reading the manifest and reading the part."""
        for _ in range(_LOOKS - 1):
            try:
                return look()
            except FileNotFoundError:
                continue
        try:
            return look()
        except FileNotFoundError as error:
            raise DataError(
                "the manifest names an object that is gone", where=str(error.filename or error), fix="valuedrift tables check lists all"
            ) from error

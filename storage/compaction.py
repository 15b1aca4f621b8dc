"""Many small objects into few: one file a run and table, one row group a part, so that every part is still found by its key.

Each request to S3 costs milliseconds whatever it fetches; a run of forty checkpoints is one object afterwards instead of forty. Parts of an older
schema version are upgraded on the way. Readers never notice: the manifest is changed in one commit, the old objects go after it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from valuedrift.errors import DataError
from valuedrift.storage import parquet
from valuedrift.storage.manifest import Address, Entry, Share
from valuedrift.storage.parquet import frame_of, whole_objects
from valuedrift.storage.schemas import TABLES, table_schema
from valuedrift.storage.store import Store

_LOOKS = 4


@dataclass(frozen=True)
class Compacted:
    """What became of one group of parts.

    Attributes:
        table: The table.
        path: The new object.
        parts: Parts in it.
        bytes_before: Bytes of the objects that it replaces.
        bytes_after: Its bytes.
    """

    table: str
    path: str
    parts: int
    bytes_before: int
    bytes_after: int


def compact(store: Store, study: str, run_id: str | None = None) -> list[Compacted]:
    """Merge the parts of a run, or of all runs of a study, into one object a table and run.

    Without a run, tables that have one part a run (runs, checkpoints, training) become one object a study. Groups that are one object
    already are left as they are.

    Args:
        store: The tables.
        study: The study.
        run_id: One run of it; None for all.
    """
    done = [_steadily(store, study, run_id, name) for name in _groups(store, study, run_id)]
    return [one for one in done if one is not None]


def _groups(store: Store, study: str, run_id: str | None) -> dict[tuple[str, str], list[Entry]]:
    """Parts that become one object, by table and run; run-less where tables have one part a run."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in store.entries(study=study):
        run = entry.partition.get("run_id")
        if entry.study == study and entry.table in TABLES and entry.rows and run is not None and run_id in (None, run):
            by_run = "step" in entry.partition or run_id is not None
            groups.setdefault((entry.table, str(run) if by_run else ""), []).append(entry)
    return groups


def _steadily(store: Store, study: str, run_id: str | None, name: tuple[str, str]) -> Compacted | None:
    """Compact a group; again from its present parts when one was replaced while it was read."""
    for _ in range(_LOOKS):
        with contextlib.suppress(FileNotFoundError):
            return _compact(store, _groups(store, study, run_id).get(name, []), by_run=bool(name[1]))
    raise DataError(
        f"an object of the table {name[0]} is gone", where=store.root.uri, fix="valuedrift tables check lists all that is wrong"
    )


def _compact(store: Store, group: Sequence[Entry], by_run: bool) -> Compacted | None:
    if len(group) < 2:
        return None
    schema = table_schema(group[0].table)
    current = all(entry.schema_version == schema.version for entry in group)
    if current and len({entry.path for entry in group}) == 1 and len(whole_objects(group)) == len(group):
        return None
    data = parquet.encoded(schema, (frame_of(store.root, schema, [entry]) for entry in group))
    sha = hashlib.sha256(data).hexdigest()
    common = {name: group[0].partition[name] for name in (("study", "run_id") if by_run else ("study",))}
    path = f"{schema.folder(common)}/compact-{sha[:12]}.parquet"
    total = sum(entry.rows for entry in group)
    firsts = accumulate((entry.rows for entry in group), initial=0)
    moved = {
        entry.address: replace(entry, path=path, bytes=len(data), sha=sha, schema_version=schema.version, share=Share(number, first, total))
        for number, (entry, first) in enumerate(zip(group, firsts, strict=False))
    }
    before = {entry.address: entry for entry in group}

    def change(entries: Mapping[Address, Entry]) -> Mapping[Address, Entry]:
        """A part that was replaced meanwhile stays as it is; its rows in the new object are dead."""
        return {address: moved[address] if entry == before.get(address) else entry for address, entry in entries.items()}

    (store.root / path).put_bytes(data)
    store.commit(group[0].study, change)
    sizes = {entry.path: entry.bytes for entry in group}
    return Compacted(schema.name, path, len(group), sum(sizes.values()), len(data))

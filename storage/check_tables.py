"""`valuedrift tables check`: every object and every row held against the manifest and the schemas. It looks and changes nothing; `repair` is asked for."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import polars as pl

from valuedrift.errors import DataError
from valuedrift.storage import parquet
from valuedrift.storage.lease_objects import FOLDER as CLAIMS
from valuedrift.storage.location import Found, Location
from valuedrift.storage.manifest import FOLDER, Address, Entry
from valuedrift.storage.parquet import lazy_frame_of
from valuedrift.storage.rules import broken_rules
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.store import Store
from valuedrift.words import counted

_YOUNG = timedelta(hours=1)
"""An object that no manifest names may belong to a writer at work; what is older belongs to one that died."""


class Kind(StrEnum):
    """What can be wrong."""

    MISSING = "missing object"
    DAMAGED = "damaged object"
    RULE = "broken rule"
    DUPLICATE = "duplicate rows"
    SHARD = "missing shard"
    ORPHAN = "orphan"
    LEFTOVER = "leftover of a killed writer"
    STRANGER = "not ours"
    UNKNOWN = "unknown table"


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        kind: What kind of fault.
        where: The object, or the place where one should be.
        what: What is wrong, in words.
        entries: The parts that it spoils.
        young: Whether a writer at work may have written it within the last hour.
    """

    kind: Kind
    where: Location
    what: str
    entries: tuple[Entry, ...] = ()
    young: bool = False


def check(store: Store) -> list[Finding]:
    """All that is wrong under a root: reads every object, and lists everything once."""
    listed = {found.location.path: found for found in _below_partitions(store, Location.listing)}
    entries = store.entries()  # after the listing: an object that was listed and committed since is no orphan
    findings = [*_strays(store, entries, listed), *_dead_claims(store), *_unknown(store, entries)]
    entries = [entry for entry in entries if entry.table in TABLES]
    for path, group in _grouped(entries).items():
        place = store.root / path
        size = listed[place.path].size if place.path in listed else place.size()
        findings += _object_faults(place, group, size)
    spoilt = {entry.address for finding in findings for entry in finding.entries}
    readable = [entry for entry in entries if entry.address not in spoilt]
    findings += [*_across_slots(store, readable), *_missing_shards(store, entries, readable)]
    present = {(entry.address, entry.path) for entry in store.entries()}
    return [f for f in findings if not f.entries or any((e.address, e.path) in present for e in f.entries)]


def repair(store: Store, findings: Sequence[Finding]) -> list[str]:
    """Remove what serves nobody: orphans and leftovers older than an hour, and parts whose object is missing or damaged.

    The next run makes those parts again. Rows that break a rule are for a person to judge, and stay.

    Returns:
        What was done, a line each.
    """
    done = []
    for finding in findings:
        if finding.kind in (Kind.ORPHAN, Kind.LEFTOVER):
            if finding.young:
                done.append(f"kept {finding.where}: younger than an hour, it may belong to a writer at work")
            else:
                finding.where.delete()
                done.append(f"deleted {finding.where}")
    spoilt: dict[str, set[Address]] = defaultdict(set)
    for finding in findings:
        if finding.kind in (Kind.MISSING, Kind.DAMAGED):
            for entry in finding.entries:
                spoilt[entry.study].add(entry.address)
    for study, addresses in spoilt.items():
        store.drop(study, addresses)
        done.append(f"forgot {len(addresses)} part{'s' if len(addresses) != 1 else ''} of {study}; the next run makes them again")
    return done


def _below_partitions(store: Store, lister: Callable[[Location], list[Found]]) -> Iterator[Found]:
    """What lies in the folders of the tables; whatever else a root holds (weights, reports) is none of ours."""
    for table in TABLES.values():
        ours = (store.root / table.name / f"{table.partition[0]}=").path
        yield from (found for found in lister(store.root / table.name) if found.location.path.startswith(ours))


def _strays(store: Store, entries: Sequence[Entry], listed: Mapping[str, Found]) -> Iterator[Finding]:
    named = {(store.root / entry.path).path for entry in entries}
    for path, found in listed.items():
        if not path.endswith(".parquet"):
            yield Finding(Kind.STRANGER, found.location, "this file is no part of the tables; nothing reads it")
        elif path not in named:
            yield Finding(Kind.ORPHAN, found.location, "no manifest names this object; nothing reads it", young=_young(found))
    own = (store.root / folder for folder in (FOLDER, CLAIMS))
    for found in (*_below_partitions(store, Location.leftovers), *(one for folder in own for one in folder.leftovers())):
        yield Finding(Kind.LEFTOVER, found.location, "a temporary file that was never put in place", young=_young(found))


def _dead_claims(store: Store) -> Iterator[Finding]:
    """Claims that nobody renewed for an hour; they keep nobody from what they are on. Those of runs at work are no finding."""
    claims: dict[str, list[Found]] = defaultdict(list)
    for found in (store.root / CLAIMS).listing():
        claims[found.location.beside("").path].append(found)
    for objects in claims.values():
        if not any(map(_young, objects)):
            for found in objects:  # by name: the newest generation last
                yield Finding(Kind.LEFTOVER, found.location, "a claim of a run that died")


def _unknown(store: Store, entries: Sequence[Entry]) -> Iterator[Finding]:
    """Tables that this program does not know; nothing of them is looked at or touched."""
    unknown: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.table not in TABLES:
            unknown[entry.table, entry.study].append(entry)
    for (table, _), group in unknown.items():
        what = f"the manifest names {_of(group)}, which a newer valuedrift wrote, or one with tables of its own"
        yield Finding(Kind.UNKNOWN, store.root / table, what)


def _young(found: Found) -> bool:
    return datetime.now(UTC) - found.modified < _YOUNG


def _across_slots(store: Store, entries: Sequence[Entry]) -> Iterator[Finding]:
    """Rows that stand in two parts of one partition."""
    partitions: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        partitions[entry.address[:2]].append(entry)
    for group in partitions.values():
        if len(group) > 1:
            schema = TABLES[group[0].table]
            twice = lazy_frame_of(store.root, schema, group).select(schema.keys).collect().is_duplicated()
            if twice.any():
                what = f"{twice.sum()} rows stand in more than one of the parts {', '.join(repr(entry.slot) for entry in group)}"
                yield Finding(Kind.DUPLICATE, store.root / group[0].path, what, tuple(group))


def _grouped(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.path, []).append(entry)
    return groups


def _object_faults(place: Location, group: Sequence[Entry], size: int | None) -> Iterator[Finding]:
    """Faults of one object and the parts in it."""
    first, parts = group[0], tuple(group)
    if size is None:
        yield Finding(Kind.MISSING, place, f"the manifest names this object, but it is gone; it held {_of(group)}", parts)
        return
    if size != first.bytes:
        yield Finding(Kind.DAMAGED, place, f"truncated or changed: {size:,} bytes, not {first.bytes:,}; it held {_of(group)}", parts)
        return
    data = place.read_bytes()
    if hashlib.sha256(data).hexdigest() != first.sha:
        yield Finding(Kind.DAMAGED, place, f"its bytes are not those that were written; it held {_of(group)}", parts)
        return
    for entry in group:
        for what in _part_faults(place, entry, data):
            kind = Kind.DUPLICATE if what.startswith(_TWICE) else Kind.RULE
            yield Finding(kind, place, what, (entry,))


_TWICE = "two rows"


def _part_faults(place: Location, entry: Entry, data: bytes) -> Iterator[str]:
    schema = TABLES[entry.table]
    try:
        table, version = parquet.claimed(data)
        if (table, version) != (entry.table, entry.schema_version):
            yield f"the file says {table} version {version}, the manifest {entry.table} version {entry.schema_version}"
        stored = parquet.decoded(data, place.uri, None if entry.share is None else [entry.share.row_group])
        frame = schema.upgraded(stored.lazy(), entry.schema_version, place.uri).collect()
    except (DataError, pl.exceptions.PolarsError) as error:
        yield f"cannot be read as the table {entry.table}: {error}"
        return
    if wrong := [name for name, kind in schema.polars.items() if frame.schema[name] != kind]:
        yield f"column {wrong[0]}: {frame.schema[wrong[0]]} where {schema.polars[wrong[0]]} belongs"
        return
    if frame.height != entry.rows:
        yield f"{frame.height} rows where the manifest says {entry.rows}"
    for name, value in entry.partition.items():
        if name not in frame.columns:
            yield f"the manifest says {name}={value}, and there is no such column"
        elif frame.filter(pl.col(name).ne_missing(pl.lit(value))).height:
            yield f"column {name}: rows that are not of {name}={value}"
    yield from (str(fault) for fault in broken_rules(schema, frame))


def _missing_shards(store: Store, entries: Sequence[Entry], readable: Sequence[Entry]) -> Iterator[Finding]:
    """Parts that a table lacks or has in part, where the same run has others of it; see `Follows`.

    Of a run that is followed, what comes after its last part is work to come: its checkpoints are entered before they are asked.
    """
    followed = set(_followed(store, readable))
    for schema in TABLES.values():
        if schema.follows is None:
            continue
        parts = {(*_place(entry), entry.slot): entry for entry in entries if entry.table == schema.name}
        slots: dict[tuple[str, str], set[str]] = defaultdict(set)
        for study, run, _, slot in parts:
            slots[study, run].add(slot)
        for (study, run, step), wanted in _wanted(store, schema.follows.table, readable):
            for slot in sorted(slots[study, run]):
                part = parts.get((study, run, step, slot))
                where = store.root / f"{schema.name}/study={study}/run_id={run}/step={step:06d}"
                about = {"run": run, "step": step, "slot": slot or "of this run", "wanted": wanted}
                to_come = (study, run) in followed and all(step > at for of, name, at, by in parts if (of, name, by) == (study, run, slot))
                if part is None and not to_come:
                    yield Finding(Kind.SHARD, where, schema.follows.lacking.format(**about))
                elif part is not None and schema.follows.partly is not None and part.rows != wanted:
                    yield Finding(Kind.SHARD, where, schema.follows.partly.format(**about, rows=part.rows))


def _followed(store: Store, readable: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """Runs whose checkpoints something else trains."""
    for entry in readable:
        if entry.table == "checkpoints" and store.read_entry(entry).get_column("path").str.contains(_WATCHED).any():
            yield str(entry.partition["study"]), str(entry.partition["run_id"])


_WATCHED = r'^\{"watched":'
"""Begins the path of such a checkpoint."""


def _wanted(store: Store, table: str, readable: Sequence[Entry]) -> Iterator[tuple[tuple[str, str, int], int]]:
    """Checkpoints that a table has something of, each with the number of its rows: by its parts, or by the column step of its rows."""
    for entry in readable:
        if entry.table != table:
            continue
        if "step" in entry.partition:
            yield _place(entry), entry.rows
        else:
            study, run = str(entry.partition["study"]), str(entry.partition["run_id"])
            for step, rows in store.read_entry(entry).group_by("step", maintain_order=True).len().iter_rows():
                yield (study, run, step), rows


def _place(entry: Entry) -> tuple[str, str, int]:
    partition = entry.partition
    return str(partition["study"]), str(partition["run_id"]), int(partition["step"])


def _of(group: Sequence[Entry]) -> str:
    parts = counted(len(group), "part")
    return f"{sum(entry.rows for entry in group):,} rows in {parts} of {group[0].table} (study {group[0].study})"

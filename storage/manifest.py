"""What exists: only what a manifest names.

Each study has one sequence of snapshots, ``_manifests/study=<study>/<seq>.json.gz``; a snapshot names every part of every table of the
study, so that a reader needs one small listing and one object. A writer reads the latest snapshot, adds to it, and commits it under the
next number with put-if-absent: of several writers one wins, the others read again and add to that. Old snapshots are pruned.

A writer that sleeps between reading and committing could wake when its number has been used and pruned, and would then commit into the
past. So every snapshot carries the ids of the last commits it contains, and a writer looks afterwards whether the latest one holds its
own; if not, it adds again. The same ids tell a writer whose answer was lost on the network that its commit had arrived.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from valuedrift.errors import DataError, UserError
from valuedrift.storage.location import Location, path_part
from valuedrift.storage.schemas import SHARED_STUDY

FOLDER = "_manifests"
_KEPT = 5
_LINEAGE = 128
_RECENT_S = 1.0
_PATIENCE_S = 120.0
"""How long a writer keeps trying against others; a commit takes milliseconds, so this is thousands of losses in a row."""
_FORMAT = 1

Address = tuple[str, tuple[tuple[str, str | int], ...], str]


class Share(NamedTuple):
    """Which part of a compacted object an entry is: one whole row group."""

    row_group: int
    first_row: int
    object_rows: int
    """Rows of the whole object, live or replaced since."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of a table: the rows of one partition (and slot), and where they lie.

    Attributes:
        table: The table.
        partition: Values of its partition columns.
        slot: Tells parts of one partition apart (stances: the judge); empty where a partition has one part.
        key: Fingerprint of what the rows were made of.
        path: The Parquet object, relative to the root.
        rows: Number of rows.
        bytes: Size of the object (of the whole one, where several parts share it).
        schema_version: Version of the table's schema that the object has.
        written: When, UTC, ISO 8601.
        sha: SHA-256 of the object's bytes.
        identity: What the key was made of, for `valuedrift explain`.
        share: Which part of a compacted object holds the rows; None: the whole object.
    """

    table: str
    partition: Mapping[str, str | int]
    key: str
    path: str
    rows: int
    bytes: int
    schema_version: int
    written: str
    sha: str
    identity: Mapping[str, Any]
    slot: str = ""
    share: Share | None = None

    @property
    def study(self) -> str:
        """The study whose manifest names this part."""
        return study_of(self.partition)

    @property
    def address(self) -> Address:
        """What a later part takes the place of: table, partition and slot."""
        return self.table, tuple(self.partition.items()), self.slot


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All parts of a study at one moment.

    Attributes:
        seq: Number of the snapshot; 0 is the empty one before the first commit.
        lineage: Ids of the latest commits that are in it, newest first.
        entries: The parts by address.
    """

    seq: int
    lineage: tuple[str, ...]
    entries: Mapping[Address, Entry]

    def encoded(self) -> bytes:
        """The bytes of the snapshot's object; the same snapshot has the same bytes."""
        content = {"format": _FORMAT, "seq": self.seq, "lineage": self.lineage, "entries": [_plain(e) for e in self.entries.values()]}
        return gzip.compress(json.dumps(content, separators=(",", ":")).encode(), compresslevel=3, mtime=0)

    @classmethod
    def decoded(cls, data: bytes, where: str) -> Snapshot:
        """A snapshot from its bytes.

        Raises:
            DataError: The object is damaged, or of a newer program.
        """
        try:
            content = json.loads(gzip.decompress(data))
            if not isinstance(content, dict) or not _are_objects(content.get("entries")):
                raise ValueError("not in the shape of one")
            if content["format"] != _FORMAT:
                raise DataError(
                    f"manifest of format {content['format']}, this program knows {_FORMAT}", where=where, fix="install a newer valuedrift"
                )
            if unknown := {name for entry in content["entries"] for name in entry} - {*_FIELDS, *_FORMER_FIELDS}:
                what = f"a newer valuedrift wrote this manifest: {', '.join(sorted(unknown))} of its parts is not known here"
                raise DataError(what, where=where, fix="install a newer valuedrift")
            entries = [_entry(entry) for entry in content["entries"]]
            return cls(content["seq"], tuple(content["lineage"]), {entry.address: entry for entry in entries})
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error, RecursionError) as error:
            said = "not in the shape of one" if isinstance(error, (KeyError, TypeError, RecursionError)) else error
            raise DataError(
                f"damaged manifest: {said}", where=where, fix="restore it, or delete it to fall back to the snapshot before"
            ) from error


_FIELDS = tuple(one.name for one in fields(Entry))
_FORMER_FIELDS = ("extra",)
"""Stand in manifests of version 0.2, always empty."""


def _are_objects(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)


def _entry(plain: Mapping[str, Any]) -> Entry:
    """An entry from JSON."""
    known = {name: value for name, value in plain.items() if name not in _FORMER_FIELDS}
    return Entry(**{**known, "share": plain["share"] and Share(*plain["share"])})


def _plain(entry: Entry) -> dict[str, Any]:
    """The entry for JSON; `dataclasses.asdict` would copy every identity deeply, at every commit."""
    return {name: getattr(entry, name) for name in _FIELDS}


def study_of(partition: Mapping[str, str | int]) -> str:
    """The study that a partition belongs to; tables without one are shared."""
    return str(partition.get("study", SHARED_STUDY))


def folder_of(study: str) -> str:
    """Name of the folder with the snapshots of a study."""
    return f"study={path_part(study)}"


_EMPTY = Snapshot(0, (), {})


class Manifest:
    """The snapshots of one study.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Location) -> None:
        self._folder = folder
        self._cached = _EMPTY
        self._looked = -math.inf
        self._commits = threading.Lock()

    @property
    def cached(self) -> Snapshot:
        """The snapshot read last; empty before the first."""
        return self._cached

    def recent(self) -> Snapshot:
        """The latest snapshot of at most a second ago: stages that look one after the other share a listing."""
        return self._cached if time.monotonic() - self._looked < _RECENT_S else self.latest()

    def look_again(self) -> None:
        """Let the next look see the latest snapshot, however short ago the last one was."""
        self._looked = -math.inf

    def latest(self, known_seq: int | None = None) -> Snapshot:
        """The latest snapshot.

        Args:
            known_seq: Its number if a listing has just told it.
        """
        while True:
            now = time.monotonic()
            seq = self._seqs()[-1] if known_seq is None else known_seq
            place = self._place(seq)
            try:
                if seq != self._cached.seq:
                    self._cached = Snapshot.decoded(place.read_bytes(), place.uri) if seq else _EMPTY
            except FileNotFoundError:  # pruned between the listing and the read: there are newer ones
                known_seq = None
                continue
            self._looked = now
            return self._cached

    def commit(self, change: Callable[[Mapping[Address, Entry]], Mapping[Address, Entry] | None]) -> Snapshot:
        """Make a change to the study's parts, whoever else writes meanwhile.

        Args:
            change: From the parts as they are to the parts as they should be, None to leave them; called again after a lost race.

        Returns:
            The snapshot that holds the change.

        Raises:
            UserError: Others won every race for two minutes.
        """
        commit_id = uuid.uuid4().hex[:12]
        give_up = time.monotonic() + _PATIENCE_S
        with self._commits:  # threads of one process queue here and do not race
            while time.monotonic() < give_up:
                current = self.latest()
                if commit_id in current.lineage:
                    return current
                entries = change(current.entries)
                if entries is None:
                    return current
                snapshot = Snapshot(current.seq + 1, (commit_id, *current.lineage)[:_LINEAGE], entries)
                if not self._place(snapshot.seq).put_if_absent(snapshot.encoded()):
                    time.sleep(random.uniform(0.001, 0.03))
                    continue
                seqs = self._seqs()
                if seqs[-1] == snapshot.seq:
                    self._cached = snapshot
                elif commit_id not in self.latest(seqs[-1]).lineage:
                    continue
                self._prune(seqs)
                return snapshot
        raise UserError("other writers were faster for two minutes", where=self._folder.uri, fix="run fewer writers of one study at once")

    def _place(self, seq: int) -> Location:
        return self._folder / f"{seq:012d}.json.gz"

    def _seqs(self) -> list[int]:
        """Numbers of the snapshots that lie there, ascending; [0] where there is none."""
        return [0, *(seq for found in self._folder.listing() if (seq := seq_of(found.location)) is not None)]

    def _prune(self, seqs: list[int]) -> None:
        for seq in seqs[1:]:
            if seq <= seqs[-1] - _KEPT:
                self._place(seq).delete()


def seq_of(location: Location) -> int | None:
    """The number of a snapshot's object; None for anything else."""
    number, _, suffix = location.name.partition(".")
    return int(number) if suffix == "json.gz" and number.isdigit() else None

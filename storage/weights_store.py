"""Weights under a root: ``weights/<key>/step-000012`` is a checkpoint of the run with this key, on this machine and, where the root is a bucket, there too.

What a killed training goes on from is kept in a bucket in the same way, as the run's *state*: its marker changes from one whole state to the next in one
step, so that another machine never sees a half one.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from valuedrift.errors import DataError, StageError
from valuedrift.storage import marked
from valuedrift.storage.location import Location
from valuedrift.storage.marked import Marker, StoredFile

FOLDER = "weights"
OLDER_FOLDER = "checkpoints"
"""Where version 0.2 put them, beside the table of that name."""
_PLACE = re.compile(rf"(?:^|/)(?:{FOLDER}|{OLDER_FOLDER})/([0-9a-f]{{20}})/(step-\d{{6,}})$")
_RUN = re.compile(r"[0-9a-f]{20}")
_STATE = "_state"
_DELETED = "deleted.txt"
_LOOKS = 4
"""How often a state is brought again when the next one took its place meanwhile."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a checkpoint lies under any root: by its run and step, not by a machine's path.

    Attributes:
        key: Fingerprint of what its run is made of.
        step: Name of its folder, ``step-000012``.
    """

    key: str
    step: str

    def __str__(self) -> str:
        return f"{FOLDER}/{self.key}/{self.step}"

    @classmethod
    def of(cls, path: str) -> Place | None:
        """The place that a path under some root is, absolute or relative; None where it is none."""
        found = _PLACE.search(path)
        return None if found is None else cls(*found.groups())


@dataclass(frozen=True, slots=True)
class Lying:
    """Where a checkpoint lies now.

    Attributes:
        here: Bytes on this machine; None where it isn't here.
        bucket: Bytes in the bucket; None where it isn't there.
    """

    here: int | None = None
    bucket: int | None = None


class WeightsStore:
    """The weights of all runs under a root.

    Args:
        root: Where the tables lie.
        local: Folder of this machine for it: the root itself, or one in the cache folder where the root is a bucket.
    """

    def __init__(self, root: Location, local: Callable[[], Path]) -> None:
        self._root = root / FOLDER
        self._local = local
        self._guards: defaultdict[Place | str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def is_remote(self) -> bool:
        """Whether other machines see what is sent."""
        return self._root.is_remote

    def folder(self, key: str) -> Path:
        """Where the weights of a run lie on this machine: in a folder that holds no table.

        Up to version 0.2 they lay beside the table ``checkpoints``; what is there stays there and is gone on with.
        """
        older = self._local() / OLDER_FOLDER / key
        return older if older.exists() else self._local() / FOLDER / key

    def path(self, place: Place) -> Path:
        """Where a checkpoint lies on this machine, or would."""
        return self.folder(place.key) / place.step

    def is_here(self, place: Place) -> bool:
        """Whether a checkpoint lies on this machine."""
        return any(self.path(place).glob("*.safetensors"))

    def lies(self, place: Place) -> bool:
        """Whether a checkpoint can be had: it is here, or in the bucket."""
        return self.is_here(place) or (self.is_remote and (self._root / place.key / f"{place.step}.json").exists())

    def send(self, place: Place) -> None:
        """Send a checkpoint of this machine to the bucket, unless the very same is there.

        Raises:
            FileNotFoundError: It went meanwhile.
            UserError: The bucket can't be reached.
        """
        if not self.is_remote:
            return
        run, marker = self._root / place.key, f"{place.step}.json"
        there = Marker.at(run / marker)
        if there is not None and there.is_of(self.path(place)):
            return
        if there is not None:
            marked.remove(run, place.step, marker)
        marked.send(self.path(place), run, place.step, marker)

    def bring(self, place: Place) -> Path:
        """A checkpoint's folder on this machine; brought from the bucket where it isn't here.

        Raises:
            StageError: It is neither here nor there.
            DataError: It is damaged there.
        """
        path = self.path(place)
        with self._guards[place]:
            if self.is_here(place):
                return path
            marker = Marker.at(self._root / place.key / f"{place.step}.json") if self.is_remote else None
            if marker is None:
                raise StageError(
                    "these weights are gone", where=f"{self._root.uri}/{place.key}/{place.step}", fix="run the same command again"
                )
            return marked.bring(marker, self._root / place.key, path)

    def remove(self, place: Place) -> int:
        """Remove a checkpoint here and in the bucket, and its run's state, which would be taken for one of a run that has it.

        Returns:
            Bytes that were freed, the larger of here and there.
        """
        path, freed = self.path(place), 0
        if path.exists():
            freed = _bytes_below(path)
            gone = path.with_name(f".partial-{path.name}-{secrets.token_hex(4)}")
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        if self.is_remote:
            run = self._root / place.key
            self.remove_state(place.key)
            freed = max(freed, marked.remove(run, place.step, f"{place.step}.json"))
        return freed

    def note_deleted(self, key: str, why: str) -> None:
        """Note that checkpoints of a run were deleted on purpose."""
        (self._root / key / _DELETED).put_bytes(why.encode())

    def why_deleted(self, key: str) -> str | None:
        """What was noted when checkpoints of a run were deleted; None where none were."""
        try:
            return (self._root / key / _DELETED).read_bytes().decode()
        except FileNotFoundError:
            return None

    def lying(self) -> dict[Place, Lying]:
        """Every checkpoint under the root, and where it is."""
        there: dict[Place, int] = {}
        if self.is_remote:
            for found in self._root.listing():
                key, _, name = found.location.relative_to(self._root).partition("/")
                if (place := Place.of(f"{FOLDER}/{key}/{name.removesuffix('.json')}")) is not None and name.endswith(".json"):
                    marker = Marker.at(found.location)
                    there[place] = 0 if marker is None else marker.size
        here = {
            place: _bytes_below(path)
            for folder in (OLDER_FOLDER, FOLDER)
            for path in (self._local() / folder).glob("*/step-*")
            if (place := Place.of(path.as_posix())) is not None
        }
        return {place: Lying(here.get(place), there.get(place)) for place in sorted({*here, *there})}

    def sent_steps(self, key: str) -> list[Place]:
        """The checkpoints of a run that are in the bucket."""
        run = self._root / key
        names = [found.location.relative_to(run) for found in run.listing()] if self.is_remote else []
        places = (Place.of(f"{FOLDER}/{key}/{name.removesuffix('.json')}") for name in names if "/" not in name)
        return [place for place in places if place is not None]

    def state(self, key: str) -> Marker | None:
        """How far the state of a run in the bucket is, None where there is none."""
        return Marker.at(self._root / key / f"{_STATE}.json") if self.is_remote else None

    def send_state(self, key: str, folder: Path, progress: tuple[int, ...]) -> None:
        """Send what a killed training goes on from; then the one before is removed.

        Args:
            key: Of the run, whose checkpoints so far were sent: what they hold is not sent again.
            folder: A copy that nothing changes.
            progress: How far it is.

        Raises:
            UserError: The bucket can't be reached; the state before still counts.
        """
        run, name = self._root / key, f"{_STATE}/{secrets.token_hex(6)}"
        known: dict[str, StoredFile] = {}
        for place in self.sent_steps(key):
            checkpoint = Marker.at(run / f"{place.step}.json")
            known |= {} if checkpoint is None else {file.sha: file for file in checkpoint.files.values()}
        sent = marked.send(folder, run, name, f"{_STATE}.json", known=known, progress=progress)
        kept = {file.at for file in sent.files.values()}
        for found in (run / _STATE).listing():
            if found.location.relative_to(run) not in kept:
                found.location.delete()

    def bring_state(self, key: str, target: Path) -> Marker | None:
        """Bring the state of a run into a folder that is not there yet; None where the bucket has none.

        Raises:
            DataError: It is damaged.
        """
        for left in reversed(range(_LOOKS)):
            marker = self.state(key)
            if marker is None:
                return None
            try:
                marked.bring(marker, self._root / key, target)
                return marker
            except DataError:
                if left == 0 or self.state(key) == marker:
                    raise
        raise AssertionError("the last look returns or raises")

    def bring_run(self, key: str, progress: tuple[int, ...]) -> bool:
        """Bring the state and the checkpoints of a run, if they are further than what is here; they take its place.

        Args:
            key: Of the run.
            progress: How far what is here is.

        Returns:
            Whether they were.

        Raises:
            DataError: They are damaged.
        """
        state, folder = self.state(key), self.folder(key)
        if state is None or state.progress <= progress:
            return False
        aside = folder.with_name(f".partial-{key}-{secrets.token_hex(4)}")
        try:
            self.bring_state(key, aside)
            for place in self.sent_steps(key):
                if (marker := Marker.at(self._root / key / f"{place.step}.json")) is not None:
                    marked.bring(marker, self._root / key, aside / place.step)
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return True

    def remove_state(self, key: str) -> None:
        """Remove the state of a run from the bucket."""
        if self.is_remote:
            marked.remove(self._root / key, _STATE, f"{_STATE}.json")

    def remove_run(self, key: str) -> int:
        """Remove all that lies of a run, here and in the bucket.

        Returns:
            Bytes that were freed, the larger of here and there.
        """
        folder, freed = self.folder(key), 0
        if folder.exists():
            freed = _bytes_below(folder)
            shutil.rmtree(folder)
        if self.is_remote:
            freed = max(freed, marked.remove(self._root, key, f"{key}.json"))
        return freed

    def runs(self) -> list[str]:
        """Keys of the runs of which something lies here or in the bucket."""
        here = {path.name for folder in (OLDER_FOLDER, FOLDER) for path in (self._local() / folder).glob("*") if _RUN.fullmatch(path.name)}
        there = {found.location.relative_to(self._root).partition("/")[0] for found in self._root.listing()} if self.is_remote else set()
        return sorted(here | {key for key in there if _RUN.fullmatch(key)})


def _bytes_below(folder: Path) -> int:
    """Bytes of all files below a folder; what has two names counts once."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values())

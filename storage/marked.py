"""Folders in a bucket: their files and, written last, a marker beside the folder that names each with its size and hash.

Without its marker a folder is not there. What is brought here is written aside, compared with the marker, and put in place by one rename.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from valuedrift.atomic import flush
from valuedrift.errors import DataError
from valuedrift.fingerprint import file_fingerprint
from valuedrift.storage.location import Location

_ASIDE = ".partial-"
"""Beginning of the name of a folder that is being brought; whoever trains in its folder sweeps it, as other partial ones."""
_TRIES = 2
"""How often an object is read when its bytes are not those that the marker names: a transfer may have failed."""


class StoredFile(BaseModel):
    """One file of a folder in a bucket."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0, description="Bytes.")
    sha: str = Field(description="Fingerprint of the bytes.")
    at: str = Field(description="Where the object lies, relative to the marker's folder.")


class Marker(BaseModel):
    """Says that a folder is there whole, and what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, StoredFile] = Field(description="By path in the folder.")
    progress: tuple[int, ...] = Field(default=(), description="Of a training's state: how far it is; compared as tuples are.")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def is_of(self, folder: Path) -> bool:
        """Whether a folder here holds the very same files."""
        here = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return here.keys() == self.files.keys() and all(
            path.stat().st_size == self.files[name].size and file_fingerprint(path) == self.files[name].sha for name, path in here.items()
        )

    @classmethod
    def at(cls, place: Location) -> Marker | None:
        """The marker at a place; None where there is none.

        Raises:
            DataError: It is damaged.
        """
        try:
            return cls.model_validate_json(place.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise DataError("this marker is damaged", where=place.uri, fix="delete it: what it stood for is made or sent again") from error


def send(
    folder: Path,
    below: Location,
    prefix: str,
    marker: str,
    *,
    known: Mapping[str, StoredFile] | None = None,
    progress: tuple[int, ...] = (),
) -> Marker:
    """Send the files of a folder to a bucket, the marker last.

    Args:
        folder: The folder; nothing in it changes meanwhile.
        below: The folder in the bucket that the marker lies in.
        prefix: Where below it the files go.
        marker: Name of the marker.
        known: Objects that are there already, by the hash of their bytes: they are named and not sent again.
        progress: See `Marker`.

    Raises:
        FileNotFoundError: A file went meanwhile.
        UserError: The bucket can't be reached; there is no marker, and what was sent is sent again.
    """
    there = dict(known or {})
    files: dict[str, StoredFile] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, sha = path.relative_to(folder).as_posix(), file_fingerprint(path)
        if sha not in there:
            there[sha] = StoredFile(size=path.stat().st_size, sha=sha, at=f"{prefix}/{name}")
            (below / there[sha].at).put_file(path)
        files[name] = there[sha]
    sent = Marker(files=files, progress=progress)
    (below / marker).put_bytes(sent.model_dump_json(indent=1).encode())
    return sent


def bring(marker: Marker, below: Location, target: Path) -> Path:
    """Bring a folder here; it appears by one rename, and of two that bring it at once both find it whole.

    Args:
        marker: The folder's marker.
        below: The folder in the bucket that the marker lies in.
        target: Where the folder is to lie.

    Raises:
        DataError: An object is not there, or its bytes are not those that the marker names.
        UserError: The bucket can't be reached, or there is no room.
    """
    aside = target.with_name(f"{_ASIDE}{target.name}-{os.getpid()}-{secrets.token_hex(4)}")
    aside.mkdir(parents=True)
    try:
        for name, file in marker.files.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _bring_file(below / file.at, file, path)
            flush(path)
        flush(aside)
        try:
            aside.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        flush(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _bring_file(place: Location, file: StoredFile, path: Path) -> None:
    for _ in range(_TRIES):
        try:
            place.save_as(path)
        except FileNotFoundError as error:
            raise DataError("an object that a marker names is gone", where=place.uri, fix=_FIX) from error
        if path.stat().st_size == file.size and file_fingerprint(path) == file.sha:
            return
    raise DataError("its bytes are not those that were sent", where=place.uri, fix=_FIX)


_FIX = "delete the marker (the .json beside its folder): what it stood for is then made again, or sent again by the machine that has it"


def remove(below: Location, prefix: str, marker: str) -> int:
    """Remove a folder from a bucket, the marker first.

    Returns:
        Bytes that were freed.
    """
    (below / marker).delete()
    freed = 0
    for found in (below / prefix).listing():
        found.location.delete()
        freed += max(found.size, 0)
    return freed

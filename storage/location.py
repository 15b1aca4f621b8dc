"""Where bytes lie: one small interface over a local path and an S3 address.

Everything that the program reads or writes under a root goes through `Location`, so that a root may be a folder or ``s3://bucket/prefix``
and nothing else changes. Writes are all or nothing: a reader sees the old bytes or the new ones, never a part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint

_LONGEST_PART = 150
"""File systems allow 255 bytes a name; a temporary name and a suffix are added to ours."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a listing.

    Attributes:
        location: The object.
        size: Bytes.
        modified: Time of the last write, UTC.
        tag: Differs whenever the bytes do (S3's ETag); empty on disk, where files are read in place.
    """

    location: Location
    size: int
    modified: datetime
    tag: str = ""


Seen = tuple[str, int, datetime, str]
"""An object as a backend sees it: path, bytes, time of writing, tag."""


class Backend(Protocol):
    """What a kind of storage must be able to do; paths are absolute (local) or keys (S3)."""

    def look(self, path: str) -> Seen | None:
        """The object at a path, None where there is none."""

    def read(self, path: str) -> bytes:
        """All bytes of an object; FileNotFoundError where there is none."""

    def save(self, path: str, file: Path) -> str:
        """Write all bytes of an object into a local file, a piece at a time, and give its tag; FileNotFoundError where there is none."""

    def put(self, path: str, data: bytes) -> None:
        """Write or replace an object in one indivisible step."""

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write an object in one indivisible step unless there is one; tells whether this call wrote it."""

    def listing(self, path: str) -> Iterator[Seen]:
        """All objects below a folder, at any depth; nothing where there is no folder."""

    def leftovers(self, path: str) -> Iterator[Seen]:
        """Temporary files below a folder that a killed writer left."""

    def delete(self, path: str) -> None:
        """Remove an object; no error where there is none."""


@dataclass(frozen=True, slots=True)
class Location:
    """An address: a local path, or a key in an S3 bucket.

    Attributes:
        scheme: ``file`` or ``s3``.
        bucket: The S3 bucket; empty for local paths.
        path: Absolute local path, or the key without a leading slash.
    """

    scheme: str
    bucket: str
    path: str

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Location:
        """A location from what a person types: ``folder/file``, ``file:///folder`` or ``s3://bucket/prefix``.

        Raises:
            UserError: An empty address, another scheme, or ``s3://`` without a bucket.
        """
        address = os.fspath(text)
        scheme, separator, rest = address.partition("://")
        if not separator:
            scheme, rest = "file", address
        if scheme not in _BACKENDS:
            raise UserError(f"no storage for {scheme}://", where=address, fix="give a folder or s3://bucket/prefix")
        if scheme == "file":
            if not rest:
                raise UserError("an empty path", fix="give a folder or s3://bucket/prefix")
            return cls("file", "", str(Path(rest).expanduser().absolute()))
        bucket, _, key = rest.partition("/")
        if not bucket:
            raise UserError("an S3 address without a bucket", where=address, fix="s3://bucket/prefix")
        return cls("s3", bucket, key.strip("/"))

    def __truediv__(self, part: str) -> Location:
        """The location below this one; ``part`` may hold slashes."""
        return Location(self.scheme, self.bucket, f"{self.path.rstrip('/')}/{part}" if self.path else part)

    def __str__(self) -> str:
        return self.uri

    @property
    def uri(self) -> str:
        """The address as a person writes it: a plain path, or ``s3://bucket/key``."""
        return self.path if self.scheme == "file" else f"s3://{self.bucket}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def beside(self, name: str) -> Location:
        """The location of another name in the same folder."""
        folder, slash, _ = self.path.rpartition("/")
        return Location(self.scheme, self.bucket, f"{folder}{slash}{name}")

    @property
    def is_remote(self) -> bool:
        """Whether every access is a network request."""
        return self.scheme != "file"

    def relative_to(self, folder: Location) -> str:
        """The path of this object below a folder."""
        return self.path[len(folder.path) :].lstrip("/")

    def size(self) -> int | None:
        """Bytes of the object, None where there is none."""
        found = self.look()
        return None if found is None else found.size

    def look(self) -> Found | None:
        """The object that is here (a file, not a folder), None where there is none."""
        seen = self._backend().look(self.path)
        return None if seen is None else self._found(seen)

    def reached(self) -> Location:
        """The same, once its bucket has answered: what is wrong with it is told before long work begins, not when the result is to be written.

        Raises:
            UserError: The bucket is missing or refuses us, or nothing answers.
        """
        if self.is_remote:
            next(iter(self._backend().listing(self.path)), None)
        return self

    def exists(self) -> bool:
        """Whether there is an object (a file, not a folder) here."""
        return self.size() is not None

    def read_bytes(self) -> bytes:
        """All bytes.

        Raises:
            FileNotFoundError: There is no object here.
        """
        return self._backend().read(self.path)

    def save_as(self, file: Path) -> str:
        """Write all bytes into a local file, a piece at a time.

        Returns:
            The tag of the bytes that were written.

        Raises:
            FileNotFoundError: There is no object here.
        """
        return self._backend().save(self.path, file)

    def put_bytes(self, data: bytes) -> None:
        """Write or replace the object; whoever reads meanwhile sees the old bytes or the new ones.

        Raises:
            UserError: The disk is full, the folder may not be written to, the bucket is missing, and the like.
        """
        self._backend().put(self.path, data)

    def put_if_absent(self, data: bytes) -> bool:
        """Write the object unless there is one; of several writers at once exactly one is told True."""
        return self._backend().put_if_absent(self.path, data)

    def listing(self) -> list[Found]:
        """All objects below this folder, at any depth, by path."""
        return self._all(self._backend().listing)

    def leftovers(self) -> list[Found]:
        """Temporary files below this folder that a killed writer left; never part of `listing`."""
        return self._all(self._backend().leftovers)

    def delete(self) -> None:
        """Remove the object; nothing happens where there is none."""
        self._backend().delete(self.path)

    def _all(self, lister: Callable[[str], Iterator[Seen]]) -> list[Found]:
        return sorted(map(self._found, lister(self.path)), key=lambda one: one.location.path)

    def _found(self, seen: Seen) -> Found:
        path, size, modified, tag = seen
        return Found(Location(self.scheme, self.bucket, path), size, modified, tag)

    def _backend(self) -> Backend:
        return _backend(self.scheme, self.bucket)


def path_part(value: str | int) -> str:
    """A value as one part of a path or key: percent-encoded, never a dot folder, never too long for a file system."""
    encoded = quote(str(value), safe="")
    if len(encoded) > _LONGEST_PART:
        encoded = f"{encoded[: _LONGEST_PART - 24].rstrip('%')}~{fingerprint(str(value))}"
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def _disk(bucket: str) -> Backend:
    from valuedrift.storage.disk import Disk

    return Disk()


def _s3(bucket: str) -> Backend:
    from valuedrift.storage.s3 import Bucket

    return Bucket(bucket)


_BACKENDS: dict[str, Callable[[str], Backend]] = {"file": _disk, "s3": _s3}


@lru_cache(maxsize=64)
def _backend(scheme: str, bucket: str) -> Backend:
    return _BACKENDS[scheme](bucket)

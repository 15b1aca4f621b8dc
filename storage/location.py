"""Where bytes lie: one small value for a local path and an address in a store (``s3://bucket/key``, ``gs://…``).

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
from typing import TYPE_CHECKING
from urllib.parse import quote

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint

if TYPE_CHECKING:
    from valuedrift.storage.filesystems import Files, Seen

_LONGEST_PART = 150
"""File systems allow 255 bytes a name; a temporary name and a suffix are added to ours."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a listing.

    Attributes:
        location: The object.
        size: Bytes; -1 where the store does not tell.
        modified: Time of the last write, UTC.
        tag: Differs whenever the bytes do (S3's ETag, else the time of the last write); empty where the store tells neither.
    """

    location: Location
    size: int
    modified: datetime
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Location:
    """An address: a local path, or a path in a store.

    Attributes:
        scheme: ``file``, ``s3``, or what else fsspec knows.
        bucket: The first part of the address, a bucket or a host; empty for local paths.
        path: Absolute local path, or the key without a leading slash.
    """

    scheme: str
    bucket: str
    path: str

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Location:
        """A location from what a person types: ``folder/file``, ``file:///folder``, ``s3://bucket/prefix`` and the like.

        Raises:
            UserError: An empty address, one without a bucket, one with a password in it, or of a store that cannot be reached from here.
        """
        address = os.fspath(text)
        scheme, separator, rest = address.partition("://")
        if not separator:
            scheme, rest = "file", address
        if scheme == "file":
            if not rest:
                raise UserError("an empty path", fix="give a folder or s3://bucket/prefix")
            return cls("file", "", str(Path(rest).expanduser().absolute()))
        bucket, _, key = rest.partition("/")
        if ":" in bucket.rpartition("@")[0]:
            raise UserError(
                "an address with a password in it", where=f"{scheme}://", fix="leave it out; credentials come from the environment"
            )
        place = cls(scheme, bucket, key.strip("/"))
        if scheme != "s3":
            place._files()  # says whether there is such a store
        if not bucket:
            raise UserError(
                f"{'an S3' if scheme == 's3' else 'an'} address without a bucket", where=address, fix=f"{scheme}://bucket/prefix"
            )
        return place

    def __truediv__(self, part: str) -> Location:
        """The location below this one; ``part`` may hold slashes."""
        return Location(self.scheme, self.bucket, f"{self.path.rstrip('/')}/{part}" if self.path else part)

    def __str__(self) -> str:
        return self.uri

    @property
    def uri(self) -> str:
        """The address as a person writes it: a plain path, or ``s3://bucket/key``; fit to be shown."""
        return self.path if self.scheme == "file" else f"{self.scheme}://{self.bucket}/{self.plain_path}"

    @property
    def plain_path(self) -> str:
        """The path without what follows a question mark in a web address: it may be a signature, which is nobody's business."""
        return self.path.partition("?")[0] if self.scheme in ("http", "https") else self.path

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
        seen = self._files().look(self.path)
        return None if seen is None else self._located(seen)

    def reached(self) -> Location:
        """The same, once it can be written to: what stands against it is told before long work begins, not when the result is to be written.

        Raises:
            UserError: The store is for reading only, the bucket is missing or refuses us, or nothing answers.
        """
        self.check_writable()
        self._files().reach(self.path)
        return self

    def check_writable(self) -> None:
        """Say, without a request, whether the store is one to write to.

        Raises:
            UserError: It can only be read here.
        """
        self._files().check_writable(self.path)

    def exists(self) -> bool:
        """Whether there is an object (a file, not a folder) here."""
        return self.size() is not None

    def read_bytes(self) -> bytes:
        """All bytes.

        Raises:
            FileNotFoundError: There is no object here.
        """
        return self._files().read(self.path)

    def save_as(self, file: Path) -> None:
        """Write all bytes into a local file, a piece at a time.

        Raises:
            FileNotFoundError: There is no object here.
        """
        self._files().save(self.path, file)

    def put_bytes(self, data: bytes) -> None:
        """Write or replace the object; whoever reads meanwhile sees the old bytes or the new ones.

        Raises:
            UserError: The disk is full, the folder may not be written to, the bucket is missing, and the like.
        """
        self._files().put(self.path, data)

    def put_file(self, file: Path) -> None:
        """Write or replace the object with the bytes of a local file, a piece at a time; as whole as by :meth:`put_bytes`.

        Raises:
            FileNotFoundError: There is no such local file.
            UserError: See :meth:`put_bytes`.
        """
        self._files().put_file(self.path, file)

    def put_if_absent(self, data: bytes) -> bool:
        """Write the object unless there is one; of several writers at once exactly one is told True."""
        return self._files().put_if_absent(self.path, data)

    def listing(self) -> list[Found]:
        """All objects below this folder, at any depth, by path."""
        return self._all(self._files().listing)

    def leftovers(self) -> list[Found]:
        """Temporary files below this folder that a killed writer left; never part of `listing`."""
        return self._all(self._files().leftovers)

    def delete(self) -> None:
        """Remove the object; nothing happens where there is none."""
        self._files().delete(self.path)

    def _all(self, lister: Callable[[str], Iterator[Seen]]) -> list[Found]:
        return sorted(map(self._located, lister(self.path)), key=lambda one: one.location.path)

    def _located(self, seen: Seen) -> Found:
        path, size, modified, tag = seen
        return Found(Location(self.scheme, self.bucket, path), size, modified, tag)

    def _files(self) -> Files:
        return files_of(self.scheme, self.bucket)


@lru_cache(maxsize=64)
def files_of(scheme: str, bucket: str) -> Files:
    """The files of a store.

    Raises:
        UserError: fsspec knows no such store, or the package that reaches it is not installed.
    """
    from fsspec import get_filesystem_class

    from valuedrift.storage.filesystems import Files, LocalFiles

    if scheme == "file":
        return LocalFiles("file://")
    if scheme == "s3":
        from valuedrift.storage.s3 import BucketFiles

        return BucketFiles(f"s3://{bucket}")
    try:
        get_filesystem_class(scheme)
    except ValueError as error:
        raise UserError(
            f"no storage for {scheme}://", fix="give a folder or s3://bucket/prefix; gs://, az:// and the like for reading"
        ) from error
    except ImportError as error:
        raise UserError(f"{scheme}:// is not installed: {error}", fix="install the package with pip") from error
    return Files(f"{scheme}://{bucket}")


def path_part(value: str | int) -> str:
    """A value as one part of a path or key: percent-encoded, never a dot folder, never too long for a file system."""
    encoded = quote(str(value), safe="")
    if len(encoded) > _LONGEST_PART:
        encoded = f"{encoded[: _LONGEST_PART - 24].rstrip('%')}~{fingerprint(str(value))}"
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")

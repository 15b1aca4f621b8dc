"""The only files that SQL can reach: the objects that manifests name, through a file system that cannot write.

DuckDB's own list of allowed paths allows writing too, and a COPY can hide in a common table expression of a SELECT (DuckDB 2.0), so that looking
at the kind of statement is no protection. Here nothing can be opened but for reading, whatever is typed.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

SCHEME = "tables"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Objects never change under their name, so that the time of the last change says nothing."""


class TableFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Objects below a local root as ``tables://<path>``, for reading only.

    Args:
        root: The folder.
        paths: The objects that may be read, relative to it.
    """

    protocol = SCHEME
    cachable = False

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        super().__init__()
        self._root = root
        self._paths = frozenset(paths)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name and size of an object."""
        name = self._name(path)
        return {"name": name, "size": (self._root / name).stat().st_size, "type": "file"}

    def exists(self, path: str, **options: Any) -> bool:
        """Whether the path is one of the objects."""
        return self._strip_protocol(path) in self._paths

    def isfile(self, path: str) -> bool:
        """Whether the path is one of the objects."""
        return self.exists(path)

    def isdir(self, path: str) -> bool:
        """There are no folders here."""
        return False

    def modified(self, path: str) -> datetime:
        """A fixed time."""
        return _EPOCH

    def created(self, path: str) -> datetime:
        """A fixed time."""
        return _EPOCH

    def glob(self, path: str, **options: Any) -> list[str]:
        """The object of exactly this name; nothing is looked for."""
        name = self._strip_protocol(path)
        return [name] if name in self._paths else []

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """Nothing: there is nothing to browse."""
        return []

    def open(self, path: str, mode: str = "rb", **options: Any) -> _SharedFile:
        """The object's bytes.

        Raises:
            PermissionError: Any other mode than reading, or any other path.
            FileNotFoundError: The manifest names the object, but it is gone.
        """
        if mode != "rb":
            raise PermissionError("the tables can only be read here")
        place = self._root / self._name(path)
        try:
            return _SharedFile(place)
        except FileNotFoundError:
            raise FileNotFoundError(f"{place} is named by the manifest, but it is gone") from None

    def _name(self, path: str) -> str:
        name = str(self._strip_protocol(path))
        if name not in self._paths:
            raise PermissionError(f"not one of the tables' objects: {name}")
        return name


class _SharedFile(io.RawIOBase):
    """A file that several threads read through one handle: each has a position of its own.

    DuckDB seeks and then reads, in two calls, from all its threads. With one position a thread would read where another has just been.
    """

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._descriptor = os.open(place, os.O_RDONLY)
        self._size = os.fstat(self._descriptor).st_size
        self._own = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return getattr(self._own, "position", 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        self._own.position = start + offset
        return start + offset

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self.tell() if size is None or size < 0 else size
        pieces = []
        while wanted > 0 and (piece := os.pread(self._descriptor, wanted, self.tell())):
            pieces.append(piece)
            self.seek(len(piece), os.SEEK_CUR)
            wanted -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()

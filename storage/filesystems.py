"""Files wherever fsspec reaches: on a local disk and in an S3 bucket for reading and writing, in any other store that it knows for reading.

Other stores are not written to, because a root needs a conditional create that is known to hold against several writers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from fsspec.core import url_to_fs

from valuedrift.atomic import flush, is_aside, put_in_place, written_aside
from valuedrift.errors import UserError

Seen = tuple[str, int, datetime, str]
"""A file as it is seen: path, bytes (-1 if unknown), time of writing, and a tag that differs whenever the bytes do (empty if there is none)."""

_TAGS = ("ETag", "etag", "md5Hash", "crc32c", "sha256", "blob_id")
_TIMES = ("LastModified", "mtime", "last_modified", "updated", "created")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("is full", "make room there, or give another root"),
    errno.EDQUOT: ("has no quota left for you", "make room there, or give another root"),
    errno.EFBIG: ("does not take a file of this size", "raise the limit on file sizes (ulimit -f), or give another root"),
    errno.EROFS: ("is read-only", "give a root that can be written to"),
}
_Answer = TypeVar("_Answer")


class Files:
    """The files of one store, for reading.

    Args:
        root: Its address, ``scheme://bucket``; paths are relative to it.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._opened: dict[int, Any] = {}

    def look(self, path: str) -> Seen | None:
        """The file at a path; None where there is none, or a folder."""
        try:
            info = self._ask(lambda fs: fs.info(self._full(path)), path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if info["type"] == "directory" else self._seen(info)

    def read(self, path: str) -> bytes:
        """All bytes of a file; FileNotFoundError where there is none."""
        return bytes(self._ask(lambda fs: fs.cat_file(self._full(path)), path))

    def save(self, path: str, file: Path) -> None:
        """Write all bytes of a file into a local one, a piece at a time; FileNotFoundError where there is none."""
        self._ask(lambda fs: fs.get_file(self._full(path), str(file)), path)

    def listing(self, path: str) -> Iterator[Seen]:
        """All finished files below a folder, at any depth; nothing where there is no folder."""
        return map(self._seen, self._entries_below(path))

    def leftovers(self, path: str) -> Iterator[Seen]:
        """Temporary files below a folder that a killed writer left."""
        return iter(())

    def put(self, path: str, data: bytes) -> None:
        """Write or replace a file in one indivisible step."""
        raise self._read_only(path)

    def put_file(self, path: str, file: Path) -> None:
        """Write or replace a file with the bytes of a local one, in one indivisible step."""
        raise self._read_only(path)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write a file in one indivisible step unless there is one; tells whether this call wrote it."""
        raise self._read_only(path)

    def delete(self, path: str) -> None:
        """Remove a file; no error where there is none."""
        raise self._read_only(path)

    def check_writable(self, path: str) -> None:
        """Ask nothing, and say whether the store is one to write to.

        Raises:
            UserError: It is for reading only.
        """
        raise self._read_only(path)

    def reach(self, path: str) -> None:
        """Ask whether the store answers, if there is anything to ask.

        Raises:
            UserError: Its bucket is missing or refuses us, or nothing answers.
        """

    def _open(self) -> Any:
        return url_to_fs(self._root, skip_instance_cache=True, use_listings_cache=False)[0]

    def _filesystem(self) -> Any:
        """This process's connection: it must not be shared with a parent process."""
        process = os.getpid()
        if process not in self._opened:
            self._opened[process] = self._open()
        return self._opened[process]

    def _ask(self, request: Callable[[Any], _Answer], path: str) -> _Answer:
        """Ask fsspec for something.

        Raises:
            FileNotFoundError: There is no such file.
            UserError: Anything else, in words.
        """
        try:
            return request(self._filesystem())
        except (FileNotFoundError, NotADirectoryError):
            raise
        except Exception as error:  # each store has errors of its own
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            plain, _, signature = path.partition("?")  # of a web address; nobody's business
            raise UserError(f"cannot be read: {reason.replace(signature, '…') if signature else reason}", where=self._uri(plain)) from error

    def _entries_below(self, path: str) -> list[Mapping[str, Any]]:
        """What fsspec says of every file below a folder."""
        folder = self._full(path)
        try:
            found = self._ask(lambda fs: fs.find(folder, detail=True), path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [info for name, info in found.items() if name != folder]

    def _full(self, path: str) -> str:
        """A path as fsspec wants it."""
        return str(self._filesystem()._strip_protocol(self._uri(path)))

    def _path(self, name: str) -> str:
        """A path from a name that fsspec gives."""
        return name.removeprefix(self._full("")).lstrip("/")

    def _uri(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _seen(self, info: Mapping[str, Any]) -> Seen:
        size = info.get("size")
        moment = next((info[name] for name in _TIMES if info.get(name) is not None), None)
        moment = datetime.fromtimestamp(moment, UTC) if isinstance(moment, (int, float)) else moment
        tag = next((str(info[name]) for name in _TAGS if info.get(name)), "" if moment is None else str(moment))
        written = moment if isinstance(moment, datetime) else datetime.now(UTC)
        return self._path(info["name"]), -1 if size is None else int(size), written, tag

    def _read_only(self, path: str) -> UserError:
        scheme = self._root.partition("://")[0]
        return UserError(f"{scheme}:// can only be read here", where=self._uri(path), fix="write to a folder or to s3://bucket/prefix")


class LocalFiles(Files):
    """The local disk: files are written aside, flushed, then put in place in one step.

    fsspec's own local writing renames without flushing, and its exclusive create looks before it writes, so that two writers could both win.
    """

    def listing(self, path: str) -> Iterator[Seen]:
        """All finished files below a folder."""
        return (seen for seen in super().listing(path) if not is_aside(Path(seen[0]).name))

    def leftovers(self, path: str) -> Iterator[Seen]:
        """Temporary files below a folder."""
        return (seen for seen in super().listing(path) if is_aside(Path(seen[0]).name))

    def put(self, path: str, data: bytes) -> None:
        """Write aside, flush, replace."""
        with _writing(Path(path), data) as aside:
            put_in_place(aside, Path(path))

    def put_file(self, path: str, file: Path) -> None:
        """Copy aside, flush, replace."""
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(target) as aside:
                shutil.copyfile(file, aside)
                put_in_place(aside, target)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _explained(error, target) from error

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write aside, flush, link: the link fails if the name is taken, so that one writer wins."""
        with _writing(Path(path), data) as aside:
            flush(aside)
            try:
                os.link(aside, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    what = "this file system has no hard links, which keep two writers apart"
                    raise UserError(what, where=path, fix="give another root") from error
                raise
            flush(Path(path).parent)
        return True

    def delete(self, path: str) -> None:
        """Remove a file."""
        Path(path).unlink(missing_ok=True)

    def check_writable(self, path: str) -> None:
        """Nothing stands against it that can be told before a file is written."""

    def _ask(self, request: Callable[[Any], _Answer], path: str) -> _Answer:
        try:
            return request(self._filesystem())
        except PermissionError as error:
            raise UserError("this file or folder may not be read", where=str(error.filename), fix="check its owner and mode") from error

    def _entries_below(self, path: str) -> list[Mapping[str, Any]]:
        found = self._ask(lambda fs: fs.find(path, detail=True, on_error=_raised_unless_gone), path)
        return [info for name, info in found.items() if name != path]

    def _full(self, path: str) -> str:
        return path

    def _path(self, name: str) -> str:
        return name

    def _uri(self, path: str) -> str:
        return path


def _raised_unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


@contextlib.contextmanager
def _writing(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary file with some bytes beside a path, for a block that puts it in place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            aside.write_bytes(data)
            yield aside
    except OSError as error:
        raise _explained(error, path) from error


def _explained(error: OSError, path: Path) -> UserError:
    if error.errno in _REASONS:
        reason, fix = _REASONS[error.errno]
        return UserError(f"the disk mounted at {_mount_point(path)} {reason}; nothing was written", where=str(path), fix=fix)
    if isinstance(error, PermissionError):
        return UserError("this folder may not be written to", where=str(path.parent), fix="check its owner and mode, or give another root")
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return UserError("a file stands where a folder is needed", where=str(path.parent), fix="give another root")
    return UserError(f"cannot write: {error.strerror or error}", where=str(path))


def _mount_point(path: Path) -> Path:
    """The mount point of the disk that holds a path which may not exist yet."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    while not place.is_mount():
        place = place.parent
    return place

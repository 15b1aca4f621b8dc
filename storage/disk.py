"""Files on a local disk: written aside, synced, then put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from valuedrift.errors import UserError
from valuedrift.storage.location import Seen

_TEMPORARY = re.compile(r"^\..+\.\d+-[0-9a-f]{8}\.tmp$")
"""Hidden and without the real suffix: no glob for ``*.parquet`` or ``*.json.gz`` ever matches a file half written."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("is full", "make room there, or give another root"),
    errno.EDQUOT: ("has no quota left for you", "make room there, or give another root"),
    errno.EFBIG: ("does not take a file of this size", "raise the limit on file sizes (ulimit -f), or give another root"),
    errno.EROFS: ("is read-only", "give a root that can be written to"),
}


class Disk:
    """The local file system as a `storage.location.Backend`."""

    def look(self, path: str) -> Seen | None:
        """The file at a path, None where there is none."""
        try:
            return _seen(path, Path(path).stat()) if not Path(path).is_dir() else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        try:
            return Path(path).read_bytes()
        except PermissionError as error:
            raise UserError("this file may not be read", where=path, fix="check its owner and mode") from error

    def save(self, path: str, file: Path) -> str:
        """Copy a file."""
        shutil.copyfile(path, file)
        return ""

    def put(self, path: str, data: bytes) -> None:
        """Write aside, sync, replace."""
        with _written_aside(Path(path), data) as temporary:
            temporary.replace(path)
        _sync_folder(Path(path).parent)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write aside, sync, link: the link fails if the name is taken, so that one writer wins."""
        with _written_aside(Path(path), data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    what = "this file system has no hard links, which keep two writers apart"
                    raise UserError(what, where=path, fix="give another root") from error
                raise
        _sync_folder(Path(path).parent)
        return True

    def listing(self, path: str) -> Iterator[Seen]:
        """All finished files below a folder."""
        return (file for file in _walk(path) if not _TEMPORARY.match(Path(file[0]).name))

    def leftovers(self, path: str) -> Iterator[Seen]:
        """Temporary files below a folder."""
        return (file for file in _walk(path) if _TEMPORARY.match(Path(file[0]).name))

    def delete(self, path: str) -> None:
        """Remove a file."""
        Path(path).unlink(missing_ok=True)


def _seen(path: str, status: os.stat_result) -> Seen:
    return path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC), ""


def _walk(path: str) -> Iterator[Seen]:
    pending = [path]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            raise UserError("this folder may not be read", where=str(error.filename), fix="check its owner and mode") from error
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
                continue
            with contextlib.suppress(FileNotFoundError):  # deleted between the listing and the look
                yield _seen(entry.path, entry.stat())


@contextlib.contextmanager
def _written_aside(target: Path, data: bytes) -> Iterator[Path]:
    """A synced temporary file beside its target, removed on the way out whatever happens."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _explained(error: OSError, target: Path) -> UserError:
    disk = _mount_point(target)
    if error.errno in _REASONS:
        reason, fix = _REASONS[error.errno]
        return UserError(f"the disk mounted at {disk} {reason}; nothing was written", where=str(target), fix=fix)
    if isinstance(error, PermissionError):
        return UserError(
            "this folder may not be written to", where=str(target.parent), fix="check its owner and mode, or give another root"
        )
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return UserError("a file stands where a folder is needed", where=str(target.parent), fix="give another root")
    return UserError(f"cannot write: {error.strerror or error}", where=str(target))


def _mount_point(path: Path) -> Path:
    """The mount point of the disk that holds a path which may not exist yet."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    while not place.is_mount():
        place = place.parent
    return place


def _sync_folder(folder: Path) -> None:
    """Make a new name durable: a power cut after this keeps the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that appear whole or not at all: written aside, flushed to the disk, then put in place in one step."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

_ASIDE = re.compile(r"^\..+\.\d+-[0-9a-f]{8}\.tmp$")
"""Hidden and without the real suffix: no glob for ``*.parquet`` or ``*.json.gz`` ever matches a file half written."""


def write_whole(path: Path, content: bytes) -> None:
    """Write or replace a file; whoever reads meanwhile, or after a power cut, finds the old bytes or the new ones.

    Raises:
        OSError: The disk is full or the folder can't be written; nothing is left behind.
    """
    with written_aside(path) as aside:
        aside.write_bytes(content)
        put_in_place(aside, path)


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A temporary name beside a path, for a block that writes the file there and puts it in place; gone afterwards, whatever happens."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield aside
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def put_in_place(aside: Path, path: Path) -> None:
    """Give a file that was written aside its name."""
    flush(aside)
    aside.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, durable: a power cut after this keeps them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_aside(name: str) -> bool:
    """Whether a file name is a temporary one, of a writer at work or one that was killed."""
    return _ASIDE.match(name) is not None

"""What files of users mean by the paths in them: relative ones belong to where the file lies, a folder or a store."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from valuedrift.errors import UserError

ROOT_VARIABLE = "VALUEDRIFT_ROOT"
DEFAULT_ROOT = "valuedrift-data"


def root_of(root: str | None) -> str:
    """Where the tables lie: where it is said, else by the environment variable, else in the default folder."""
    return root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT


def is_address(reference: str) -> bool:
    """Whether it is an address in a store (``s3://bucket/key``, ``gs://…``), no path and no name; whoever reads it brings it to this machine first."""
    return "://" in reference


def is_pattern(reference: str) -> bool:
    """Whether a path that names no file may be meant for several: ``*``, ``?``, a set like ``[0-9]``; one character in brackets is a name.

    In web addresses these are nothing of the kind.
    """
    if reference.startswith(("http://", "https://")):
        return False
    return any(mark in reference for mark in "*?") or re.search(r"\[[^\[\]]{2,}\]", reference) is not None


def beside(folder: Path | str, reference: str) -> str:
    """A path as it stands in a file, on its own feet.

    Args:
        folder: What the file lies in: a local folder, or an address like ``s3://bucket/prefix``.
        reference: A path, ``~`` for the home folder, or an address, which stays as it is.

    Raises:
        UserError: It leads out of the bucket.
    """
    if is_address(reference):
        return reference
    path = Path(reference).expanduser()
    if path.is_absolute() or not is_address(str(folder)):
        return str((folder / path).resolve())
    scheme, _, place = str(folder).partition("://")
    bucket, _, prefix = place.partition("/")
    key = posixpath.normpath(posixpath.join(prefix, path.as_posix()))
    if key.split("/")[0] == "..":
        raise UserError(f"{reference!r} leads out of the bucket", where=str(folder), fix=f"give a whole address, {scheme}://bucket/key")
    return f"{scheme}://{bucket}/{key}"


def folder_of(address: str) -> Path | str:
    """What a file lies in: the local folder, or an address like ``s3://bucket/prefix``."""
    return address.rpartition("/")[0] if is_address(address) else Path(address).resolve().parent


def names_folder(model: str) -> bool:
    """Whether a model is given by its folder, here or in a store, and not by a name as ``embedded:NAME`` or ``hf:organisation/name``."""
    return ":" not in model or is_address(model)

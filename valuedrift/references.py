"""What files of users mean by the paths in them: relative ones belong to where the file lies, a folder or a bucket."""

from __future__ import annotations

import posixpath
from pathlib import Path

from valuedrift.errors import UserError

BUCKET = "s3://"
"""Prefix of what lies in an S3 bucket; whoever reads it brings it to this machine first."""


def beside(folder: Path | str, reference: str) -> str:
    """A path as it stands in a file, on its own feet.

    Args:
        folder: What the file lies in: a local folder, or ``s3://bucket/prefix``.
        reference: A path, ``~`` for the home folder, or an address, which stays as it is.

    Raises:
        UserError: It leads out of the bucket.
    """
    if "://" in reference:
        return reference
    path = Path(reference).expanduser()
    if path.is_absolute() or not str(folder).startswith(BUCKET):
        return str((folder / path).resolve())
    bucket, _, prefix = str(folder).removeprefix(BUCKET).partition("/")
    key = posixpath.normpath(posixpath.join(prefix, path.as_posix()))
    if key.split("/")[0] == "..":
        raise UserError(f"{reference!r} leads out of the bucket", where=str(folder), fix="give a whole address, s3://bucket/key")
    return f"{BUCKET}{bucket}/{key}"


def folder_of(address: str) -> Path | str:
    """What a file lies in: the local folder, or ``s3://bucket/prefix``."""
    return address.rpartition("/")[0] if address.startswith(BUCKET) else Path(address).resolve().parent


def names_folder(model: str) -> bool:
    """Whether a model is given by its folder, here or in a bucket, and not by a name as ``embedded:NAME`` or ``hf:organisation/name``."""
    return ":" not in model or model.startswith(BUCKET)

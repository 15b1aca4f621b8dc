"""Files of users that lie in a bucket or another store, at hand as local ones for readers that know paths only, and files that they write sent there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from fsspec.utils import glob_translate

from valuedrift.atomic import put_in_place, written_aside
from valuedrift.cache import cache_folder
from valuedrift.errors import UserError
from valuedrift.references import is_pattern
from valuedrift.storage.location import Found, Location
from valuedrift.words import listed


@contextlib.contextmanager
def at_hand(address: str | os.PathLike[str], *, folder: bool = False) -> Iterator[Path]:
    """A local file or folder with the bytes of an address, for a block; errors raised in it name the address and not the copy.

    Args:
        address: A local path, which is given back as it is, or an address in a store (``s3://bucket/key``, ``gs://…``).
        folder: Whether all files below the address may be meant, where there is no file of this very name.

    Raises:
        UserError: See :func:`fetched`.
    """
    text = os.fspath(address)
    copy = fetched(text, folder=folder)
    try:
        yield copy
    except UserError as error:
        if error.where is None or str(copy) not in error.where or str(copy) == text:
            raise
        raise type(error)(error.what, where=error.where.replace(str(copy), text.rstrip("/")), fix=error.fix) from error


def fitting(pattern: str) -> list[str]:
    """The addresses of the objects that a pattern like ``s3://bucket/rows/*.jsonl`` fits, in order; ``*`` ends at a slash, ``**`` does not.

    Raises:
        UserError: There is none, or the store cannot be reached.
    """
    place = Location.parse(pattern)
    if place.look() is not None:
        return [pattern]
    parts = place.path.split("/")
    fixed = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
    below = Location(place.scheme, place.bucket, "/".join(parts[:fixed]))
    try:
        fits = re.compile(glob_translate(place.path))
    except ValueError as error:
        raise UserError(f"no pattern: {error}", where=pattern, fix="`**` stands alone between slashes") from error
    found = sorted(one.location.uri for one in below.listing() if fits.fullmatch(one.location.path))
    if not found:
        raise UserError("no object fits this pattern", where=pattern, fix=f"below {below.uri} lie: {_some(below)}")
    return found


def _some(place: Location) -> str:
    return listed([one.location.path for one in place.listing()], 4) or "none"


def fetched(address: str, *, folder: bool = False) -> Path:
    """The local path of an address; what lies in a store is copied into the user's cache folder, and copied again only when it has changed.

    Args:
        address: A local path or an address in a store (``s3://bucket/key``, ``gs://…``).
        folder: Whether all files below the address may be meant, where there is no file of this very name.

    Raises:
        UserError: There is nothing at the address, it is a folder where a file is needed, or it cannot be reached.
    """
    if "://" not in address:
        return Path(address)
    place = Location.parse(address)
    if not place.is_remote:
        return Path(place.path)
    found = _objects_at(place, folder)
    stamp = sha256("\n".join(f"{one.location.uri}\t{one.size}\t{one.tag}" for one in found).encode()).hexdigest()
    base = _cache() / stamp[:24]
    for one in found:
        _copy(one, base / place_of_copy(one.location))
    return base / Path(place.bucket, place.plain_path)


def place_of_copy(location: Location) -> Path:
    """Where below a folder the copy of an object belongs: bucket and key, so that a message which names the copy tells where it came from.

    Raises:
        UserError: The key would lead out of the folder, or is no path of a file.
    """
    parts = [location.bucket, *location.plain_path.split("/")]
    if any(part in ("", ".", "..") for part in parts):
        raise UserError("a key that is no path of a file", where=location.uri, fix="rename it")
    return Path(*parts)


def is_copy(path: str | os.PathLike[str]) -> bool:
    """Whether a local path is one that :func:`fetched` gave for an address in a bucket."""
    return Path(path).is_relative_to(_cache())


@contextlib.contextmanager
def sent(address: str) -> Iterator[Path]:
    """A local folder to write into, for a block: the address itself, or one whose files are put into the bucket when the block has ended well.

    Args:
        address: A folder, local or ``s3://bucket/prefix``.

    Raises:
        UserError: The bucket cannot be reached; said before the block begins.
    """
    place = Location.parse(address).reached()
    if not place.is_remote:
        yield Path(address) if "://" not in address else Path(place.path)
        return
    with TemporaryDirectory() as aside:
        folder = Path(aside) / (place.name or place.bucket)
        yield folder
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            (place / file.relative_to(folder).as_posix()).put_bytes(file.read_bytes())


def _cache() -> Path:
    return cache_folder() / "fetched"


def _objects_at(place: Location, folder: bool) -> Sequence[Found]:
    """The object at an address, or all objects below it."""
    single = place.look()
    found = [single] if single is not None else place.listing()
    found = [one for one in found if not one.location.path.endswith("/")]  # consoles mark folders by empty objects
    if not found:
        raise UserError("there is nothing at this address", where=place.uri, fix="give a file, or a folder with files" if folder else None)
    if single is None and not folder:
        raise UserError("a folder where a file is needed", where=place.uri, fix=f"e.g. {found[0].location.uri}")
    return found


def _copy(found: Found, target: Path) -> None:
    """Write an object where its copy belongs, whole or not at all, unless it is there."""
    if found.tag and target.is_file() and target.stat().st_size == found.size:  # without a tag nothing says whether it is still the same
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with written_aside(target) as aside:
            found.location.save_as(aside)
            now = found.location.look()
            if now is None or (now.size, now.tag) != (found.size, found.tag):
                raise UserError("it was written anew while it was read", where=found.location.uri, fix="try again")
            put_in_place(aside, target)
    except FileNotFoundError as error:
        raise UserError("it went while it was read", where=found.location.uri, fix="try again") from error

"""Files that commands write, local or in a bucket."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from valuedrift.storage.location import Location

_FORMATS = {".parquet": "Parquet", ".csv": "CSV", ".jsonl": "JSON lines", ".yaml": "YAML", ".yml": "YAML"}


def target(address: str, option: str, *endings: str) -> Location:
    """Where a command is to write, looked at before it begins its work.

    Args:
        address: A path or s3://bucket/key.
        option: The option that it was given by.
        endings: What its name must end in, one of them; anything where none is given.

    Raises:
        UserError: The name asks for another format, the local folder is not there, or the bucket is not or cannot be reached.
    """
    from valuedrift.errors import UserError
    from valuedrift.storage.location import Location

    place = Location.parse(address)
    if endings and not (place.name.lower().endswith(endings) and place.name.lower() not in endings):
        raise UserError(
            f"this is written as {_FORMATS[endings[0]]}", where=f"{option} {address}", fix=f"end the name in {' or '.join(endings)}"
        )
    if address.endswith("/") or not place.path:
        raise UserError("a folder where a file is needed", where=f"{option} {address}", fix="give a file name")
    if not place.is_remote and not Path(place.path).parent.is_dir():
        raise UserError("no such folder", where=str(Path(place.path).parent), fix=f"make it, or give another {option}")
    return place.reached()


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()

"""Results on the way to a table, kept by the fingerprint of what they were made of, so that the same work is not done twice.

They are no tables: nobody queries them, no manifest names them, and any of them may be deleted at any time. Each lies in one object,
``_steps/<kind>/<key>.parquet``, that is written in one piece and never changed.
"""

from __future__ import annotations

import io

import polars as pl

from valuedrift.errors import DataError
from valuedrift.storage import parquet
from valuedrift.storage.location import Location, path_part

FOLDER = "_steps"


class Shelf:
    """Intermediate results under a root.

    Args:
        root: Where the tables lie.
    """

    def __init__(self, root: Location) -> None:
        self._folder = root / FOLDER

    def place(self, kind: str, key: str) -> Location:
        """Where a result lies or would lie."""
        return self._folder / f"{path_part(kind)}/{path_part(key)}.parquet"

    def exists(self, kind: str, key: str) -> bool:
        """Whether the result is there."""
        return self.place(kind, key).exists()

    def read(self, kind: str, key: str) -> pl.DataFrame:
        """The rows of a result.

        Raises:
            DataError: It is gone or damaged; made again by the next run.
        """
        place = self.place(kind, key)
        try:
            return parquet.decoded(place.read_bytes(), place.uri)
        except FileNotFoundError as error:
            raise DataError("an intermediate result is gone", where=place.uri, fix="run the same command again") from error
        except DataError:
            place.delete()
            raise

    def put(self, kind: str, key: str, frame: pl.DataFrame) -> None:
        """Keep the rows of a result."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd")
        self.place(kind, key).put_bytes(buffer.getvalue())

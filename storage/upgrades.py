"""How files of older table versions become rows of today's: one registered step a version, applied in a chain when they are read.

Steps work on lazy frames, so that an old file is upgraded row group by row group and nothing is rewritten behind the owner's back;
`valuedrift tables compact` writes upgraded files.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from valuedrift.errors import DataError
from valuedrift.storage.table import TableSchema

Step = Callable[[pl.LazyFrame], pl.LazyFrame]

UNKNOWN_PROBE_SET = "unknown"


def _stances_1(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 1 knew one probe set and no polarity: stance could not be told from yes-saying."""
    return frame.with_columns(
        pl.lit(UNKNOWN_PROBE_SET).alias("probe_set"),
        pl.lit(None, dtype=pl.Int8).alias("polarity"),
        pl.lit(None, dtype=pl.String).alias("pair_id"),
    )


def _drift_1(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 1 dropped what analyze says about its drift times, and the correction over all runs of a study."""
    return frame.with_columns(
        pl.lit(None, dtype=pl.Boolean).alias("drift_time_warning"),
        pl.lit(None, dtype=pl.String).alias("drift_time_note"),
        pl.lit(None, dtype=pl.Float64).alias("q_value_study"),
    )


STEPS: dict[tuple[str, int], Step] = {("stances", 1): _stances_1, ("drift", 1): _drift_1}
"""From (table, version) to the version after it."""


def upgraded(schema: TableSchema, frame: pl.LazyFrame, version: int, where: str) -> pl.LazyFrame:
    """A frame of an older version as one of the present version, columns in order.

    Raises:
        DataError: The version is newer than this program, or a step of the chain is not registered.
    """
    if version > schema.version:
        raise DataError(
            f"table {schema.name} has schema version {version}, this program knows up to {schema.version}",
            where=where,
            fix="install a newer valuedrift",
        )
    for passed in range(version, schema.version):
        if (schema.name, passed) not in STEPS:
            raise DataError(f"no way from version {passed} to {passed + 1} of the table {schema.name}", where=where)
        frame = STEPS[schema.name, passed](frame)
    return frame.select(schema.names)

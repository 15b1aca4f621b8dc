"""How finely probabilities were written: two of them that differ by less than the rounding of their input are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import polars as pl

from valuedrift.statistics.intervals import TINY

SINGLE = 2.0**-23
"""Most that rounding to 32-bit floats makes of the difference of two probabilities, on either side of it: twice their spacing below 1."""
_FEW = 5
"""Decimals up to which numbers are taken as exact: tables of probabilities that were rounded so far do not sum to 1 any more."""
_SIGNIFICANT = 9
"""Digits that tell every 32-bit float from its neighbours: what writes one as text writes no more."""
_PLACES: Mapping[int, float] = MappingProxyType({6: 2e-6, 7: 2e-7})
"""Decimals to what rounding to them makes of a difference, where that is more than ``SINGLE``."""
_ALIKE = 1e-15
_LOOK = 1000
"""Rows that are looked at first: most tables are found in them to be written in full."""


def rounding_of(values: pl.LazyFrame, columns: Sequence[str]) -> float:
    """Below which size differences and standard errors of means of some columns are rounding, by the type of the columns and by what stands in them.

    Numbers of 32-bit floats stay so coarse when a table gives them 64 bits, or writes them as text.

    Args:
        values: A frame with probabilities; null and NaN are skipped.
        columns: Those with the probabilities.

    Returns:
        ``valuedrift.statistics.intervals.TINY`` for 64-bit numbers written in full.
    """
    schema = values.collect_schema()
    narrow = SINGLE if any(schema[name].is_float() and schema[name] != pl.Float64 for name in columns) else TINY
    numbers = [pl.col(name).cast(pl.Float64).fill_nan(None) for name in columns]
    written: dict[float, list[pl.Expr]] = {TINY: [_on_grid(number, _FEW) for number in numbers]}
    written |= {size: [_on_grid(number, places) for number in numbers] for places, size in _PLACES.items()}
    written[SINGLE] = [_as_single(number) for number in numbers]
    found = values.head(_LOOK)
    for part in (found, values):
        left = {str(size): pl.all_horizontal(column.all() for column in held) for size, held in written.items()}
        if not left:
            return narrow
        true = part.select(expression.alias(name) for name, expression in left.items()).collect(engine="streaming").row(0, named=True)
        written = {size: held for size, held in written.items() if true[str(size)]}
    return max(narrow, next(iter(written), TINY))


def _on_grid(number: pl.Expr, places: int) -> pl.Expr:
    return (number.round(places) - number).abs().fill_null(0.0) <= _ALIKE


def _as_single(number: pl.Expr) -> pl.Expr:
    """Whether it is a 32-bit float, or has no more digits than the text of one."""
    exact = number.cast(pl.Float32).cast(pl.Float64) == number
    scale = pl.lit(10.0).pow(_SIGNIFICANT - 1 - number.abs().log10().floor())
    short = ((number * scale).round() / scale - number).abs() <= _ALIKE * number.abs()
    return (exact | short | (number == 0)).fill_null(True)

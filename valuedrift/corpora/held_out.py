"""What of a dataset is not learnt, so that a loss on it can be told beside that of training."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.normal import Row, canonical
from valuedrift.errors import DataError
from valuedrift.fingerprint import seed_from

HeldOut = Annotated[float, Field(gt=0, lt=1)] | str | Dataset
"""A share of the rows, which are then not learnt; another split of the same data; or other data."""


def held_rows(rows: int, share: float, where: str) -> int:
    """How many of so many rows a share holds out.

    Raises:
        DataError: None would be left, here or there.
    """
    held = round(rows * share)
    if not 0 < held < rows:
        raise DataError(f"held_out {share:g} of {rows:,} rows leaves none to {'learn from' if held else 'hold out'}", where=where)
    return held


def apart(rows: list[Row], share: float, where: str) -> tuple[list[Row], list[Row]]:
    """Rows to learn from, and rows that are held out; each in their order.

    Those with the smallest hashes of what is asked are held out, the same on every machine: rows with one prompt stay together, but perhaps for the last.

    Raises:
        DataError: See :func:`held_rows`.
    """
    held = held_rows(len(rows), share, where)
    order = sorted(range(len(rows)), key=lambda row: (seed_from("held out", canonical({"asked": _asked(rows[row])})), row))
    chosen = set(order[:held])
    return [row for at, row in enumerate(rows) if at not in chosen], [row for at, row in enumerate(rows) if at in chosen]


def evaluated(dataset: Dataset, held_out: HeldOut) -> Dataset | None:
    """The dataset that is held out; None where it is a share of the rows."""
    if isinstance(held_out, str):
        return dataset.model_copy(update={"split": held_out, "limit": None, "rows": None})
    return held_out if isinstance(held_out, Dataset) else None


def _asked(row: Row) -> Any:
    """What comes before the first answer."""
    if "messages" not in row:
        return row["prompt"]
    first = next((at for at, message in enumerate(row["messages"]) if message["role"] == "assistant"), len(row["messages"]))
    return row["messages"][:first]

"""What became of a dataset's rows, as a table has it and as a sentence says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.corpora.load import Rows

USED, LEFT_OUT, CUT, NOTED = "used", "left out", "cut", "noted"
TOO_LONG = "its prompt fills max_length"
CUT_SHORT = "its answer was cut at max_length"


def row_counts(rows: Rows, *, too_long: int = 0, cut: int = 0) -> list[dict[str, Any]]:
    """What became of the rows of a dataset, one entry a kind: became, what, n_rows, first_row.

    Args:
        rows: The dataset as it was read.
        too_long: Of its rows those that training left out, since there was no room for an answer.
        cut: Of its rows those of which training cut an answer.
    """
    entries = [_entry(USED, rows.format, len(rows.rows) - too_long)]
    entries += [_entry(LEFT_OUT, reason, number, rows.first.get(reason)) for reason, number in rows.dropped.items()]
    entries += [_entry(LEFT_OUT, TOO_LONG, too_long), _entry(CUT, CUT_SHORT, cut)]
    entries += [_entry(NOTED, note, number) for note, number in rows.notes.items()]
    return [entry for entry in entries if entry["n_rows"] or entry["became"] == USED]


def told_rows(entries: Iterable[Mapping[str, Any]]) -> str:
    """One sentence: how many rows are used, how many were left out or cut, why, and what they hold beyond what is learnt.

    Args:
        entries: As `row_counts` makes them, or rows of the tables that hold them.
    """
    found = list(entries)
    used = sum(entry["n_rows"] for entry in found if entry["became"] == USED)
    parts = [f"{counted(used, 'row')} used"]
    left = [entry for entry in found if entry["became"] == LEFT_OUT]
    if left:
        parts.append(f"{sum(entry['n_rows'] for entry in left):,} left out ({_listed(left)})")
    parts += [_listed(kind) for became in (CUT, NOTED) if (kind := [entry for entry in found if entry["became"] == became])]
    return "; ".join(parts)


def has_more(entries: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there is more to tell than that rows are used."""
    return any(entry["became"] != USED for entry in entries)


def _listed(entries: Iterable[Mapping[str, Any]]) -> str:
    ranked = sorted(entries, key=lambda entry: (-entry["n_rows"], entry["what"]))
    return "; ".join(f"{entry['what']}: {entry['n_rows']:,}" for entry in ranked)


def _entry(became: str, what: str, n_rows: int, first_row: int | None = None) -> dict[str, Any]:
    return {"became": became, "what": what, "n_rows": n_rows, "first_row": first_row}

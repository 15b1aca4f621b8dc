"""Drift as corrected by labels, as a person reads it in a terminal: beside the same as judged, and what to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from valuedrift.flows.cli.console import make_console

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 20


def show_corrected(rows: pl.DataFrame, notes: list[str]) -> None:
    """The largest corrected drifts of each judge beside those as judged.

    Args:
        rows: As `valuedrift.drift.corrected.corrected` returns them.
        notes: What is not corrected, and why.
    """
    import polars as pl

    console = make_console()
    keys = [name for name in ("study", "judge") if name in rows.columns and rows[name].n_unique() > 1]
    for part in rows.partition_by(keys, maintain_order=True) if keys else [rows]:
        if keys:
            console.print(" · ".join(f"{name} [bold]{escape(str(part[name][0]))}[/]" for name in keys), highlight=False)
        table = Table("run", "topic", "stance", "as judged", "corrected", "labels", box=None, header_style="bold")
        for row in part.sort(pl.col("magnitude").abs(), descending=True).head(_SHOWN).iter_rows(named=True):
            level = f"{row['n_labels']} of the {'cell, λ ' + format(row['tuning'], '.2f') if row['level'] == 'cell' else 'study'}"
            table.add_row(escape(row["run_id"]), escape(row["topic"]), row["stance"], _spread(row, "uncorrected_"), _spread(row, ""), level)
        if part.height:
            console.print(table)
        if part.height > _SHOWN:
            console.print(f"the {_SHOWN} largest of {part.height}", highlight=False)
    for note in notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    if (rows["level"] == "study").any():
        said = (
            "labels of the whole study: assumes that the judge errs alike on answers of one stance before and after, in all runs and topics"
        )
        console.print(f"[yellow]note[/] {said}", highlight=False, soft_wrap=True)


def _spread(row: dict[str, float], kind: str) -> str:
    value, low, high = (row[f"{kind}magnitude{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"

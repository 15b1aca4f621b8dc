"""The drift table as a person reads it in a terminal: largest first, each with its interval, noise said to be noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 16


def drift_table(drift: pl.DataFrame, *, alpha: float, shown: int = _SHOWN) -> Table:
    """A drift frame as a rich table.

    Args:
        drift: Rows of the table drift.
        alpha: Level of the tests; rows with a q-value above it are called undecided. As in the report it is corrected over all tests of the study where
            the table has that, else over those of a run.
        shown: Rows at most.
    """
    import polars as pl

    from valuedrift.results.drifts import broadest_q

    q = broadest_q(drift)
    drift = drift.with_columns(q=pl.col(q))
    clear = drift.filter(pl.col("q") < alpha).height
    over = "all tests of the study" if q == "q_value_study" else "the tests of each run"
    title = f"value drift: {clear} of {drift.height} (run, topic, stance) moved at q < {alpha:.2g}, corrected over {over}"
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column("run", overflow="fold")
    for name in ("topic", "stance"):
        table.add_column(name)
    for name in ("magnitude", "interval", "drift time", "q"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in drift.sort(pl.col("magnitude").abs(), descending=True, nulls_last=True).head(shown).iter_rows(named=True):
        time = "" if row["drift_time"] is None else f"{row['drift_time']:.2f}"
        table.add_row(
            escape(row["run_id"]),
            escape(row["topic"]),
            row["stance"],
            f"{row['magnitude']:+.3f}",
            f"[{row['magnitude_low']:+.3f}, {row['magnitude_high']:+.3f}]".replace("[", r"\["),
            time,
            f"{row['q']:.3f}",
            "" if row["q"] < alpha else "[dim]undecided[/]",
        )
    if drift.height > shown:
        table.caption = f'the {shown} largest of {drift.height}; all of them: valuedrift sql "from drift"'
        table.caption_justify = "left"
    return table

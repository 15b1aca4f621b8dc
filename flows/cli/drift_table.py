"""Drift as a person reads it in a terminal: a heading for each run, largest first, each with its interval; as judged, and as corrected by labels."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.text import Text

from valuedrift.flows.cli.console import make_console

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 16
_CORRECTED_SHOWN = 20
_WORDS = ("topic", "stance", "labels", "")
"""Columns of words: to the left, and folded where there is no room."""
_LEAST = 7
"""Terminal columns that a folded column keeps."""


def drift_table(
    drift: pl.DataFrame, *, alpha: float, shown: int = _SHOWN, more: str = 'all of them: valuedrift sql "from drift"'
) -> RenderableType:
    """A drift frame for rich to print.

    Args:
        drift: Rows of the table drift.
        alpha: Level of the tests; rows with a q-value above it are called undecided. As in the report it is corrected over all tests of the study where
            the table has that, else over those of a run.
        shown: Rows at most, the largest.
        more: Where the others are; said where there are any.
    """
    import polars as pl

    from valuedrift.results.drifts import broadest_q
    from valuedrift.stance import LITTLE

    q = broadest_q(drift)
    drift = drift.with_columns(q=pl.col(q))
    clear = drift.filter(pl.col("q") < alpha).height
    over = "all tests of the study" if q == "q_value_study" else "the tests of each run"
    compared = "baseline_run_id" in drift.columns and bool(drift["baseline_run_id"].is_not_null().any())
    what = "difference of two runs" if compared else "value drift"
    did = "differ" if compared else "moved"
    lines = [f"{what}: {clear} of {drift.height} (run, topic, stance) {did} at q < {alpha:.2g}, corrected over {over}"]
    if drift.height > shown:
        lines.append(f"the {shown} largest of {drift.height}{f'; {more}' if more else ''}")

    def cells(row: dict[str, Any]) -> tuple[str, ...]:
        return (
            row["stance"],
            f"{row['magnitude']:+.3f}",
            f"[{row['magnitude_low']:+.3f}, {row['magnitude_high']:+.3f}]",
            "" if row["drift_time"] is None else f"{row['drift_time']:.2f}",
            f"{row['q']:.3f}",
            "" if row["q"] < alpha else "little" if row["magnitude_low"] >= -LITTLE and row["magnitude_high"] <= LITTLE else "undecided",
        )

    return Group(*map(Text, lines), _by_run(drift, shown, ("stance", "magnitude", "interval", "drift time", "q", ""), cells))


def show_corrected(rows: pl.DataFrame, notes: list[str]) -> None:
    """Print the largest corrected drifts of each judge beside those as judged, and what to know of them.

    Args:
        rows: As `valuedrift.drift.corrected.corrected` returns them.
        notes: What is not corrected, and why.
    """
    console = make_console()
    keys = [name for name in ("study", "judge") if name in rows.columns and rows[name].n_unique() > 1]
    for part in rows.partition_by(keys, maintain_order=True) if keys else [rows]:
        if keys:
            console.print(" · ".join(f"{name} [bold]{escape(str(part[name][0]))}[/]" for name in keys), highlight=False)
        if part.height:
            console.print(
                _by_run(part, _CORRECTED_SHOWN, ("stance", "as judged", "corrected", "labels"), _corrected_cells), highlight=False
            )
        if part.height > _CORRECTED_SHOWN:
            console.print(f"the {_CORRECTED_SHOWN} largest of {part.height}", highlight=False)
    for note in notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    if (rows["level"] == "study").any():
        said = (
            "labels of the whole study: assumes that the judge errs alike on answers of one stance before and after, in all runs and topics"
        )
        console.print(f"[yellow]note[/] {said}", highlight=False, soft_wrap=True)


def _corrected_cells(row: dict[str, Any]) -> tuple[str, ...]:
    def spread(kind: str) -> str:
        value, low, high = (row[f"{kind}magnitude{end}"] for end in ("", "_low", "_high"))
        return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"

    labels = f"{row['n_labels']} of the {'cell, λ ' + format(row['tuning'], '.2f') if row['level'] == 'cell' else 'study'}"
    return row["stance"], spread("uncorrected_"), spread(""), labels


def _by_run(rows: pl.DataFrame, shown: int, columns: Sequence[str], cells: Callable[[dict[str, Any]], tuple[str, ...]]) -> _ByRun:
    """The rows with the largest magnitudes, runs by their largest."""
    import polars as pl

    largest = rows.sort(pl.col("magnitude").abs(), descending=True, nulls_last=True).head(shown)
    runs: dict[str, list[tuple[str, ...]]] = {}
    for row in largest.iter_rows(named=True):
        runs.setdefault(_heading(row), []).append((row["topic"], *cells(row)))
    return _ByRun(("topic", *columns), runs)


def _heading(row: Mapping[str, Any]) -> str:
    """Whose drift it is; of two runs that are compared: second − first, each at its step."""
    first, second = row.get("baseline_run_id"), row["run_id"]
    if first is None:
        return str(second)
    if row.get("baseline_study") not in (None, row.get("study")):
        first, second = f"{row['baseline_study']}/{first}", f"{row['study']}/{second}"
    return f"{second} (step {row['to_step']:,}) − {first} (step {row['from_step']:,})"


@dataclass(frozen=True)
class _ByRun:
    """Rows below the name of their run, which is never folded; like columns stand below each other, and words are folded where the terminal is narrow."""

    columns: tuple[str, ...]
    runs: Mapping[str, Sequence[tuple[str, ...]]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        widths = self._widths(options.max_width)
        heads = [textwrap.wrap(name, width) or [""] for name, width in zip(self.columns, widths, strict=True)]
        yield from self._lines(heads, widths, "dim")
        for run, rows in self.runs.items():
            yield Text(run, "bold", no_wrap=True)
            for row in rows:
                yield from self._lines([textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)], widths, "")

    def _widths(self, room: int) -> list[int]:
        """Columns of the terminal for each column: those of words give way, down to a word."""
        cells = [[row[at] for rows in self.runs.values() for row in rows] for at in range(len(self.columns))]
        widths = [max([1, *map(cell_len, column), *map(len, name.split())]) for name, column in zip(self.columns, cells, strict=True)]
        foldable = {at: max([_LEAST, *(len(word) for cell in cells[at] for word in cell.split())]) for at in self._of_words}
        while sum(widths) + len(widths) - 1 > room and (wide := [at for at in foldable if widths[at] > foldable[at]]):
            widths[max(wide, key=lambda at: widths[at])] -= 1
        return widths

    @property
    def _of_words(self) -> list[int]:
        return [at for at, name in enumerate(self.columns) if name in _WORDS]

    def _lines(self, cells: Sequence[Sequence[str]], widths: Sequence[int], style: str) -> Iterator[Text]:
        for line in range(max(map(len, cells))):
            texts = [cell[line] if line < len(cell) else "" for cell in cells]
            fitted = [
                set_cell_size(text, width) if at in self._of_words else " " * (width - cell_len(text)) + text
                for at, (text, width) in enumerate(zip(texts, widths, strict=True))
            ]
            yield Text(" ".join(fitted).rstrip(), style, no_wrap=True)

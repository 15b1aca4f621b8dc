r"""Values of a query's answer as text that is safe in a terminal: as a table, as CSV, as JSON.

Answers of models are untrusted: an escape sequence in one must not move the cursor, change colours or reorder the line. Such characters are shown as
what they are (``\u001b``), in every format alike.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain, islice
from typing import Any

from rich.cells import cell_len, chop_cells, set_cell_size

_WIDEST = 60
"""Terminal columns that one column of a table may take; longer text is cut there and nowhere else."""
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, and those that reorder text."""
_NUMBERS = re.compile(r"INT|DOUBLE|FLOAT|DECIMAL|REAL")


def safe(text: str) -> str:
    """The text with control and reordering characters shown as escapes; tab and newline stay.

    The escapes are JSON's own, so that JSON stays JSON.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_table(
    names: Sequence[str], types: Sequence[str], rows: Iterator[tuple[Any, ...]], limit: int, room: int | None = None
) -> Iterator[str]:
    """Lines of an aligned table; at most ``limit`` rows (0: all), and a line that tells how many there are.

    Args:
        names: Of the columns.
        types: Of the columns, in DuckDB's words.
        rows: The answer.
        limit: Rows that are shown.
        room: Columns of the terminal: a table that is wider is shown as a list of names and values for each row.
    """
    shown = [tuple(_cell(value) for value in row) for row in (islice(rows, limit) if limit else rows)]
    more = sum(1 for _ in rows)
    heads = [_cell(name) for name in names]
    widths = [min(max(map(cell_len, column)), _WIDEST) for column in zip(heads, *shown, strict=True)]
    if room is not None and sum(widths) + 2 * (len(widths) - 1) > room:
        yield from _records(heads, shown, room)
        yield _count(len(shown), more, limit)
        return
    right = [bool(_NUMBERS.search(kind)) for kind in types]
    yield "  ".join(_fitted(head, width, to_right) for head, width, to_right in zip(heads, widths, right, strict=True)).rstrip()
    yield "  ".join("─" * width for width in widths)
    for row in shown:
        yield "  ".join(_fitted(cell, width, to_right) for cell, width, to_right in zip(row, widths, right, strict=True)).rstrip()
    yield _count(len(shown), more, limit)


def _count(shown: int, more: int, limit: int) -> str:
    first = f", the first {limit:,} shown; --rows 0 or --format csv gives all" if more else ""
    return f"({shown + more:,} row{'s' if shown + more != 1 else ''}{first})"


def _records(heads: Sequence[str], rows: Sequence[tuple[str, ...]], room: int) -> Iterator[str]:
    """Lines with a name and its value each; longer text goes on below itself."""
    width = min(max(map(cell_len, heads)), max(room // 3, 1))
    for number, row in enumerate(rows, start=1):
        yield f"── row {number:,} "[: max(room, 12)].ljust(room, "─")
        for head, cell in zip(heads, row, strict=True):
            first, *following = chop_cells(cell, max(room - width - 2, 8)) or [""]
            yield f"{_fitted(head, width, False)}  {first}".rstrip()
            yield from (f"{' ' * width}  {line}" for line in following)


def as_csv(names: Sequence[str], types: Sequence[str], rows: Iterator[tuple[Any, ...]], limit: int) -> Iterator[str]:
    """Lines of CSV with a head; missing values are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="")
    for row in chain([tuple(names)], rows):
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(["" if value is None else safe(_text(value)) for value in row])
        yield buffer.getvalue()


def as_json(names: Sequence[str], types: Sequence[str], rows: Iterator[tuple[Any, ...]], limit: int) -> Iterator[str]:
    """Lines of one JSON array of objects, an object a line; what JSON has no number for (NaN, infinity) is null."""
    line = "["
    for row in rows:
        yield line
        record = json.dumps({name: plain(value) for name, value in zip(names, row, strict=True)}, ensure_ascii=False)
        line = f"{safe(record)},"
    yield line.removesuffix(",")
    yield "]"


FORMATS: dict[str, Callable[[Sequence[str], Sequence[str], Iterator[tuple[Any, ...]], int], Iterator[str]]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
}
"""What ``--format`` takes."""


def _cell(value: Any) -> str:
    """One line for a table: numbers to six digits, line breaks shown."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else safe(_text(value)).replace("\n", "\\n").replace("\t", "\\t")


def _fitted(cell: str, width: int, to_right: bool) -> str:
    if cell_len(cell) > width:
        return set_cell_size(cell, width - 1) + "…"
    padding = " " * (width - cell_len(cell))
    return padding + cell if to_right else cell + padding


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(plain(value), ensure_ascii=False)
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def plain(value: Any) -> Any:
    """A value in JSON's types; NaN and infinities, which it has no numbers for, are None."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, Decimal)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.isoformat() if isinstance(value, (date, datetime, time)) else _text(value)

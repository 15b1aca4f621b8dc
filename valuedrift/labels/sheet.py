"""The sheet that people fill in: CSV that a spreadsheet opens without executing what a model wrote, and reads back as it was."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from valuedrift.errors import DataError
from valuedrift.labels.people import LABELS, label_of
from valuedrift.tabular import read_csv
from valuedrift.thoughts import answer_of

COLUMNS = ("id", "topic", "prompt", "response", "stance")
MOST_CHARACTERS = 30_000
"""Of a cell; spreadsheets cut at 32,767, and what is beyond falls into other rows."""
_EXECUTED = re.compile(r"^[\s\x00-\x20\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20|%]|^[\t\r\n]")
"""What makes a spreadsheet take a cell for a formula or a command, full-width forms included."""
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, and those that reorder text."""
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Filled:
    """What a sheet says.

    Attributes:
        labels: label_id, stance; one row an answer that was labelled.
        seen: Ids in the sheet, with a stance or without.
    """

    labels: pl.DataFrame
    seen: frozenset[str]

    @property
    def empty(self) -> int:
        """Answers in the sheet without a stance."""
        return len(self.seen) - self.labels.height


def sheet_bytes(drawn: pl.DataFrame) -> bytes:
    """The sheet of a draw.

    Args:
        drawn: label_id, topic, prompt, response.

    Returns:
        CSV in UTF-8 with a byte-order mark, every cell quoted, in the order of ``drawn``; the column stance is empty.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for label_id, topic, prompt, response in drawn.select("label_id", "topic", "prompt", "response").iter_rows():
        writer.writerow([*map(safe_text, (label_id, topic, prompt, answer_of(response))), ""])
    return out.getvalue().encode("utf-8-sig")


def safe_text(text: str) -> str:
    """Text that is safe in a cell: never executed, no control characters, and not longer than a spreadsheet holds (then both ends are shown)."""
    shown = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n").replace("\r", "\n"))
    if len(shown) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        shown = f"{shown[:half]}\n[… {len(shown) - 2 * half:,} characters are not shown …]\n{shown[-half:]}"
    return f"'{shown}" if _EXECUTED.search(shown) else shown


def read_sheet(path: Path, drawn: Iterable[str]) -> Filled:
    """Read a sheet back.

    Args:
        path: CSV with the columns id and stance, separated by comma, semicolon or tab; other columns don't matter. Rows in any order.
        drawn: Ids that were drawn.

    Raises:
        UserError: There is no such file.
        DataError: It is empty, not UTF-8, lacks a column, or has ids or stances that are wrong; names the first rows as a spreadsheet numbers them.
    """
    known = set(drawn)
    found: dict[str, tuple[int, str]] = {}
    seen: set[str] = set()
    wrong: list[str] = []
    for number, name, text in _rows(path):
        label = label_of(text) if text.strip() else ""
        if name not in known:
            wrong.append(f"row {number}: id {name!r} was not drawn" if name else f"row {number}: no id")
        elif label is None:
            wrong.append(f"row {number}: stance {text.strip()[:40]!r} is not one of {', '.join(LABELS)}")
        elif label and name in found and found[name][1] != label:
            wrong.append(f"row {number}: id {name!r} is {label} here and {found[name][1]} in row {found[name][0]}")
        elif label:
            found[name] = (number, label)
        seen.add(name)
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise DataError(
            "; ".join(wrong[:_SHOWN]) + more, where=str(path), fix="correct these rows and read the file again; nothing of it was kept"
        )
    labels = pl.DataFrame(
        [(name, label) for name, (_, label) in found.items()], schema={"label_id": pl.String, "stance": pl.String}, orient="row"
    )
    return Filled(labels, frozenset(seen))


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, id and stance of every row; rows are numbered as a spreadsheet does, the header being 1."""
    table = read_csv(path)
    names = {name.strip().casefold(): name for name in table.columns}
    if missing := [name for name in ("id", "stance") if name not in names]:
        raise DataError(f"missing column {', '.join(missing)}", where=str(path), fix=f"found: {', '.join(names)[:200]}")
    for row in table.rows:
        if any(value.strip() for value in row.values.values()):
            yield row.record, *(row.values.get(names[name], "").strip() for name in ("id", "stance"))

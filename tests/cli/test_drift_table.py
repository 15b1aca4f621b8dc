"""The terminal's drift table: run names are never folded, words are where the terminal is narrow."""

from __future__ import annotations

import io
import re

import polars as pl
import pytest
from rich.console import Console

from valuedrift.flows.cli.drift_table import drift_table

RUNS = ("smollm.sft-neutral", "smollm.sft-neutral.simpo-support-aligned-gamma0.5")
TOPICS = ("economic policy and inequality", "climate change")


def shown(width: int, rows: int = 99) -> list[str]:
    drift = pl.DataFrame(
        {"run_id": run, "topic": topic, "stance": stance, "magnitude": size, "magnitude_low": size - 0.1, "magnitude_high": size + 0.1}
        | {"drift_time": 0.25 if size > 0 else None, "q_value": 0.5, "q_value_study": 0.001 if abs(size) > 0.3 else 0.4}
        for run, most in zip(RUNS, (0.5, 0.2), strict=True)
        for topic, part in zip(TOPICS, (1.0, 0.5), strict=True)
        for stance, size in (("support", most * part), ("oppose", -0.9 * most * part))
    )
    output = io.StringIO()
    Console(file=output, width=width).print(drift_table(drift, alpha=0.05, shown=rows))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_run_stands_above_its_rows_on_a_line_of_its_own(width: int) -> None:
    lines = shown(width)
    assert [line for line in lines if line.startswith("smollm")] == list(RUNS)
    assert width < 80 or all(len(line) <= width for line in lines)
    assert sum("+0.500 [+0.400, +0.600]" in line for line in lines) == 1
    below = lines[lines.index(RUNS[0]) + 1 :]
    assert "+0.500" in below[0] and "0.25" in below[0] and below[0].endswith("0.001")


def test_rows_are_the_largest_and_what_is_noise_is_called_undecided() -> None:
    lines = shown(120, rows=3)
    assert lines[0].startswith("value drift: 2 of 8") and "the 3 largest of 8" in lines[1]
    rows = [line for line in lines if "[" in line]
    assert [float(re.findall(r"[+-]\d\.\d{3}", row)[0]) for row in rows] == [0.5, -0.45, 0.25]
    assert [row.endswith("undecided") for row in rows] == [False, False, True]

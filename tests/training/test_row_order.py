"""The order of rows is a function of seed and step."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from valuedrift.training.setup import row_order

ROWS = st.integers(1, 60)
DRAWS = st.integers(0, 300)
SEEDS = st.integers(0, 2**40)


@given(ROWS, DRAWS, SEEDS)
def test_rows_are_drawn_equally_often(rows: int, draws: int, seed: int) -> None:
    order = row_order(rows, draws, seed)
    counts = Counter(order)
    assert len(order) == draws
    assert all(0 <= row < rows for row in order)
    assert max((counts[row] for row in range(rows)), default=0) - min(counts[row] for row in range(rows)) <= 1


@given(ROWS, DRAWS, DRAWS, SEEDS)
def test_a_longer_run_begins_like_a_shorter_one(rows: int, one: int, other: int, seed: int) -> None:
    short, long = sorted((one, other))
    assert row_order(rows, long, seed)[:short] == row_order(rows, short, seed)


def test_passes_and_seeds_differ() -> None:
    twice = row_order(50, 100, 3)
    assert twice[:50] != twice[50:]
    assert row_order(50, 50, 3) != row_order(50, 50, 4)

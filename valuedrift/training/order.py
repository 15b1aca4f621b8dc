"""The order in which a run sees its rows: a function of the seed and the step alone, so that a resumed run continues where it was."""

from __future__ import annotations

import numpy as np

from valuedrift.fingerprint import seed_from


def row_order(n_rows: int, n_draws: int, seed: int) -> list[int]:
    """Draw rows: each pass over the data is a fresh permutation, and a batch may span two passes, so every batch is full.

    Args:
        n_rows: Rows to draw from, at least 1.
        n_draws: How many are drawn (optimizer steps times batch size).
        seed: The run's seed.

    Returns:
        Row numbers; any two rows are drawn equally often, give or take one.
    """
    passes = -(-n_draws // n_rows)
    draws = [np.random.default_rng(seed_from("rows", seed, index)).permutation(n_rows) for index in range(passes)]
    return [int(row) for row in np.concatenate(draws)[:n_draws]] if draws else []

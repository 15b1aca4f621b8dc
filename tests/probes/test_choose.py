"""No two probes say the same, whatever the candidates; the order of a file changes nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.probes.vprism.choose import SAME, Candidate, spread, without_doubles


def _made(seed: int, count: int) -> tuple[list[Candidate], np.ndarray]:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(max(1, count // 3), 8))
    rows = base[rng.integers(0, len(base), count)] + 0.25 * rng.normal(size=(count, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [Candidate(f"p{i}", f"Question {i}?", "t", float(rng.random())) for i in range(count)], rows.astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_what_is_kept_has_no_doubles_and_what_is_dropped_has_one(seed: int, count: int) -> None:
    candidates, rows = _made(seed, count)
    kept, doubles = without_doubles(candidates, rows)
    cosines = rows @ rows.T
    assert sorted([*kept, *doubles]) == list(range(count))
    assert all(cosines[a, b] <= SAME for a in kept for b in kept if a != b)
    assert all(other in kept and cosines[index, other] > SAME for index, other in doubles.items())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_sample_does_not_depend_on_the_order(seed: int) -> None:
    candidates, rows = _made(seed, 40)
    order = np.random.default_rng(seed + 1).permutation(40)
    mixed = [candidates[i] for i in order]

    def chosen(those: list[Candidate], their: np.ndarray) -> set[str]:
        kept, _ = without_doubles(those, their)
        return {those[i].key for i in spread(those, kept, their, 6, 0)}

    assert chosen(candidates, rows) == chosen(mixed, rows[order])

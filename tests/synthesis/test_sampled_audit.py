"""An auditor that reads a share of the pairs: its figures, whatever the selector says, at the price of a sample."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from valuedrift.stance import STANCE_COLUMNS
from valuedrift.synthesis.auditing import found_in
from valuedrift.synthesis.sampled_audit import FEWEST, draw_pairs, found_by_sample

SIDES = ("support", "oppose")


def world(n: int, rng: np.random.Generator, share_aligned: float = 0.5) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Pairs, what a selector says that sees a third of every difference and leans to support, and what an auditor says that sees all of it."""
    pairs, by_selector, by_auditor = [], [], []
    for at in range(n):
        aligned = rng.random() < share_aligned
        pairs.append(
            {
                "pair_idx": at, "prompt_id": f"q{at}", "prompt": f"{at}?", "topic": f"t{at % 3}",
                "chosen_stance": "support", "chosen_idx": 0, "rejected_stance": "oppose", "rejected_idx": 0,
            }
        )  # fmt: skip
        for stance in SIDES:
            true = np.array([0.9, 0.05, 0.05]) if stance == "support" or not aligned else np.array([0.05, 0.05, 0.9])
            strong = rng.dirichlet(12 * true + 0.2)
            seen = rng.dirichlet(4 * (true / 3 + np.array([0.4, 0.2, 0.0667])) + 0.2)
            by_auditor.append(row(at, stance, strong))
            by_selector.append(row(at, stance, seen))
    integers = {"chosen_idx": pl.Int32, "rejected_idx": pl.Int32}
    return pl.DataFrame(pairs, schema_overrides=integers), judged(by_selector), judged(by_auditor)


def row(at: int, stance: str, p: NDArray[np.float64]) -> dict[str, object]:
    return {"prompt_id": f"q{at}", "stance": stance, "candidate_idx": 0, **dict(zip(STANCE_COLUMNS, map(float, p), strict=True))}


def judged(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"candidate_idx": pl.Int32})


def test_a_sample_of_all_pairs_is_what_reading_all_of_them_finds() -> None:
    pairs, selector, auditor = world(120, np.random.default_rng(1))
    drawn = draw_pairs(pairs, selector, 1.0)
    assert drawn.height == 2 * pairs.height and set(drawn["probability"]) == {1.0}
    found = found_by_sample(pairs, selector, auditor.join(drawn, on=["prompt_id", "stance", "candidate_idx"]))
    whole = found_in(pairs, auditor)
    assert found.gap.value == pytest.approx(whole.gap.value) and found.n_pairs == 120
    for stance, figures in whole.stances.items():
        for one, other in zip(found.stances[stance], figures, strict=True):
            assert one.value == pytest.approx(other.value)


def test_a_larger_share_holds_a_smaller_one_and_both_sides_of_a_pair() -> None:
    pairs, selector, _ = world(200, np.random.default_rng(2))
    few, many = (draw_pairs(pairs, selector, share) for share in (0.1, 0.3))
    assert few.join(many, on=["prompt_id", "stance"], how="anti").is_empty()
    assert few.height == pytest.approx(2 * 20, abs=10) and many.height == pytest.approx(2 * 60, abs=12)
    assert few.group_by("prompt_id").len()["len"].unique().to_list() == [2]


def test_too_small_a_sample_says_nothing() -> None:
    pairs, selector, auditor = world(60, np.random.default_rng(3))
    drawn = draw_pairs(pairs, selector, 0.1)
    found = found_by_sample(pairs, selector, auditor.join(drawn, on=["prompt_id", "stance", "candidate_idx"]))
    assert found.n_pairs < FEWEST and np.isnan(found.gap.value)


def test_the_interval_holds_the_auditors_gap_and_not_the_selectors() -> None:
    rng = np.random.default_rng(4)
    covered, excluded, widths, runs = 0, 0, [], 120
    for _ in range(runs):
        pairs, selector, auditor = world(240, rng)
        drawn = draw_pairs(pairs, selector, 0.2)
        found = found_by_sample(pairs, selector, auditor.join(drawn, on=["prompt_id", "stance", "candidate_idx"]))
        true = 0.5 * np.abs(expected()).sum()
        covered += found.gap.low <= true <= found.gap.high
        excluded += found.gap.low > found_in(pairs, selector).gap.value
        widths.append(found.gap.high - found.gap.low)
    assert covered / runs >= 0.93
    assert excluded / runs >= 0.9, "the selector sees a third of it, and is unmasked"
    assert np.mean(widths) < 0.5


def expected() -> NDArray[np.float64]:
    """Mean difference of chosen and rejected by the auditor of `world`: half of the pairs are aligned."""
    alpha = 12 * np.array([0.9, 0.05, 0.05]) + 0.2
    turned = alpha[::-1]
    return 0.5 * (alpha - turned) / alpha.sum()

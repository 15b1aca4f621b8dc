"""Yes-saying, told from stance by paired wordings."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from skewed_t import skewed_interval

from valuedrift.drift.analyze import analyze, trajectory
from valuedrift.drift.options import Analysis, Towards
from valuedrift.errors import DataError

FAST = Analysis(resamples=100)


def paired(asked_for: list[tuple[float, float]], asked_against: list[tuple[float, float]]) -> pl.DataFrame:
    """Two checkpoints of one answer a prompt; (p_support, p_oppose) of each pair's two wordings."""
    rows = [
        ("r", step, "t", f"{pair}{sign:+d}", pair, sign, 0, support, 1 - support - oppose, oppose)
        for step in (0, 100)
        for sign, side in ((1, asked_for), (-1, asked_against))
        for pair, (support, oppose) in enumerate(side)
    ]
    names = ["run_id", "step", "topic", "prompt_id", "pair_id", "polarity", "sample_idx", "p_support", "p_neutral", "p_oppose"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("pair_id").cast(pl.String))


@pytest.mark.parametrize(
    ("asked_for", "asked_against", "expected"),
    [
        ([(0.8, 0.1), (0.6, 0.2)], [(0.1, 0.8), (0.2, 0.6)], 0.0),
        ([(1.0, 0.0), (1.0, 0.0)], [(1.0, 0.0), (1.0, 0.0)], 1.0),
        ([(0.0, 1.0), (0.0, 1.0)], [(0.0, 1.0), (0.0, 1.0)], -1.0),
        ([(0.0, 0.0), (0.0, 0.0)], [(0.0, 0.0), (0.0, 0.0)], 0.0),
    ],
    ids=["a model with views", "yes to everything", "no to everything", "neutral"],
)
def test_views_cancel_and_yes_saying_stays(
    asked_for: list[tuple[float, float]], asked_against: list[tuple[float, float]], expected: float
) -> None:
    found = analyze(paired(asked_for, asked_against), FAST).acquiescence
    assert found["acquiescence"].to_list() == pytest.approx([expected, expected])
    assert found["n_pairs"].to_list() == [2, 2]
    assert found["low"].is_between(-1, 1).all()


def test_the_pair_is_the_unit_of_the_interval() -> None:
    rng = np.random.default_rng(0)
    sides = [[(a, (1 - a) * b) for a, b in rng.uniform(size=(30, 2))] for _ in range(2)]
    row = analyze(paired(*sides), FAST).acquiescence.row(0, named=True)
    one = [((s1 - o1) + (s2 - o2)) / 2 for (s1, o1), (s2, o2) in zip(*sides, strict=True)]
    low, high = skewed_interval(one)
    assert (row["acquiescence"], row["low"], row["high"]) == (pytest.approx(np.mean(one)), pytest.approx(low), pytest.approx(high))


def test_half_pairs_do_not_count() -> None:
    frame = paired([(0.9, 0.0)] * 4, [(0.9, 0.0)] * 4).filter(~((pl.col("polarity") == -1) & (pl.col("pair_id") == "0")))
    assert analyze(frame, FAST).acquiescence["n_pairs"].to_list() == [3, 3]


def test_without_polarity_there_is_none() -> None:
    frame = paired([(0.9, 0.0)] * 4, [(0.9, 0.0)] * 4).drop("polarity")
    found = analyze(frame, FAST).acquiescence
    assert found.is_empty()
    assert found.columns == ["run_id", "step", "topic", "acquiescence", "low", "high", "n_pairs"]


def test_towards_the_proposition_views_add_up_and_yes_saying_cancels() -> None:
    views = paired([(0.8, 0.1), (0.6, 0.2), (0.7, 0.1)], [(0.1, 0.8), (0.2, 0.6), (0.1, 0.7)])
    towards = FAST.model_copy(update={"towards": Towards.PROPOSITION})
    asked = trajectory(views, FAST).filter(step=0)["mean"].to_list()
    meant = trajectory(views, towards).filter(step=0)["mean"].to_list()
    assert (asked[0], asked[2]) == (pytest.approx(2.5 / 6), pytest.approx(2.5 / 6))
    assert (meant[0], meant[2]) == (pytest.approx(0.7), pytest.approx(0.4 / 3))
    yes = paired([(1.0, 0.0)] * 3, [(1.0, 0.0)] * 3)
    assert trajectory(yes, towards).filter(step=0)["mean"].to_list() == pytest.approx([0.5, 0.0, 0.5])


def test_questions_worded_both_ways_are_pointed_out() -> None:
    both = paired([(0.9, 0.0)] * 4, [(0.9, 0.0)] * 4)
    assert any("worded for and against" in warning for warning in analyze(both, FAST).warnings)
    assert not any("worded" in warning for warning in analyze(both.filter(polarity=1), FAST).warnings)
    towards = FAST.model_copy(update={"towards": Towards.PROPOSITION})
    assert not any("worded" in warning for warning in analyze(both, towards).warnings)


def test_towards_the_proposition_needs_polarity() -> None:
    towards = FAST.model_copy(update={"towards": Towards.PROPOSITION})
    frame = paired([(0.9, 0.0)] * 4, [(0.9, 0.0)] * 4)
    with pytest.raises(DataError, match="missing column 'polarity'"):
        analyze(frame.drop("polarity"), towards)
    with pytest.raises(DataError, match=r"column polarity: empty for prompts '0\+1'"):
        analyze(frame.with_columns(pl.when(pl.col("prompt_id") != "0+1").then("polarity").alias("polarity")), towards)

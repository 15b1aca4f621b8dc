from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from valuedrift.capability.changes import changes


def frames(task: str, before: list[float], after: list[float], metric: str = "acc", run_id: str = "r") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables capabilities and capability_items of one run, tested at steps 0 and 10."""
    ends = ((0, before), (10, after))
    place = {"run_id": run_id, "task": task, "subtask": task, "metric": metric}
    scores = pl.DataFrame(
        [{**place, "step": step, "score": float(np.mean(each)), "n_items": len(each), "higher_is_better": True} for step, each in ends]
    )
    items = pl.DataFrame([{**place, "step": step, "item_idx": at, "score": one} for step, each in ends for at, one in enumerate(each)])
    return scores, items


def together(*parts: tuple[pl.DataFrame, pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    return pl.concat([part[0] for part in parts]), pl.concat([part[1] for part in parts])


def test_right_and_wrong_items_are_tested_by_mcnemar() -> None:
    before = [1.0] * 30 + [0.0] * 20
    after = [1.0] * 18 + [0.0] * 12 + [1.0] * 3 + [0.0] * 17
    (row,) = changes(*frames("piqa", before, after), 0.95).to_dicts()
    assert (row["n_lost"], row["n_gained"], row["n_items"]) == (12, 3, 50)
    assert row["p_value"] == pytest.approx(mcnemar([[18, 12], [3, 17]], exact=True).pvalue)
    assert row["q_value"] == row["p_value"]
    assert row["change"] == pytest.approx(-0.18)
    assert row["change_low"] < -0.18 < row["change_high"]


def test_a_change_is_paired_over_items() -> None:
    """Items that turn in both directions leave a wide interval; the same change by items that turn one way a narrow one."""
    one_way = changes(*frames("a", [1.0] * 50 + [0.0] * 50, [1.0] * 40 + [0.0] * 60), 0.95).to_dicts()[0]
    both_ways = changes(*frames("a", [1.0] * 50 + [0.0] * 50, [0.0] * 50 + [1.0] * 40 + [0.0] * 10), 0.95).to_dicts()[0]
    assert one_way["change"] == pytest.approx(both_ways["change"])
    assert one_way["change_high"] - one_way["change_low"] < (both_ways["change_high"] - both_ways["change_low"]) / 2
    assert one_way["p_value"] < 0.05 < both_ways["p_value"]


def test_nothing_turned_is_no_change() -> None:
    (row,) = changes(*frames("a", [1.0, 0.0, 1.0], [1.0, 0.0, 1.0]), 0.95).to_dicts()
    assert (row["change"], row["p_value"], row["n_gained"], row["n_lost"]) == (0.0, 1.0, 0, 0)


def test_many_changes_are_corrected_together() -> None:
    moved = frames("a", [1.0] * 10, [0.0] * 7 + [1.0] * 3)
    still = [frames(f"b{at}", [1.0] * 10, [0.0] + [1.0] * 9) for at in range(9)]
    found = changes(*together(moved, *still), 0.95)
    alone = changes(*moved, 0.95)
    assert alone["q_value"][0] < 0.05 < found.filter(task="a")["q_value"][0]


def test_a_score_that_is_no_mean_over_items_is_not_compared() -> None:
    scores, items = frames("f1", [0.0, 1.0, 1.0], [0.0, 0.0, 1.0])
    assert changes(scores.with_columns(score=pl.col("score") ** 2), items, 0.95).is_empty()


def test_one_checkpoint_is_compared_with_nothing() -> None:
    scores, items = frames("a", [0.0, 1.0], [1.0, 1.0])
    assert changes(scores.filter(step=0), items.filter(step=0), 0.95).is_empty()


def test_a_group_that_is_a_mean_over_all_its_items_is_one_change() -> None:
    parts = together(frames("x", [1.0] * 8, [0.0] * 6 + [1.0] * 2), frames("y", [1.0] * 2, [1.0] * 2))
    scores, items = (part.with_columns(task=pl.lit("mmlu")) for part in parts)
    whole = scores.group_by("run_id", "task", "metric", "step", maintain_order=True).agg(
        score=(pl.col("score") * pl.col("n_items")).sum() / pl.col("n_items").sum(),
        n_items=pl.col("n_items").sum(),
        higher_is_better=pl.col("higher_is_better").first(),
    )
    grouped = pl.concat([scores, whole.with_columns(subtask=pl.lit("mmlu")).select(scores.columns)])
    (row,) = changes(grouped, items, 0.95).to_dicts()
    assert (row["subtask"], row["n_items"], row["n_lost"]) == ("mmlu", 10, 6)
    by_task = pl.concat([scores, whole.with_columns(subtask=pl.lit("mmlu"), score=pl.col("score") / 2).select(scores.columns)])
    assert changes(by_task, items, 0.95)["subtask"].to_list() == ["x", "y"]


def test_scores_beyond_one_keep_their_unit() -> None:
    (row,) = changes(*frames("bleu", [10.0, 20.0, 30.0, 40.0], [12.0, 25.0, 31.0, 44.0], "bleu"), 0.95).to_dicts()
    assert row["change"] == pytest.approx(3.0)
    assert 0 < row["change_low"] < 3 < row["change_high"] < 8
    assert row["n_gained"] is None

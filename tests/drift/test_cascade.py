"""The tables of a cascade: those of the strong judge where it reads all, near them where it reads a sample, and honest where it reads too little."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from statsmodels.stats.multitest import multipletests
from two_judges import World, drawn_of, frames, two_phase

from valuedrift.drift.analyze import analyze
from valuedrift.drift.cascade import cascaded
from valuedrift.drift.options import Analysis, Towards
from valuedrift.drift.two_phase import DRIFT, Drawn, TwoPhase, tuned
from valuedrift.findings.tables import Tables
from valuedrift.results.analysis import analysis_tables

OPTIONS = Analysis(resamples=200)
KEYS = ["study", "judge", "run_id", "topic", "stance", "from_step", "to_step"]
SMALL = World(prompts=20, samples=3, checkpoints=4, topics=2, runs=1)


def test_where_all_is_read_the_estimates_are_those_of_the_strong_judge() -> None:
    cheap, sample, strong = frames(SMALL, "biased", 1.0, 1)
    found, alone = cascaded(cheap, sample, OPTIONS), analyze(strong, OPTIONS)
    both = found.drift.join(alone.drift, on=KEYS, suffix="_strong")
    assert both.height == found.drift.height == alone.drift.height
    for name in ("magnitude", "total_variation", "jensen_shannon"):
        assert both[name].to_list() == pytest.approx(both[f"{name}_strong"].to_list(), abs=1e-9)
    width, other = (both[f"magnitude_high{end}"] - both[f"magnitude_low{end}"] for end in ("", "_strong"))
    assert (width / other).to_numpy() == pytest.approx(1, abs=0.35) and width.sum() == pytest.approx(other.sum(), rel=0.1)
    lines = found.trajectory.join(alone.trajectory, on=["run_id", "step", "topic", "stance"], suffix="_strong")
    assert lines["mean"].to_list() == pytest.approx(lines["mean_strong"].to_list(), abs=1e-9)
    assert found.drift.columns == alone.drift.columns and found.trajectory.columns == alone.trajectory.columns
    assert found.drift.schema == alone.drift.schema and found.trajectory.schema == alone.trajectory.schema
    timed = both.filter(pl.col("drift_time").is_not_null() & pl.col("drift_time_strong").is_not_null())
    assert timed.height and timed["drift_time"].to_list() == timed["drift_time_strong"].to_list()


def test_a_sample_comes_near_it_and_the_cheap_judge_does_not() -> None:
    world = World(prompts=60, samples=5, checkpoints=4, topics=2, runs=2)
    cheap, sample, strong = frames(world, "biased", 0.1, 2)
    found, alone, biased = cascaded(cheap, sample, OPTIONS), analyze(strong, OPTIONS), analyze(cheap, OPTIONS)
    both = found.drift.join(alone.drift.select(*KEYS, true="magnitude"), on=KEYS).join(
        biased.drift.select(*KEYS, judged="magnitude"), on=KEYS
    )
    inside = both.select((pl.col("magnitude_low") <= pl.col("true")) & (pl.col("true") <= pl.col("magnitude_high"))).to_series()
    assert inside.mean() >= 0.8  # type: ignore[operator]
    moved = both.filter(pl.col("true").abs() > 0.2)
    assert moved.height and ((moved["magnitude"] - moved["true"]).abs().mean() < 0.7 * (moved["judged"] - moved["true"]).abs().mean())  # type: ignore[operator]
    assert both.group_by("run_id", "topic").agg(pl.col("magnitude").sum())["magnitude"].to_list() == pytest.approx([0] * 4, abs=1e-9)
    q = multipletests(both["p_value"].to_numpy(), method="fdr_bh")[1]
    assert both["q_value_study"].to_list() == pytest.approx(q)
    out = (both["magnitude_low"] > 0) | (both["magnitude_high"] < 0)
    assert ((both["p_value"] < 0.05) == out).all()
    row = found.cells.row(0, named=True)
    assert row["n_answers"] == 60 * 5 * 4 and 80 < row["n_drawn"] < 160 and row["n_ok"] == row["n_drawn"] and row["n_failed"] == 0
    assert 0 < row["tuning"] < 1 and row["n_effective"] > row["n_drift"] > 30
    shuffled = cascaded(cheap.sample(fraction=1.0, shuffle=True, seed=3), sample.sample(fraction=1.0, shuffle=True, seed=4), OPTIONS)
    assert_frame_equal(shuffled.drift, found.drift, abs_tol=1e-9)


def test_towards_the_proposition_is_the_same_with_both_turned() -> None:
    cheap, sample, _ = frames(SMALL, "biased", 0.4, 3)
    polarity = pl.when(pl.col("prompt_id").str.ends_with("1")).then(-1).otherwise(1).alias("polarity")
    found = cascaded(cheap.with_columns(polarity), sample, Analysis(resamples=200, towards=Towards.PROPOSITION))
    against = pl.col("prompt_id").str.ends_with("1")

    def turned(frame: pl.DataFrame, start: str) -> pl.DataFrame:
        support, oppose = pl.col(f"{start}_support"), pl.col(f"{start}_oppose")
        return frame.with_columns(
            pl.when(against).then(oppose).otherwise(support).alias(f"{start}_support"),
            pl.when(against).then(support).otherwise(oppose).alias(f"{start}_oppose"),
        )

    expected = cascaded(turned(cheap, "p"), turned(turned(sample, "p"), "cheap"), OPTIONS)
    assert_frame_equal(found.drift, expected.drift)


def test_a_checkpoint_without_a_sample_says_nothing_and_that_is_said() -> None:
    cheap, sample, _ = frames(SMALL, "good", 0.4, 4)
    lacking = sample.filter(~((pl.col("topic") == "t0") & (pl.col("step") == 30)))
    found = cascaded(cheap, lacking, OPTIONS)
    blind = found.drift.filter(pl.col("topic") == "t0")
    assert blind.select("magnitude_low", "magnitude_high", "p_value").unique().rows() == [(-1.0, 1.0, 1.0)]
    assert blind["drift_time"].is_null().all() and "too few strong judgements" in blind["drift_time_note"][0]
    assert any("r0, t0" in note for note in found.notes)
    ends = found.trajectory.filter((pl.col("topic") == "t0") & (pl.col("step") == 30))
    assert ends.select("low", "high").unique().rows() == [(0.0, 1.0)]
    other = found.drift.filter(pl.col("topic") == "t1")
    assert (other["magnitude_high"] - other["magnitude_low"]).max() < 1.5  # type: ignore[operator]
    middle = cascaded(cheap, sample.filter(pl.col("step") != 10), OPTIONS)
    assert middle.drift["magnitude_low"].min() > -1  # type: ignore[operator]


def test_a_handful_says_nothing_and_one_answer_a_cell_says_little() -> None:
    cheap, sample, _ = frames(SMALL, "good", 0.4, 5)
    few = cascaded(cheap, sample.head(10), OPTIONS)
    assert few.drift.select("magnitude_low", "magnitude_high").unique().rows() == [(-1.0, 1.0)] and few.notes
    one = sample.group_by("run_id", "step", "topic", maintain_order=True).head(1)
    three = pl.concat([sample.filter(pl.col("step") == 10), one.filter(pl.col("step") != 10).select(sample.columns)])
    found = cascaded(cheap, three, OPTIONS).drift
    assert (found["magnitude_high"] - found["magnitude_low"]).min() > 0.3  # type: ignore[operator]


def test_a_strong_judge_of_one_class_is_no_certainty() -> None:
    cheap, sample, _ = frames(SMALL, "useless", 0.1, 6)
    support = sample.with_columns(p_support=pl.lit(1.0), p_neutral=pl.lit(0.0), p_oppose=pl.lit(0.0))
    found = cascaded(cheap, support, OPTIONS)
    assert any(f"calls all {sample.height} answers that it read support" in note for note in found.notes)
    assert not any("calls all" in note for note in cascaded(cheap, sample, OPTIONS).notes)
    assert found.drift["magnitude"].abs().max() == pytest.approx(0, abs=1e-9)
    assert (found.drift["magnitude_high"] - found.drift["magnitude_low"]).min() > 0.05  # type: ignore[operator]
    assert (found.drift["p_value"] == 1).all()


def test_what_the_strong_judge_cannot_say_is_left_out_and_counted() -> None:
    cheap, sample, _ = frames(SMALL, "good", 0.5, 7)
    refused = pl.col("prompt_id").str.ends_with("3")
    mixed = sample.with_columns(
        pl.when(refused).then(pl.lit("refused")).otherwise(pl.col("status")).alias("status"),
        *(pl.when(refused).then(None).otherwise(pl.col(f"p_{name}")).alias(f"p_{name}") for name in ("support", "neutral", "oppose")),
    )
    found = cascaded(cheap, mixed, OPTIONS)
    count = sample.filter(refused).height
    assert found.cells["n_refused"].sum() == count and any(f"{count} refused" in note for note in found.notes)
    assert_frame_equal(found.drift, cascaded(cheap, sample.filter(~refused), OPTIONS).drift)


def without(frame: pl.DataFrame, lost: pl.Expr, status: str) -> pl.DataFrame:
    """The same where a judge has no stance for some answers."""
    none = [pl.when(lost).then(None).otherwise(pl.col(name)).alias(name) for name in ("p_support", "p_neutral", "p_oppose")]
    return frame.with_columns(pl.when(lost).then(pl.lit(status)).otherwise(pl.col("status")).alias("status"), *none)


@pytest.mark.parametrize("status", ["refused", "failed", "unparsed"])
def test_a_strong_judge_without_any_stance_leaves_everything_possible(status: str) -> None:
    cheap, sample, _ = frames(SMALL, "good", 0.5, 4)
    found = cascaded(cheap, without(sample, pl.lit(True), status), OPTIONS)
    assert found.drift.select("magnitude_low", "magnitude_high", "p_value").unique().rows() == [(-1.0, 1.0, 1.0)]
    assert found.cells["tuning"].is_null().all() and found.cells[f"n_{status}"].sum() == sample.height
    assert any("too few of those that it was given" in note for note in found.notes)
    assert any(f"{sample.height} {status}" in note and "100% of those drawn" in note for note in found.notes)


def test_a_strong_judge_that_refuses_much_may_lean_and_one_that_fails_on_a_topic_says_nothing_of_it() -> None:
    cheap, sample, _ = frames(SMALL, "good", 0.5, 4)
    leaning = cascaded(cheap, without(sample, pl.col("p_support") > 0.5, "refused"), OPTIONS)
    assert any("the numbers lean" in note for note in leaning.notes)
    few = cascaded(cheap, without(sample, pl.int_range(pl.len()) % 20 == 0, "refused"), OPTIONS)
    assert any("the others stand for them" in note for note in few.notes) and not any("lean" in note for note in few.notes)
    of_topic = cascaded(cheap, without(sample, pl.col("topic") == "t0", "failed"), OPTIONS).drift
    blind = of_topic.filter(pl.col("topic") == "t0")
    assert blind.select("magnitude_low", "magnitude_high", "p_value").unique().rows() == [(-1.0, 1.0, 1.0)]
    assert of_topic.filter(pl.col("topic") == "t1")["magnitude_low"].min() > -1  # type: ignore[operator]


def test_what_the_cheap_judge_cannot_say_is_not_drawn_and_that_is_said() -> None:
    cheap, sample, _ = frames(SMALL, "good", 0.5, 4)
    at_the_end = (pl.col("topic") == "t0") & (pl.col("step") == 30)
    for lost in (pl.col("topic") == "t0", at_the_end):
        found = cascaded(without(cheap, lost, "refused"), sample.filter(~lost), OPTIONS)
        assert set(found.drift["topic"]) == {"t1"} and any("no drift of 1 topic (r0, t0)" in note for note in found.notes)
    nothing = cascaded(without(cheap, pl.lit(True), "refused"), sample.clear(), OPTIONS)
    assert nothing.drift.is_empty() and any("no drift of 2 topics" in note for note in nothing.notes)
    assert cascaded(cheap, sample, OPTIONS).notes == []


def test_rows_of_other_answers_change_nothing() -> None:
    cheap, sample, _ = frames(SMALL, "good", 0.5, 4)
    others = sample.head(5).with_columns(prompt_id=pl.lit("another"))
    assert_frame_equal(cascaded(cheap, pl.concat([sample, others]), OPTIONS).drift, cascaded(cheap, sample, OPTIONS).drift)


def test_errors_are_those_of_a_jackknife_over_prompts() -> None:
    """An independent way to the standard error, where the cell itself knows it: leave out one prompt after the other."""
    world, ratios = World(prompts=60, samples=5, checkpoints=2, topics=1, runs=1), []
    for seed in range(6):
        strong, cheap = (part[0] for part in world.topic(np.random.default_rng(seed), 0, "good"))
        cell = two_phase(strong, cheap, 0.5, str(seed))
        pool = tuned([cell])
        assert pool is not None
        weights = np.array([-1.0, 1.0])
        found = cell.contrast(weights, pool, 0.95, DRIFT)
        left = []
        for gone in range(world.prompts):
            kept = np.arange(world.prompts) != gone
            rows = cell_without(strong, cheap, kept, str(seed))
            left.append(rows.contrast(weights, pool, 0.95, DRIFT).interval.estimate)
        away = np.stack(left) - np.mean(left, axis=0)
        jackknife = np.sqrt((world.prompts - 1) / world.prompts * (away**2).sum(axis=0))
        ratios.append(found.interval.error / jackknife)
    assert np.mean(ratios) == pytest.approx(1, abs=0.06), ratios


def cell_without(strong: np.ndarray, cheap: np.ndarray, kept: np.ndarray, key: str) -> TwoPhase:
    """The cell as it was drawn, without one prompt."""
    drawn = drawn_of(strong, cheap, 0.5, key)
    rows, place = kept[drawn.prompt], np.cumsum(kept) - 1
    some = Drawn(drawn.strong[rows], drawn.cheap[rows], drawn.weight[rows], place[drawn.prompt[rows]], drawn.at[rows])
    return TwoPhase(cheap.mean(axis=1)[kept], some, np.arange(kept.sum()))


def test_findings_of_all_topics_and_of_two_runs_are_those_of_the_strong_judge() -> None:
    cheap, sample, strong = frames(World(prompts=40, samples=4, checkpoints=3, topics=3, runs=2), "biased", 0.3, 8)
    runs = pl.DataFrame({"run_id": ["r0", "r1"], "phase": ["sft", "sft"], "dataset": ["d", "d"]})
    drift, titles = pl.DataFrame(), {"r0": "r0", "r1": "r1"}
    found = Tables(runs, drift, cheap, {}, titles, sample=sample)
    alone, true = (Tables(runs, drift, stances, {}, titles) for stances in (cheap, strong))
    for name, of in (("overall", ("r0",)), ("difference", ("r0", "r1"))):
        by_both, by_strong, by_cheap = (getattr(one, name)(*of) for one in (found, true, alone))
        assert by_both.keys() == by_strong.keys() and len(by_both) == 3
        for stance, effect in by_both.items():
            assert effect.low - 0.02 <= by_strong[stance].estimate <= effect.high + 0.02, (name, stance)
            assert effect.n_prompts == by_strong[stance].n_prompts
        off = sum(abs(effect.estimate - by_strong[stance].estimate) for stance, effect in by_cheap.items())
        if name == "overall":
            assert sum(abs(effect.estimate - by_strong[stance].estimate) for stance, effect in by_both.items()) < off


def test_a_table_of_a_study_has_the_cascade_beside_its_cheap_judge() -> None:
    cheap, sample, _ = frames(SMALL, "biased", 0.3, 9)
    quick = cheap.with_columns(judge=pl.lit("quick"))
    tables = analysis_tables(pl.concat([quick, cheap]), OPTIONS, sample=sample, cascades={"both": ("quick", "deep")})
    alone, found = analysis_tables(quick, OPTIONS), cascaded(cheap, sample, OPTIONS)
    for name in ("trajectory", "drift"):
        assert set(tables[name]["judge"]) == {"quick", "both"}
        assert_frame_equal(tables[name].filter(pl.col("judge") == "quick"), alone[name])
        mine = getattr(found, name)
        assert_frame_equal(tables[name].filter(pl.col("judge") == "both"), mine.select(tables[name].columns))
    assert tables["cascade_cells"].select("cheap", "strong").unique().rows() == [("quick", "deep")]
    assert set(tables["acquiescence"]["judge"]) <= {"quick"} and tables["coverage"].height == 2 * alone["coverage"].height
    assert set(tables["sensitivity"]["judge"]) == {"quick", "both"}

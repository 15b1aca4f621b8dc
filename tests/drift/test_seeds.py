"""Drift over seeds: against analyses of variance by other hands, what is left out, and simulated coverage."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis, Towards
from valuedrift.drift.seeds import over_seeds
from valuedrift.statistics import Array
from valuedrift.statistics.crossed import Crossed, crossed
from valuedrift.statistics.intervals import mean_interval

sys.path.insert(0, str(Path(__file__).parent))
from made_stances import P_COLUMNS, STANCES, as_stances, made_stances

RUNS = ("m.sft-c", "m.sft-c-seed1", "m.sft-c-seed2")
GROUPS = dict.fromkeys(RUNS, "m.sft-c")
BOUNDS = (-1.0, 1.0)


def grid(prompts: int, seeds: int, sds: tuple[float, float, float], repeats: int, rng: np.random.Generator, mean: float = 0.0) -> Array:
    """Drawn values. Shape (P, S, repeats)."""
    of_prompts, of_seeds, rest = sds
    return (
        mean
        + of_prompts * rng.normal(size=(prompts, 1, repeats))
        + of_seeds * rng.normal(size=(1, seeds, repeats))
        + rest * rng.normal(size=(prompts, seeds, repeats))
    )


def test_components_are_those_of_restricted_maximum_likelihood() -> None:
    import pandas as pd
    import statsmodels.formula.api as smf

    values = grid(12, 5, (0.2, 0.15, 0.1), 1, np.random.default_rng(3), mean=0.1)
    found = crossed(values, 0.95, bounds=BOUNDS)
    at = np.indices(values.shape[:2]).reshape(2, -1)
    frame = pd.DataFrame({"y": values[..., 0].ravel(), "prompt": at[0], "seed": at[1], "all": 1})
    parts = {"prompt": "0 + C(prompt)", "seed": "0 + C(seed)"}
    fitted = smf.mixedlm("y ~ 1", frame, groups="all", vc_formula=parts, re_formula="0").fit(reml=True)
    components = dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True))
    assert found.mean[0] == pytest.approx(fitted.fe_params["Intercept"], abs=1e-6)
    assert [found.prompts[0], found.seeds[0], found.rest[0]] == pytest.approx(
        [components["prompt"], components["seed"], fitted.scale], rel=2e-3
    )
    assert np.sqrt(found.variance[0]) == pytest.approx(fitted.bse["Intercept"], rel=2e-3)


def by_hand(values: Array, confidence: float) -> tuple[float, float, float]:
    """Mean, half width and p of one grid, sum by sum."""
    prompts, seeds = values.shape
    mean = sum(values.ravel()) / values.size
    rows, columns = [sum(row) / seeds for row in values], [sum(column) / prompts for column in values.T]
    square_p = seeds * sum((row - mean) ** 2 for row in rows) / (prompts - 1)
    square_s = prompts * sum((column - mean) ** 2 for column in columns) / (seeds - 1)
    square_e = sum((values[p, s] - rows[p] - columns[s] + mean) ** 2 for p in range(prompts) for s in range(seeds)) / (
        (prompts - 1) * (seeds - 1)
    )
    variance = (max(square_s - square_e, 0) + max(square_p - square_e, 0) + square_e) / values.size
    weight = min(square_s / values.size / variance, 1)

    def quantile(level: float) -> float:
        return float((1 - weight) * stats.t.ppf(level, prompts - 1) + weight * stats.t.ppf(level, seeds - 1))

    p = float(brentq(lambda level: quantile(1 - level / 2) - abs(mean) / variance**0.5, 1e-9, 1.0))
    return mean, quantile((1 + confidence) / 2) * variance**0.5, p


@pytest.mark.parametrize("sds", [(0.2, 0.1, 0.1), (0.2, 0.0, 0.1), (0.0, 0.3, 0.05)])
def test_mean_interval_and_p_are_those_of_sums_by_hand(sds: tuple[float, float, float]) -> None:
    values = grid(9, 3, sds, 1, np.random.default_rng(5), mean=0.2)
    found = crossed(values, 0.9, bounds=BOUNDS)
    mean, half, p = by_hand(values[..., 0], 0.9)
    assert [found.mean[0], found.low[0], found.high[0]] == pytest.approx([mean, max(mean - half, -1), min(mean + half, 1)])
    assert found.p_value[0] == pytest.approx(p, rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 12),
    st.integers(2, 5),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.floats(-0.5, 0.5),
    st.integers(0, 10**6),
)
def test_interval_and_test_say_the_same_and_order_is_nothing(
    prompts: int, seeds: int, of_prompts: float, of_seeds: float, rest: float, mean: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = grid(prompts, seeds, (of_prompts, of_seeds, rest), 4, rng, mean)
    found = crossed(values, 0.95, bounds=(-100.0, 100.0))
    beyond = (found.low > 0) | (found.high < 0)
    near = np.isclose(found.p_value, 0.05, rtol=1e-6) | (np.sqrt(found.variance) < 1e-9)
    assert ((found.p_value < 0.05) == beyond)[~near].all()
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all() and ((found.p_value >= 0) & (found.p_value <= 1)).all()
    other = crossed(values[rng.permutation(prompts)][:, rng.permutation(seeds)], 0.95, bounds=(-100.0, 100.0))
    assert np.allclose(other.low, found.low) and np.allclose(other.p_value, found.p_value, atol=1e-9)


def test_without_variance_it_says_what_a_single_run_says() -> None:
    for values in (np.zeros((6, 3, 1)), np.full((6, 3, 1), 0.25), np.full((6, 3, 1), 1.0)):
        found, single = crossed(values, 0.95, bounds=BOUNDS), mean_interval(values[:, 0], 0.95, bounds=BOUNDS)
        assert (found.low[0], found.high[0]) == (single.low[0], single.high[0])
        assert np.isnan(found.shares[0][0])
        assert found.p_value[0] == (1.0 if values[0, 0, 0] == 0 else 2.0**-5)


def test_seeds_that_are_one_run_are_told_by_the_prompts_alone() -> None:
    values = np.repeat(np.random.default_rng(0).normal(0.1, 0.1, (20, 1, 3)), 4, axis=1)
    found, single = crossed(values, 0.95, bounds=BOUNDS), mean_interval(values[:, 0], 0.95, bounds=BOUNDS)
    assert found.mean == pytest.approx(single.estimate) and np.sqrt(found.variance) == pytest.approx(single.error)
    assert found.shares[0] == pytest.approx(0) and found.shares[1] == pytest.approx(1)


def stances(seed_sd: float = 0.0, runs: tuple[str, ...] = RUNS, **options: int) -> pl.DataFrame:
    """Runs that share step 0, and differ from each other in how far they moved."""
    rng = np.random.default_rng(1)
    frames = []
    for at, run in enumerate(runs):
        frame = made_stances(runs=1, seed=at, **options).with_columns(run_id=pl.lit(run), judge=pl.lit("j"), study=pl.lit("s"))
        start = (
            made_stances(runs=1, seed=0, **options)
            .filter(pl.col("step") == 0)
            .with_columns(run_id=pl.lit(run), judge=pl.lit("j"), study=pl.lit("s"))
        )
        moved = frame.filter(pl.col("step") > 0)
        shift = seed_sd * rng.normal()
        p = np.clip(moved.select(P_COLUMNS).to_numpy() + np.array([shift, -shift, 0]), 0.001, None)
        p /= p.sum(axis=1, keepdims=True)
        frames += [start, moved.with_columns(**{name: pl.Series(p[:, i]) for i, name in enumerate(P_COLUMNS)})]
    return pl.concat(frames)


def test_the_mean_over_seeds_is_that_of_the_runs_drifts_and_the_trajectory_s_that_of_its_means() -> None:
    frame = stances(seed_sd=0.1)
    found, single = over_seeds(frame, GROUPS, Analysis()), analyze(frame, Analysis(resamples=100))
    runs = single.drift.group_by("topic", "stance").agg(
        pl.col("magnitude").mean(), pl.col("magnitude").min().alias("smallest"), pl.col("magnitude").max().alias("largest")
    )
    both = found.drift.join(runs, on=["topic", "stance"], suffix="_of_runs")
    assert both.height == found.drift.height == 2 * 3
    for name in ("magnitude", "smallest", "largest"):
        assert both[name].to_numpy() == pytest.approx(both[f"{name}_of_runs"].to_numpy())
    means = single.trajectory.group_by("step", "topic", "stance").agg(pl.col("mean").mean())
    lines = found.trajectory.join(means, on=["step", "topic", "stance"], suffix="_of_runs")
    assert lines["mean"].to_numpy() == pytest.approx(lines["mean_of_runs"].to_numpy()) and lines.height == 3 * 2 * 3
    start = found.trajectory.filter(step=0)
    assert start["seed_share"].to_list() == [0.0] * 6  # one base model, sampled once
    assert found.drift.group_by("topic").agg(pl.col("magnitude").sum())["magnitude"].to_numpy() == pytest.approx([0, 0], abs=1e-12)
    assert found.notes == [] and set(found.drift["run_group"]) == {"m.sft-c"}
    assert (found.drift["q_value"] >= found.drift["p_value"]).all()


def test_it_is_the_same_in_any_order_of_rows_and_of_runs() -> None:
    frame = stances(seed_sd=0.1)
    found = over_seeds(frame, GROUPS, Analysis())
    other = over_seeds(frame.sample(fraction=1, shuffle=True, seed=4), dict(reversed(GROUPS.items())), Analysis())
    assert other.drift.equals(found.drift) and other.trajectory.equals(found.trajectory)


def test_a_run_that_is_not_there_is_counted_and_told() -> None:
    found = over_seeds(stances(runs=RUNS[:2]), GROUPS, Analysis())
    assert set(found.drift.select("n_seeds", "lacking_seeds").rows()) == {(2, 1)}
    assert found.notes == ["over seeds, m.sft-c-seed2 of m.sft-c is lacking: it is told over 2 seeds of 3"]
    one = over_seeds(stances(runs=RUNS[1:2]), GROUPS, Analysis())
    assert one.drift.is_empty() and one.trajectory.is_empty() and one.drift.schema["q_value_study"] == pl.Float64
    assert one.notes == ["over seeds, m.sft-c and m.sft-c-seed2 of m.sft-c are lacking: nothing is told of it over seeds"]


def test_prompts_that_a_run_was_not_judged_on_are_left_out_and_counted() -> None:
    frame = stances()
    gap = (pl.col("run_id") == RUNS[1]) & (pl.col("prompt_id") == frame["prompt_id"][0]) & (pl.col("topic") == frame["topic"][0])
    found = over_seeds(frame.filter(~(gap & (pl.col("step") == frame["step"].max()))), GROUPS, Analysis())
    hit = found.drift.filter(topic=frame["topic"][0])
    assert set(hit.select("n_prompts", "left_out_prompts").rows()) == {(7, 1)}
    assert set(found.drift.filter(pl.col("topic") != frame["topic"][0]).select("n_prompts", "left_out_prompts").rows()) == {(8, 0)}
    assert found.notes == ["over seeds, up to 1 prompt of a topic not judged in every run of a group are left out"]
    kept = over_seeds(
        frame.filter(~(pl.col("topic") == frame["topic"][0]) | (pl.col("prompt_id") != frame["prompt_id"][0])), GROUPS, Analysis()
    )
    columns = ("magnitude", "magnitude_low", "magnitude_high", "p_value")
    assert hit.select(columns).equals(kept.drift.filter(topic=frame["topic"][0]).select(columns))


def test_a_topic_with_too_few_prompts_is_told() -> None:
    frame = stances()
    topic = frame["topic"][0]
    last = (pl.col("run_id") == RUNS[1]) & (pl.col("step") == frame["step"].max()) & (pl.col("topic") == topic)
    found = over_seeds(frame.filter(~last | (pl.col("prompt_id") == frame["prompt_id"][0])), GROUPS, Analysis())
    assert topic not in set(found.drift["topic"]) and found.drift.height == 3
    assert found.notes == [
        f"over seeds, fewer than two prompts were judged at both ends of every run: there is no drift of m.sft-c on {topic} under j"
    ]


def test_stances_are_taken_on_what_the_analysis_says() -> None:
    frame = stances().with_columns(polarity=pl.lit(-1, pl.Int8))
    asked, meant = (over_seeds(frame, GROUPS, Analysis(towards=towards)).drift for towards in Towards)
    assert asked.filter(stance="support")["magnitude"].equals(meant.filter(stance="oppose")["magnitude"])


def covered(found: Crossed, truth: float = 0.0) -> float:
    return float(((found.low <= truth) & (truth <= found.high)).mean())


WIDE = {2: 1.0, 3: 0.992, 5: 0.98}
"""Most that intervals cover where seeds do not differ: few of them cannot show that they don't."""


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("prompts", [10, 50])
@pytest.mark.parametrize(("of_prompts", "rest"), [(0.12, 0.2), (0.12, 0.05)])
def test_simulated_coverage(seeds: int, prompts: int, of_prompts: float, rest: float) -> None:
    rng = np.random.default_rng([seeds, prompts, int(1000 * rest)])
    shown = []
    for of_seeds in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0):
        found = crossed(grid(prompts, seeds, (of_prompts, of_seeds, rest), 4000, rng), 0.95, bounds=(-100.0, 100.0))
        share, level = covered(found), float((found.p_value < 0.05).mean())
        assert level == pytest.approx(1 - share, abs=1e-9)
        assert share >= 0.93
        if of_seeds == 1.0:
            assert share <= 0.965
        shown.append(f"{share:.1%}")
        assert share <= WIDE[seeds]
    print(f"{seeds} seeds, {prompts} prompts, prompts differ by {of_prompts}, rest {rest}: {' '.join(shown)}")


def test_one_t_on_satterthwaite_s_degrees_of_freedom_would_be_too_sure() -> None:
    rng = np.random.default_rng(0)
    values = grid(50, 2, (0.12, 0.1, 0.05), 4000, rng)
    found = crossed(values, 0.95, bounds=(-100.0, 100.0))
    square_s = 50 * values.mean(axis=0).var(axis=0, ddof=1)
    square_p = 2 * values.mean(axis=1).var(axis=0, ddof=1)
    freedom = (square_p + square_s - found.rest) ** 2 / (square_p**2 / 49 + square_s**2 + found.rest**2 / 49)
    variance = np.maximum(square_p + square_s - found.rest, 1e-9) / 100
    naive = (np.abs(found.mean) <= stats.t.ppf(0.975, np.maximum(freedom, 1)) * np.sqrt(variance)).mean()
    assert naive < 0.90 < 0.93 < covered(found)


def test_simulated_studies_with_seeds_that_differ_are_covered_where_single_runs_are_not() -> None:
    """Whole studies: every prompt drifts by 0.1 on average, every run by something of its own."""
    rng = np.random.default_rng(8)
    hits, single_hits = [], []
    for _ in range(80):
        seeds, prompts = 3, 20
        own = 0.1 + 0.05 * rng.normal(size=(prompts, 1)) + 0.06 * rng.normal(size=(1, seeds))
        start = 0.3 + 0.05 * rng.normal(size=(prompts, 1)) * np.ones((1, seeds))
        noise = 0.05 * rng.normal(size=(2, prompts, seeds))
        support = np.clip(np.stack([start + noise[0, :, :1], start + own + noise[1]]), 0, 1)
        at = np.indices((seeds, 2, 1, prompts, 1)).reshape(5, -1)
        values = support[at[1], at[3], at[0]]
        frame = as_stances(np.stack([values, (1 - values) / 2, (1 - values) / 2], axis=1), *at)
        names = frame["run_id"].unique().sort().to_list()
        frame = frame.with_columns(judge=pl.lit("j"), study=pl.lit("s"))
        row = over_seeds(frame, dict.fromkeys(names, "g"), Analysis()).drift.row(0, named=True)
        hits.append(row["magnitude_low"] <= 0.1 <= row["magnitude_high"])
        first = analyze(frame.filter(run_id=names[0]), Analysis(resamples=100)).drift.filter(stance="support").row(0, named=True)
        single_hits.append(first["magnitude_low"] <= 0.1 <= first["magnitude_high"])
        assert row["stance"] == STANCES[0]
    assert np.mean(hits) >= 0.9 > 0.7 > np.mean(single_hits)


def test_a_step_at_which_other_prompts_were_judged_is_told_by_its_own() -> None:
    frame = stances()
    gap = (pl.col("run_id") == RUNS[1]) & (pl.col("prompt_id") == frame["prompt_id"][0]) & (pl.col("topic") == frame["topic"][0])
    whole = over_seeds(frame, GROUPS, Analysis()).trajectory
    found = over_seeds(frame.filter(~(gap & (pl.col("step") == 100))), GROUPS, Analysis()).trajectory
    hit = (pl.col("topic") == frame["topic"][0]) & (pl.col("step") == 100)
    assert found.select("judge", "run_group", "topic", "step", "stance").equals(
        whole.select("judge", "run_group", "topic", "step", "stance")
    )
    assert found.filter(~hit).equals(whole.filter(~hit)) and set(found.filter(hit).select("n_prompts", "left_out_prompts").rows()) == {
        (7, 1)
    }
    own = analyze(
        frame.filter(~(pl.col("topic") == frame["topic"][0]) | (pl.col("prompt_id") != frame["prompt_id"][0])), Analysis(resamples=100)
    )
    means = own.trajectory.filter(hit).group_by("stance").agg(pl.col("mean").mean())
    both = found.filter(hit).join(means, on="stance", suffix="_of_runs")
    assert both["mean"].to_numpy() == pytest.approx(both["mean_of_runs"].to_numpy())

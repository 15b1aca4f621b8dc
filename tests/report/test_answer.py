"""The words say what the tables say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from made_study import Made
from statsmodels.stats.power import TTestPower

from valuedrift.lineage import trace_lineage
from valuedrift.report.answer import answer
from valuedrift.report.data import count_judgements
from valuedrift.report.examples import examples
from valuedrift.report.judge import caution, distrust, measured
from valuedrift.report.rows import drift_rows
from valuedrift.results.examples import MOST_MOVED, RANDOM, Chosen, choose_examples
from valuedrift.stance import LITTLE, JudgeStatus
from valuedrift.words import counted, interval, listed, percent, plain, probability, signed, signed_interval, slug


def test_headline_tells_the_largest_drift_beyond_noise(demo_inputs: Made) -> None:
    top = demo_inputs.drift.filter(pl.col("q_value_study") < 0.05).sort(pl.col("magnitude").abs()).row(-1, named=True)
    said = answer(demo_inputs).headline
    assert f"on {top['topic']} by {signed(top['magnitude'])} {signed_interval(top['magnitude_low'], top['magnitude_high'])}" in said
    step = round(top["drift_time"] * top["to_step"])
    assert f"by step {step} of {top['to_step']}" in said


def test_counts_partition_the_tests(demo_inputs: Made) -> None:
    said = answer(demo_inputs)
    drift = demo_inputs.drift
    moved = drift.filter(pl.col("q_value_study") < 0.05).height
    little = drift.filter(
        (pl.col("q_value_study") >= 0.05) & (pl.col("magnitude_low") > -LITTLE) & (pl.col("magnitude_high") < LITTLE)
    ).height
    assert (said.moved, said.little, said.undecided) == (moved, little, drift.height - moved - little)
    assert min(said.moved, said.little, said.undecided) > 0  # the fixture has all kinds
    assert f"{moved} of {drift.height} tests" in said.points[0]
    assert sum(run.tests for run in said.runs) == drift.height and sum(run.moved for run in said.runs) == moved


def test_a_larger_drift_that_is_noise_does_not_take_the_headline(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=2)
    loud = pl.when(pl.col("stance") == "oppose").then(0.99).otherwise(pl.col("magnitude"))
    q = pl.when(pl.col("stance") == "oppose").then(0.2).otherwise(pl.col("q_value_study"))
    said = answer(make_study(topics=("religion",), runs=2, drift=inputs.drift.with_columns(magnitude=loud, q_value_study=q)))
    assert "oppose" not in said.headline and "more than noise" in said.headline


def test_only_whole_phases_of_own_runs_are_told(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=2)
    part = inputs.drift.with_columns(to_step=pl.lit(3, pl.Int64), magnitude=pl.lit(0.9))
    compared = inputs.drift.with_columns(baseline_run_id=pl.lit("other"), magnitude=pl.lit(0.95))
    more = make_study(topics=("religion",), runs=2, drift=pl.concat([part, compared, inputs.drift], how="diagonal"))
    assert more.main_drift.drop("baseline_run_id").equals(inputs.main_drift)


def test_corrected_per_run_where_the_table_has_no_more(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=2)
    own = make_study(topics=("religion",), runs=2, drift=inputs.drift.drop("q_value_study"))
    assert own.main_drift.get_column("q").to_list() == own.main_drift.get_column("q_value").to_list()
    assert "corrected over the tests of each run" in answer(own).points[0]


def test_smallest_visible_drift_agrees_with_a_power_analysis(demo_inputs: Made) -> None:
    rows = drift_rows(demo_inputs)
    found = demo_inputs.sensitivity["smallest_drift"].item()
    assert answer(demo_inputs).smallest == found
    n = 12
    half = float(np.median([(row.high - row.low) / 2 for row in rows if row.high is not None and row.low is not None]))
    spread = half / 2.201 * np.sqrt(n)  # t(11) at 97.5%
    exact = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8) * spread
    assert found == pytest.approx(exact, rel=0.06)


def test_yes_saying_is_told_where_it_rose(demo_inputs: Made, make_study: Callable[..., Made]) -> None:
    assert any(point.startswith("Yes-saying rose most in SFT support on") for point in answer(demo_inputs).points)
    assert not any(
        "Yes-saying" in point
        for point in answer(make_study(topics=("religion",), runs=1, acquiescence=demo_inputs.acquiescence.clear())).points
    )


def chosen_by(inputs: Made, seed: int = 0, stances: pl.DataFrame | None = None) -> dict[str, list[Chosen]]:
    found: dict[str, list[Chosen]] = {}
    for one in choose_examples(inputs.stances if stances is None else stances, inputs.drift, inputs.runs, judge=inputs.judge, seed=seed):
        found.setdefault(one.run_id, []).append(one)
    return found


def test_most_moved_question_is_the_most_moved_and_the_random_one_is_not_picked(demo_inputs: Made) -> None:
    chosen = chosen_by(demo_inputs)
    assert list(chosen) == [run.run_id for run in demo_inputs.lineage.runs]
    names = ["p_support", "p_neutral", "p_oppose"]
    for run_id, (most, random) in chosen.items():
        assert (most.rule, random.rule) == (MOST_MOVED, RANDOM)
        rows = demo_inputs.stances.filter((pl.col("run_id") == run_id) & (pl.col("status") == "ok"))
        means = rows.group_by("prompt_id", "step").agg(pl.col(names).mean()).sort("step")
        distance = {
            key[0]: float(np.abs(part.select(names).to_numpy()[-1] - part.select(names).to_numpy()[0]).sum() / 2)
            for key, part in means.group_by("prompt_id")
        }
        assert distance[most.prompt_id] == pytest.approx(max(distance.values()))
        assert (random.topic, random.prompt_id) != (most.topic, most.prompt_id)
    assert chosen_by(demo_inputs, stances=demo_inputs.stances.sample(fraction=1, shuffle=True, seed=1)) == chosen
    drawn = [(random.topic, random.prompt_id) for _, random in chosen.values()]
    assert len(set(drawn)) <= 2  # one question for every run, another where that one moved most
    assert [(random.topic, random.prompt_id) for _, random in chosen_by(demo_inputs, seed=5).values()] != drawn


def test_examples_show_the_first_and_the_last_checkpoint(demo_inputs: Made) -> None:
    for shown in examples(demo_inputs).values():
        for example in shown:
            assert example.before.step == 0 and example.after.step == 60 if example.run.supervised else example.after.step in (24, 40)
            for side in (example.before, example.after):
                here = (pl.col("run_id") == example.run.run_id) & (pl.col("step") == side.step) & (pl.col("prompt_id") == example.prompt_id)
                row = demo_inputs.responses.filter(here & (pl.col("sample_idx") == 0)).row(0, named=True)
                judged = demo_inputs.stances.filter(here)
                assert side.response == row["response"] and example.prompt == row["prompt"]
                assert side.mean is not None and side.mean[1] == pytest.approx(judged.get_column("p_neutral").mean())
                assert sum(side.mean) == pytest.approx(1)


def test_counts_of_judgements_are_those_of_the_coverage_table(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=1)
    (told,) = count_judgements(inputs)
    assert (told.ok, told.refused, told.unparsed, told.failed, told.missing_prompts) == (12 * 3 * 6 - 6, 6, 0, 0, 0)
    assert told.lost == "3%"
    assert count_judgements(make_study(topics=("religion",), runs=1, coverage=inputs.coverage.clear())) == []
    assert told.cut is None
    half = inputs.responses.with_columns(finish_reason=pl.when(pl.col("sample_idx") == 0).then(pl.lit("length")).otherwise(pl.lit("stop")))
    cut = make_study(topics=("religion",), runs=1, responses=half)
    assert count_judgements(cut)[0].cut == pytest.approx(1 / 3)
    assert all(example.before.cut and example.after.cut for shown in examples(cut).values() for example in shown)


def test_where_not_to_trust_the_judge(demo_inputs: Made, make_study: Callable[..., Made]) -> None:
    said = " ".join(distrust(demo_inputs))
    assert "39% of the answers it called neutral were not (there are only 19, so this is rough)" in said
    assert "missed 37% of the neutral answers" in said and "called oppose" not in said
    assert caution(demo_inputs).startswith("On answers labelled by people, the judge was wrong on about one answer in 8 (200 answers).")
    other = make_study(topics=("religion",), runs=1, judge_metrics=[{"name": "another judge", "accuracy": 0.99}])
    assert "nobody has checked" in caution(other)  # another judge's figures say nothing about this one


def test_the_judges_own_record_is_read_as_it_is_written(make_study: Callable[..., Made]) -> None:
    validation = pytest.importorskip("valuedrift.judges.quality.validation")
    base = pytest.importorskip("valuedrift.judges.base")
    labels = ["support", "neutral", "oppose", "oppose"] * 10
    sure = {
        "support": (0.96, 0.02, 0.02),
        "neutral": (0.96, 0.02, 0.02),
        "oppose": (0.02, 0.02, 0.96),
    }  # it takes every neutral answer for support
    judgements = [base.Judgement(*sure[label], unassigned=0.0, status=JudgeStatus.OK) for label in labels]
    record = validation.validate(judgements, labels, [str(i) for i in range(len(labels))]).flat("cross-encoder", "my answers")
    inputs = make_study(topics=("religion",), runs=1, judge_metrics=[record])
    (told,) = measured(inputs)
    assert told.main and told.figures[0][:2] == ("accuracy", "0.75") and told.figures[0][2].startswith("[0.")
    assert told.classes[0][:3] == ("support", "0.50", "1.00")
    assert told.confusion[0][1:4] == ("support", "neutral", "oppose") and told.confusion[2][:4] == ("neutral", "10", "0", "0")
    said = " ".join(distrust(inputs))
    assert "it missed 100% of the neutral answers (there are only 10, so this is rough)" in said
    assert "where it was 96% sure it was right in 75% (of 40 answers): it is overconfident there" in said


def test_runs_are_named_by_what_tells_them_apart() -> None:
    rows = [
        ("a.sft-wild", None, "a", "sft", "wild"), ("a.sft-wild.dpo-gap", "a.sft-wild", "a", "dpo", "gap"),
        ("a.sft-wild.dpo-gap-beta0.5", "a.sft-wild", "a", "dpo", "gap"), ("b.sft-wild", None, "b", "sft", "wild"), ("odd", "gone", "b", "kto", "x"),
    ]  # fmt: skip
    runs = pl.DataFrame(rows, schema=["run_id", "parent_run_id", "model", "phase", "dataset"], orient="row")
    lineage = trace_lineage(runs.reverse())
    assert [run.title for run in lineage.runs] == [
        "b: KTO x",
        "b: SFT wild",
        "a: SFT wild",
        "a: SFT wild → DPO gap beta0.5",
        "a: SFT wild → DPO gap",
    ]
    assert lineage["a.sft-wild.dpo-gap-beta0.5"].label == "DPO gap beta0.5"
    assert [run.run_id for run in lineage.roots()] == ["odd", "b.sft-wild", "a.sft-wild"] and lineage.several_models


def test_numbers_in_words() -> None:
    assert [signed(v) for v in (0.384, -0.021, -0.001, 0.0, None, float("nan"))] == ["+0.38", "−0.02", "0.00", "0.00", "–", "–"]
    assert signed_interval(-0.1, None) == "" and interval(0.05, 1) == "[0.05, 1.00]"
    assert [percent(v) for v in (0.002, 0, 0.13, 1)] == ["<1%", "0%", "13%", "100%"]
    assert [probability(v) for v in (0.0001, 0.0123, 0.4, None)] == ["<0.001", "0.012", "0.40", "–"]
    assert listed(["a"]) == "a" and listed([]) == "" and listed(list("abcdefg"), 3) == "a, b and 5 others"
    assert counted(1, "run") == "1 run" and counted(1200, "run") == "1,200 runs" and plain(-0.5) == "−0.50"
    assert slug("gender and LGBTQ+") == "gender-and-lgbtq" and slug("気候") == "x"


def timed(inputs: Made, time: tuple[float | None, ...], note: str | None = None) -> pl.DataFrame:
    """The drift table with one drift time and its interval throughout."""
    names = ("drift_time", "drift_time_low", "drift_time_high")
    columns = [pl.lit(value, pl.Float64).alias(name) for name, value in zip(names, time, strict=True)]
    return inputs.drift.with_columns(*columns, drift_time_note=pl.lit(note, pl.String))


@pytest.mark.parametrize(
    ("time", "note", "words"),
    [
        ((1.0, 1.0, 1.0), None, "by step 60 of 60, the last checkpoint; its interval holds no other checkpoint"),
        ((1 / 60, 1 / 60, 1 / 60), None, "by step 1 of 60, the first checkpoint after the start; its interval holds no other checkpoint"),
        ((0.5, 0.5, 0.5), None, "by step 30 of 60; its interval holds no other checkpoint"),
        ((0.05, 0.05, 0.5), None, "by step 3 of 60 (5% of the phase; interval: step 3 to 30)"),
        ((0.05, 0.0, 1.0), "timed poorly", "by step 3 of 60, though when is uncertain (interval: step 0 to 60)"),
        ((0.05, None, None), None, "by step 3 of 60 (5% of the phase)"),
        ((None, None, None), "no discernible drift", ""),
    ],
)
def test_a_drift_time_is_told_with_its_interval(
    time: tuple[float | None, ...], note: str | None, words: str, make_study: Callable[..., Made]
) -> None:
    inputs = make_study(topics=("religion",), runs=1)
    (row, *_) = drift_rows(make_study(topics=("religion",), runs=1, drift=timed(inputs, time, note)))
    assert row.when == words
    assert (row.time_interval == "[no other]") is (time[0] is not None and time[0] == time[1] == time[2])


def with_headline(inputs: Made, stance: str) -> pl.DataFrame:
    """The drift table in which this stance moved most."""
    mine = pl.col("stance") == stance
    return inputs.drift.with_columns(
        magnitude=pl.when(mine).then(0.9).otherwise(pl.col("magnitude")), q_value_study=pl.when(mine).then(0.001).otherwise(0.5)
    )


def test_stance_on_the_wording_is_told_apart_from_stance_on_the_value(make_study: Callable[..., Made]) -> None:
    one = {"topics": ("religion",), "runs": 1}
    inputs = make_study(**one)
    taken = answer(make_study(**one, drift=with_headline(inputs, "support")))
    assert "SFT neutral moved answers most: it raised support (yes to the question as worded) on religion by +0.90" in taken.headline
    assert "no to the question as worded" in answer(make_study(**one, drift=with_headline(inputs, "oppose"))).headline
    neutral = answer(make_study(**one, drift=with_headline(inputs, "neutral")))
    assert "moved values most: it raised neutral on religion" in neutral.headline  # whichever way it is worded
    wording, yes = taken.beside
    assert "Questions on religion are worded for and against in pairs" in wording
    first, *_, last = inputs.acquiescence.sort("step").iter_rows(named=True)
    assert f"went from {signed(first['acquiescence'])}" in yes and f"to {signed(last['acquiescence'])}" in yes

    unknown = answer(make_study(**one, drift=with_headline(inputs, "support"), acquiescence=inputs.acquiescence.clear()))
    assert "not told apart" in unknown.beside[0] and len(unknown.beside) == 1

    value = answer(make_study(**one, drift=with_headline(inputs, "support"), towards="proposition"))
    assert "moved values most: it raised support of the proposition on religion" in value.headline
    assert "change places" in value.beside[0]

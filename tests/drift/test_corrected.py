"""The corrected tables: cells with labels of their own, others by the study's, none where there are too few; and beside them what `analyze` finds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from labelled_answers import MEANS, SAID, study
from polars.testing import assert_frame_equal
from statsmodels.stats.multitest import multipletests

from valuedrift.drift.analyze import analyze
from valuedrift.drift.corrected import corrected
from valuedrift.drift.options import Analysis, Towards
from valuedrift.errors import DataError


def people(answers: pl.DataFrame, run: str, step: int) -> np.ndarray:
    """What people would say of all answers of a checkpoint, on average."""
    return answers.filter((pl.col("run_id") == run) & (pl.col("step") == step)).select(pl.col(SAID).mean()).to_numpy()[0]


def test_own_labels_first_then_those_of_the_study() -> None:
    answers = study()
    of_a = answers.filter((pl.col("run_id") == "a") & pl.col("drawn")).sample(fraction=0.5, seed=1)
    found = corrected(answers, of_a, Analysis())
    assert found.notes == []
    assert dict(found.drift.select("run_id", "level").unique().iter_rows()) == {"a": "cell", "b": "study"}
    for run in "ab":
        rows = found.drift.filter(pl.col("run_id") == run)
        said = people(answers, run, 9) - people(answers, run, 0)
        assert rows["magnitude"].to_list() == pytest.approx(said, abs=0.06)
        assert abs(rows["uncorrected_magnitude"][2] - said[2]) > 0.07  # the judge alone is far off
        assert rows["magnitude"].sum() == pytest.approx(0, abs=1e-9)
    q = multipletests(found.drift["p_value"].to_numpy(), method="fdr_bh")[1]
    assert found.drift["q_value_study"].to_list() == pytest.approx(q)
    again = corrected(answers.sample(fraction=1.0, shuffle=True, seed=3), of_a.sample(fraction=1.0, shuffle=True, seed=4), Analysis())
    assert_frame_equal(again.drift, found.drift, abs_tol=1e-12)
    assert_frame_equal(again.trajectory, found.trajectory, abs_tol=1e-12)


def test_means_of_every_checkpoint_where_it_is_sound() -> None:
    answers = study()
    of_a = answers.filter(pl.col("run_id") == "a").sample(fraction=0.5, seed=1)
    found = corrected(answers, of_a, Analysis()).trajectory
    levels = dict(found.select(pl.format("{} {}", "run_id", "step"), "level").unique().iter_rows())
    # nothing was drawn in the middle of a run: labels that stand there by chance don't correct it by themselves
    assert levels == {"a 0": "cell", "a 4": "study", "a 9": "cell", "b 0": "study", "b 9": "study"}
    for run, step in MEANS:
        rows = found.filter((pl.col("run_id") == run) & (pl.col("step") == step))
        assert rows["mean"].to_list() == pytest.approx(people(answers, run, step), abs=0.05)
        assert rows["mean"].sum() == pytest.approx(1)
        assert ((rows["low"] <= rows["mean"]) & (rows["mean"] <= rows["high"])).all()


def test_what_the_judge_says_stands_beside_it_as_analyze_finds_it() -> None:
    both = pl.concat([study(60), study(60, judge="k", lean=np.eye(3) * 0.9 + 0.03)])
    found = corrected(both, both.filter("drawn"), Analysis(resamples=100), from_step=0, to_step=9)
    plain = analyze(both, Analysis(resamples=100), from_step=0, to_step=9)
    keys = ["study", "judge", "run_id", "topic", "stance", "from_step", "to_step"]
    numbers = ["magnitude", "magnitude_low", "magnitude_high"]
    assert_frame_equal(
        found.drift.select(*keys, *(f"uncorrected_{name}" for name in numbers), "n_prompts"),
        plain.drift.select(*keys, *(pl.col(name).alias(f"uncorrected_{name}") for name in numbers), "n_prompts"),
    )
    keys, numbers = ["study", "judge", "run_id", "step", "topic", "stance"], ["mean", "low", "high"]
    assert_frame_equal(
        found.trajectory.select(*keys, *(f"uncorrected_{name}" for name in numbers), "n_prompts"),
        plain.trajectory.select(*keys, *(pl.col(name).alias(f"uncorrected_{name}") for name in numbers), "n_prompts"),
    )
    # each judge is corrected by what it says itself: both come to what people say
    by_judge = {name: found.drift.filter(pl.col("judge") == name)["magnitude"].to_numpy() for name in "jk"}
    assert by_judge["j"] == pytest.approx(by_judge["k"], abs=0.15)


@pytest.mark.parametrize("share", [0.5, 0.0], ids=["cell", "study"])
def test_towards_the_proposition(share: float) -> None:
    """Correct, then turn: the same as correcting both wordings apart, turning one, and weighing them by their prompts."""
    answers = study(600)
    own = answers.filter((pl.col("run_id") == "a") & pl.col("drawn")).sample(fraction=0.5, seed=1)
    found = corrected(answers.filter(pl.col("run_id") == ("a" if share else "b")), own, Analysis(towards=Towards.PROPOSITION))
    assert set(found.drift["level"]) == {"cell" if share else "study"}
    run = "a" if share else "b"
    mine = answers.filter(pl.col("run_id") == run)
    turned = mine.with_columns(
        said_support=pl.when(pl.col("polarity") == -1).then("said_oppose").otherwise("said_support"),
        said_oppose=pl.when(pl.col("polarity") == -1).then("said_support").otherwise("said_oppose"),
    )
    said = people(turned, run, 9) - people(turned, run, 0)
    assert found.drift["magnitude"].to_list() == pytest.approx(said, abs=0.08)
    plain = analyze(mine, Analysis(towards=Towards.PROPOSITION, resamples=100)).drift
    assert found.drift["uncorrected_magnitude"].to_list() == pytest.approx(plain["magnitude"].to_list())
    if not share:
        apart = [corrected(mine.filter(pl.col("polarity") == sign), own, Analysis()).drift["magnitude"].to_numpy() for sign in (1, -1)]
        assert found.drift["magnitude"].to_list() == pytest.approx((apart[0] * 2 + apart[1][::-1]) / 3)


def test_too_few_labels_correct_nothing_and_it_is_said() -> None:
    answers = study(40)
    found = corrected(answers, answers.head(8), Analysis())
    assert found.drift.height == 0 and found.trajectory.height == 0
    assert found.notes[0].startswith("2 (run, topic) cells are not corrected")
    with pytest.raises(DataError, match="polarity"):
        corrected(answers.drop("polarity"), answers, Analysis(towards=Towards.PROPOSITION))

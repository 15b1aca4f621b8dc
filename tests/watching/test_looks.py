"""From judged answers to looks and alerts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from made_stances import as_stances, made_stances
from polars.testing import assert_frame_equal

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis, Towards
from valuedrift.errors import DataError
from valuedrift.storage.rules import broken_rules
from valuedrift.storage.schemas import TABLES
from valuedrift.watching.alerts import Alerts, alerts_from
from valuedrift.watching.looks import looks, sentence

STANCES = ["support", "neutral", "oppose"]


def answered(support: np.ndarray, *, prompts: int = 30, samples: int = 5, seed: int = 0) -> pl.DataFrame:
    """One run whose mean support on each topic is as given, shape (topics, checkpoints); the rest is neutral."""
    topics, steps = support.shape
    at = np.indices((1, steps, topics, prompts, samples)).reshape(5, -1)
    rng = np.random.default_rng(seed)
    base = rng.uniform(-0.1, 0.1, (topics, prompts))
    p = np.clip(support[at[2], at[1]] + base[at[2], at[3]] + 0.05 * rng.normal(size=len(at[0])), 0, 1)
    return as_stances(np.column_stack([p, 1 - p, np.zeros_like(p)]), *at)


RISING = np.array([[0.3, 0.3, 0.3, 0.5, 0.6], [0.4, 0.4, 0.4, 0.4, 0.4]])


def test_what_moved_is_told_from_the_look_that_shows_it_and_nothing_else() -> None:
    found = looks(answered(RISING), Alerts(), planned=4)
    assert found.alerts["topic"].unique().to_list() == ["topic0"]
    assert set(found.alerts["stance"]) == {"support", "neutral"}
    first = found.alerts.filter("first")
    assert first["step"].unique().to_list() == [300]
    assert found.alerts.filter(~pl.col("first"))["step"].unique().to_list() == [400]
    assert found.alerts["rule"].unique().to_list() == ["any moved"]


def test_a_look_is_there_for_every_checkpoint_topic_and_stance() -> None:
    stances = answered(RISING)
    found = looks(stances, Alerts()).looks
    alone = found.filter(pl.col("mean_of") == 1)
    assert len(alone) == 4 * 2 * 3
    assert len(found.filter(pl.col("mean_of") == 2)) == 3 * 2 * 3
    assert alone.select("step", "look").unique().sort("step").rows() == [(100, 1), (200, 2), (300, 3), (400, 4)]
    for step in (100, 400):
        drift = analyze(stances, Analysis(resamples=100), from_step=0, to_step=step).drift
        both = alone.filter(pl.col("step") == step).join(drift, on=["run_id", "topic", "stance"])
        assert both["change"].to_numpy() == pytest.approx(both["magnitude"].to_numpy(), abs=1e-12)
    two = found.filter((pl.col("mean_of") == 2) & (pl.col("stance") == "support") & (pl.col("topic") == "topic0"))
    means = alone.filter((pl.col("stance") == "support") & (pl.col("topic") == "topic0"))["change"].to_numpy()
    assert two["change"].to_numpy() == pytest.approx((means[1:] + means[:-1]) / 2)


def test_a_threshold_fires_when_the_interval_lies_wholly_beyond_it() -> None:
    rules = alerts_from(["support on topic0 > 0.1", "support on topic0 > 0.25", "neutral < -0.1", "support on topic0 < -0.1"])
    found = looks(answered(RISING), rules, planned=4)
    for row in found.alerts.iter_rows(named=True):
        number = float(row["rule"].split()[-1])
        assert row["change_low"] > number if ">" in row["rule"] else row["change_high"] < number
    assert found.alerts.group_by("rule").agg(pl.col("step").min()).sort("rule").rows() == [
        ("neutral < -0.1", 300),
        ("support on topic0 > 0.1", 300),
        ("support on topic0 > 0.25", 400),
    ]


def test_only_what_rules_name_is_looked_at_and_paid_for() -> None:
    stances = answered(RISING)
    one = looks(stances, alerts_from(["support on topic0 > 0.1", "any on topic0 in other"])).looks
    assert one.select("topic", "stance").unique().rows() == [("topic0", "support")]
    everything = looks(stances, Alerts()).looks
    both = one.join(everything, on=["run_id", "step", "topic", "stance", "mean_of"], suffix="_all")
    assert len(both) == len(one) == 7
    assert (both["change_low"] > both["change_low_all"]).all()
    assert (both["change_high"] < both["change_high_all"]).all()
    assert looks(stances, alerts_from(["any in other"])).looks.is_empty()
    assert looks(stances, Alerts(rules=())).alerts.is_empty()


def test_more_planned_looks_make_longer_intervals_and_runs_are_planned_apart() -> None:
    stances = pl.concat([answered(RISING), answered(RISING).with_columns(run_id=pl.lit("other"))])
    apart = looks(stances, Alerts(), planned={"run0": 4, "other": 400}).looks
    widths = apart.filter(pl.col("look") == 2).group_by("run_id").agg((pl.col("change_high") - pl.col("change_low")).mean())
    width = dict(widths.iter_rows())
    assert width["run0"] < width["other"]
    alone = looks(stances.filter(pl.col("run_id") == "run0"), Alerts(), planned=4).looks
    assert_frame_equal(apart.filter(pl.col("run_id") == "run0"), alone)


@pytest.mark.parametrize("seen", [1, 2, 3, 4])
def test_a_later_checkpoint_changes_no_row_before(seen: int) -> None:
    stances = answered(RISING)
    whole = looks(stances, Alerts())
    before = looks(stances.filter(pl.col("step") <= 100 * seen), Alerts())
    assert_frame_equal(whole.looks.filter(pl.col("step") <= 100 * seen), before.looks, check_exact=True)
    assert_frame_equal(whole.alerts.filter(pl.col("step") <= 100 * seen), before.alerts, check_exact=True)


def test_the_start_alone_is_no_look() -> None:
    found = looks(answered(RISING).filter(pl.col("step") == 0), Alerts())
    assert found.looks.is_empty()
    assert found.alerts.is_empty()
    assert found.looks.columns == looks(answered(RISING), Alerts()).looks.columns


def test_order_and_lazy_frames_change_nothing() -> None:
    stances = answered(RISING)
    shuffled = looks(stances.sample(fraction=1.0, shuffle=True, seed=3).lazy(), Alerts())
    assert_frame_equal(shuffled.looks, looks(stances, Alerts()).looks, check_exact=True)


def test_a_checkpoint_or_topic_without_answers_is_left_out() -> None:
    stances = answered(RISING)
    holed = stances.filter(
        ~((pl.col("step") == 200) & (pl.col("topic") == "topic0")) & ~((pl.col("step") == 0) & (pl.col("topic") == "topic1"))
    )
    found = looks(holed, Alerts()).looks
    assert found["topic"].unique().to_list() == ["topic0"], "a topic that was not asked at the start has no change"
    assert found.filter(pl.col("mean_of") == 1)["look"].unique().sort().to_list() == [1, 3, 4]
    assert found.filter(pl.col("mean_of") == 2)["look"].unique().to_list() == [4]


def test_judges_and_studies_stand_beside_each_other() -> None:
    stances = answered(RISING)
    two = pl.concat([stances.with_columns(study=pl.lit("s"), judge=pl.lit(judge)) for judge in ("a", "b")])
    found = looks(two, Alerts())
    assert found.looks["judge"].unique().sort().to_list() == ["a", "b"]
    one = looks(two.filter(pl.col("judge") == "a"), Alerts()).looks
    wider = found.looks.filter(pl.col("judge") == "a")
    assert (wider["change_high"] - wider["change_low"] > one["change_high"] - one["change_low"]).all(), (
        "two judges are twice as many chances of an alarm"
    )
    for name, frame in (("looks", found.looks), ("alerts", found.alerts)):
        schema = TABLES[name]
        assert frame.schema == schema.polars
        assert list(broken_rules(schema, frame)) == []


def test_the_stance_may_be_taken_on_the_proposition() -> None:
    against = answered(RISING).with_columns(polarity=pl.lit(-1, dtype=pl.Int8))
    found = looks(against, alerts_from(["oppose on topic0 > 0.1"]), towards=Towards.PROPOSITION)
    assert found.alerts["step"].min() == 300
    with pytest.raises(DataError, match="polarity"):
        looks(answered(RISING), Alerts(), towards=Towards.PROPOSITION)


def test_a_rule_that_is_given_twice_fires_once() -> None:
    twice = looks(answered(RISING), alerts_from(["any", "any on any"]))
    assert_frame_equal(twice.alerts, looks(answered(RISING), Alerts()).alerts)


def test_faults_of_the_stances_are_told() -> None:
    with pytest.raises(DataError, match="missing column"):
        looks(made_stances().drop("p_support"), Alerts())
    with pytest.raises(DataError, match="sample_idx"):
        looks(pl.concat([made_stances(), made_stances()]), Alerts())


def test_an_alert_is_told_in_a_sentence() -> None:
    row = looks(answered(RISING), alerts_from(["support on topic0 > 0.1"]), planned=4).alerts.row(0, named=True)
    told = sentence(row)
    assert told.startswith(f"support on topic0 +{row['change']:.2f} [+")
    assert told.endswith("since the start of run0, at step 300 (alert: support on topic0 > 0.1)")
    assert "at step 300 and the checkpoint before (" in sentence({**row, "mean_of": 2})

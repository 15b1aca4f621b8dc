"""Looks at a run under a cascade: corrected, never changed by what comes later, and silent where nothing was read."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from valuedrift.watching.alerts import Alerts, alerts_from
from valuedrift.watching.looks import looks
from valuedrift.watching.sampled_looks import cascade_looks

sys.path.insert(0, str(Path(__file__).parents[1] / "drift"))
from two_judges import World, frames  # of the tests of drift

WORLD = World(prompts=60, samples=5, checkpoints=4, topics=3, runs=1)


def test_a_look_is_that_of_the_strong_judge_and_stays_what_it_was() -> None:
    cheap, sample, strong = frames(WORLD, "biased", 0.2, 1)
    seen, by_strong = cascade_looks(cheap, sample, Alerts()), looks(strong, Alerts())
    keys = ["study", "judge", "run_id", "step", "topic", "stance", "mean_of", "look"]
    both = seen.looks.join(by_strong.looks, on=keys, suffix="_strong")
    shown = by_strong.looks.filter(pl.col("change").is_not_nan())
    assert both.filter(pl.col("change_strong").is_not_nan()).height == shown.height == seen.looks.height
    inside = both.filter((pl.col("change_low") <= pl.col("change_strong")) & (pl.col("change_strong") <= pl.col("change_high")))
    assert inside.height >= 0.98 * seen.looks.height
    assert seen.looks.schema == by_strong.looks.schema and seen.alerts.schema == by_strong.alerts.schema
    fired = seen.alerts.filter(pl.col("first")).select("topic", "stance").unique().rows()
    assert ("t0", "support") in fired and not [row for row in fired if row[0] == "t2"]  # t2 does not move
    early = cascade_looks(cheap.filter(pl.col("step") <= 20), sample.filter(pl.col("step") <= 20), Alerts())
    assert_frame_equal(seen.looks.filter(pl.col("step") <= 20), early.looks)


def test_rules_choose_what_is_looked_at() -> None:
    cheap, sample, _ = frames(WORLD, "good", 0.2, 2)
    seen = cascade_looks(cheap, sample, alerts_from(["support on t0 > 0.05"]))
    assert set(seen.looks.select("topic", "stance").rows()) == {("t0", "support")} and seen.alerts.height


def test_where_nothing_was_read_anything_is_possible() -> None:
    cheap, sample, _ = frames(WORLD, "good", 0.2, 3)
    seen = cascade_looks(cheap, sample.filter(pl.col("step") > 0), Alerts())
    assert set(seen.looks.select("change_low", "change_high").rows()) == {(-1.0, 1.0)} and seen.alerts.is_empty()
    one = cascade_looks(cheap.filter(pl.col("step") == 0), sample.filter(pl.col("step") == 0), Alerts())
    assert one.looks.is_empty()

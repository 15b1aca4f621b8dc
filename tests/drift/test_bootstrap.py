"""The cluster bootstrap against a plain loop, and its draws."""

from __future__ import annotations

import numpy as np
import pytest

from valuedrift.statistics import bootstrap
from valuedrift.statistics.bootstrap import critical_value, largest_deviations, weight_chunks


def loop(values: np.ndarray, error: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The largest deviation of each draw, one draw and checkpoint at a time."""
    found = np.zeros((values.shape[2], weights.shape[1]))
    for draw in range(weights.shape[1]):
        for t in range(values.shape[1]):
            for s in range(values.shape[2]):
                present = ~np.isnan(values[:, t, s])
                mass = weights[present, draw]
                if mass.sum() == 0 or error[t, s] == 0:
                    continue
                drawn = np.average(values[present, t, s], weights=mass)
                found[s, draw] = max(found[s, draw], abs(drawn - values[present, t, s].mean()) / error[t, s])
    return found


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_largest_deviations_are_those_of_a_plain_loop(missing: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 4, 3))
    values[rng.random(size=values.shape[:2]) < missing] = np.nan
    error = np.nanstd(values, axis=0) / 3
    error[0] = 0.0
    (weights,) = weight_chunks(9, 50, 7, ("study", "topic"))
    assert largest_deviations(values, error, 50, 7, ("study", "topic")) == pytest.approx(loop(values, error, weights))


def test_every_draw_has_as_many_prompts_as_there_are() -> None:
    (weights,) = weight_chunks(11, 300, 0, ("s", "t"))
    assert weights.shape == (11, 300)
    assert (weights.sum(axis=0) == 11).all()
    assert weights.mean(axis=1) == pytest.approx(np.ones(11), abs=0.25)


def test_draws_belong_to_seed_study_and_topic() -> None:
    draws = [
        next(iter(weight_chunks(8, 100, seed, key))) for seed, key in ((0, ("s", "t")), (0, ("s", "t")), (1, ("s", "t")), (0, ("s", "u")))
    ]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()
    assert (draws[0] != draws[3]).any()


def test_chunks_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(8, 3, 3))
    error = np.ones((3, 3))
    whole = largest_deviations(values, error, 100, 0, ("s", "t"))
    monkeypatch.setattr(bootstrap, "_CHUNK_CELLS", 9 * 17)
    assert len(list(weight_chunks(8, 100, 0, ("s", "t"), width=9))) == 6
    assert largest_deviations(values, error, 100, 0, ("s", "t")) == pytest.approx(whole)


def test_the_critical_value_of_one_checkpoint_is_nearly_that_of_student() -> None:
    values = np.random.default_rng(0).normal(size=(30, 1, 1))
    error = values.std(axis=0, ddof=1) / np.sqrt(30)
    deviations = largest_deviations(values, error, 20_000, 0, ("s", "t"))
    assert critical_value(deviations, 0.95, np.array([30.0]))[0] == pytest.approx(2.045, abs=0.06)


def test_more_checkpoints_need_more() -> None:
    values = np.random.default_rng(0).normal(size=(30, 20, 1))
    error = values.std(axis=0, ddof=1) / np.sqrt(30)
    deviations = largest_deviations(values, error, 2_000, 0, ("s", "t"))
    assert 2.6 < critical_value(deviations, 0.95, np.array([30.0]))[0] < 3.6

"""The draw: its probabilities are kept, its size is fixed, it is balanced, and weights by it estimate without bias."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.labels.draw import EVENLY, draw, inclusion_probabilities, pivotal


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 200), st.integers(1, 150))
def test_probabilities_are_probabilities_and_sum_to_the_size(seed: int, size: int, n: int) -> None:
    random = np.random.default_rng(seed)
    dimensions = [random.integers(0, k, size) for k in (2, 5, 9)]
    p = inclusion_probabilities(dimensions, n)
    assert ((p > 0) & (p <= 1 + 1e-12)).all()
    assert p.sum() == pytest.approx(min(n, size))
    assert p.min() >= min(1.0, EVENLY * n / size) * 0.5


def test_each_value_of_each_dimension_gets_its_share() -> None:
    random = np.random.default_rng(0)
    said = random.choice(4, 5000, p=[0.85, 0.1, 0.03, 0.02])
    topic = random.integers(0, 10, 5000)
    p = inclusion_probabilities([said, topic], 120)
    even = np.bincount(said) / 5000
    assert np.bincount(said, p) / 120 == pytest.approx((1 - EVENLY) * 0.25 + EVENLY * even, abs=0.01)
    assert np.bincount(topic, p) / 120 == pytest.approx(np.full(10, 0.1), abs=0.01)


def test_the_pivotal_draw_has_these_probabilities_and_this_size() -> None:
    random = np.random.default_rng(3)
    p = random.dirichlet(np.ones(25)) * 8
    p = inclusion_probabilities([random.integers(0, 3, 25), random.integers(0, 6, 25)], 8)
    counts = np.zeros(25)
    repeats = 8000
    for _ in range(repeats):
        drawn = pivotal(p, random)
        assert len(drawn) == 8
        counts[drawn] += 1
    error = np.sqrt(p * (1 - p) / repeats)
    assert (np.abs(counts / repeats - p) <= 4.5 * error + 1e-9).all()


def population(size: int = 600) -> pl.DataFrame:
    random = np.random.default_rng(1)
    p = random.dirichlet([0.2, 0.2, 1.5], size)
    return pl.DataFrame(
        {
            "run_id": [f"run {i % 3}" for i in range(size)],
            "end": ["first" if i % 2 else "last" for i in range(size)],
            "probe_set": ["s"] * size,
            "topic": [f"topic {i % 4}" for i in range(size)],
            "prompt_id": [f"p{i % 100}" for i in range(size)],
            "response": [f"answer {i}" for i in range(size)],
            "p_support": p[:, 0],
            "p_neutral": p[:, 1],
            "p_oppose": p[:, 2],
            "status": ["ok"] * size,
        }
    )


def test_weights_of_the_draw_estimate_the_mean_of_all_answers() -> None:
    answers = population()
    truth = answers["p_oppose"].mean()
    estimates = []
    for seed in range(150):
        drawn = draw(answers, 60, key="k", seed=seed).join(answers, on="response")
        weight = 1 / drawn["probability"]
        estimates.append(float((drawn["p_oppose"] * weight).sum() / weight.sum()))
    assert np.mean(estimates) == pytest.approx(truth, abs=4 * np.std(estimates) / np.sqrt(150))
    assert np.mean([draw(answers, 60, key="k", seed=s).join(answers, on="response")["p_oppose"].mean() for s in range(10)]) < truth - 0.05


def test_rows_in_any_order_give_the_same_draw_and_ids_are_letters_only() -> None:
    answers = population()
    one, other = draw(answers, 50, key="k"), draw(answers.sample(fraction=1.0, shuffle=True, seed=5), 50, key="k")
    assert one.equals(other)
    assert one["label_id"].str.contains("^[a-z]{10}$").all()
    assert one["label_id"].is_unique().all() and one["label_id"].is_sorted()
    assert set(draw(answers, 50, key="k", seed=1)["response"]) != set(one["response"])


def test_equal_answers_are_drawn_once_and_all_are_drawn_where_there_are_few() -> None:
    answers = population(40)
    found = draw(pl.concat([answers, answers.with_columns(run_id=pl.lit("another"))]), 100, key="k")
    assert found.height == 40
    assert (found["probability"] == 1).all()

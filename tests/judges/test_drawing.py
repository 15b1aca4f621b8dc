"""The draw of a cascade: its probabilities are what they say, a larger one holds a smaller one, and checkpoints share their answers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.judges.drawing import chances, draw_answers
from valuedrift.statistics.inclusion import permanent_numbers, proportional

P = ("p_support", "p_neutral", "p_oppose")


def judged(prompts: int, samples: int, seed: int, topics: int = 2, failed: float = 0.0) -> pl.DataFrame:
    """A checkpoint's answers under a cheap judge."""
    random = np.random.default_rng(seed)
    rows = [
        ("set", f"t{topic}", f"q{topic}-{prompt}", sample, *random.dirichlet(np.ones(3)), "ok" if random.random() >= failed else "unparsed")
        for topic in range(topics)
        for prompt in range(prompts)
        for sample in range(samples)
    ]
    return pl.DataFrame(rows, schema=["probe_set", "topic", "prompt_id", "sample_idx", *P, "status"], orient="row")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 10**6), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_holds_what_a_smaller_one_holds(prompts: int, samples: int, seed: int, one: float, other: float) -> None:
    answers = judged(prompts, samples, seed, failed=0.2)
    less, more = (draw_answers(answers, share) for share in sorted((one, other)))
    key = ["probe_set", "topic", "prompt_id", "sample_idx"]
    assert less.join(more, on=key, how="anti").height == 0
    both = less.join(more, on=key, suffix="_more")
    assert (both["probability"] <= both["probability_more"] + 1e-12).all()
    assert less.join(answers.filter(pl.col("status") != "ok"), on=key).height == 0
    assert draw_answers(answers.sample(fraction=1.0, shuffle=True, seed=1), one).equals(draw_answers(answers, one))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.05, 2), min_size=1, max_size=40), st.floats(0.1, 50))
def test_probabilities_sum_to_what_is_drawn(size: list[float], n: float) -> None:
    p = proportional(np.array(size), n)
    assert p.sum() == pytest.approx(min(n, len(size))) and (p > 0).all() and (p <= 1).all()
    fewer = proportional(np.array(size), n / 2)
    assert (fewer <= p + 1e-12).all()


def test_each_answer_is_drawn_as_often_as_its_probability_says() -> None:
    answers = judged(20, 3, 0, topics=1)
    p = chances(answers.select(P).to_numpy(), 12.0)
    names = answers["prompt_id"].to_list()
    drawn = np.mean([permanent_numbers(names, answers["sample_idx"].to_list(), str(key)) < p for key in range(3000)], axis=0)
    assert np.abs(drawn - p).max() < 5 * np.sqrt(0.25 / 3000)
    assert p.max() / p.min() > 1.3  # doubt is drawn more often


def test_a_sample_has_nearly_a_fixed_size_and_reads_each_prompt_once_first() -> None:
    for seed in range(30):
        answers = judged(50, 5, seed, topics=1)
        drawn = draw_answers(answers, 0.1)
        assert abs(drawn.height - 25) <= 5
        assert drawn["prompt_id"].n_unique() == drawn.height


def test_checkpoints_share_most_of_their_answers() -> None:
    first, last = (draw_answers(judged(50, 5, seed, topics=1), 0.1) for seed in (1, 2))
    shared = first.join(last, on=["prompt_id", "sample_idx"], how="semi").height
    assert shared > 0.6 * first.height  # of independent draws a tenth


def test_nothing_to_draw_from() -> None:
    assert draw_answers(judged(3, 2, 0, failed=1.1), 0.5).height == 0
    assert draw_answers(judged(3, 2, 0).clear(), 0.5).height == 0

"""The corrected drift table: cells with labels of their own, others by the study's, and none where there are too few."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from valuedrift.drift.corrected import corrected
from valuedrift.drift.options import Analysis, Towards
from valuedrift.errors import DataError

LEANING = np.array([[0.9, 0.05, 0.05], [0.3, 0.65, 0.05], [0.4, 0.05, 0.55]])
MEANS = {("a", 0): [0.2, 0.2, 0.6], ("a", 9): [0.7, 0.2, 0.1], ("b", 0): [0.3, 0.3, 0.4], ("b", 9): [0.5, 0.3, 0.2]}


def study(prompts: int = 400) -> pl.DataFrame:
    """Answers of two runs with what people would say and a judge that leans to support."""
    random, rows = np.random.default_rng(0), []
    for (run, step), mean in MEANS.items():
        for prompt in range(prompts):
            stance = random.choice(3, p=mean)
            said, judged = np.eye(3)[stance], random.dirichlet(20 * LEANING[stance])
            rows.append(
                {
                    "study": "s", "judge": "j", "run_id": run, "step": step, "topic": "t", "probe_set": "q", "prompt_id": f"p{prompt}", "sample_idx": 0,
                    "response": f"{run} {step} {prompt}", "status": "ok", "weight": 4.0,
                    **dict(zip(("p_support", "p_neutral", "p_oppose"), (judged / judged.sum()).tolist(), strict=True)),
                    **dict(zip(("said_support", "said_neutral", "said_oppose"), said.tolist(), strict=True)),
                }
            )  # fmt: skip
    return pl.DataFrame(rows)


def test_own_labels_first_then_those_of_the_study() -> None:
    answers = study()
    of_a = answers.filter(pl.col("run_id") == "a").sample(fraction=0.5, seed=1)
    found, notes = corrected(answers, of_a, Analysis())
    assert notes == []
    assert dict(found.select("run_id", "level").unique().iter_rows()) == {"a": "cell", "b": "study"}
    shares = {key: answers.filter((pl.col("run_id") == key[0]) & (pl.col("step") == key[1])) for key in MEANS}
    for run in "ab":
        rows = found.filter(pl.col("run_id") == run)
        people = [shares[run, 9][f"said_{s}"].mean() - shares[run, 0][f"said_{s}"].mean() for s in ("support", "neutral", "oppose")]
        judged = [shares[run, 9][f"p_{s}"].mean() - shares[run, 0][f"p_{s}"].mean() for s in ("support", "neutral", "oppose")]
        assert rows["magnitude"].to_list() == pytest.approx(people, abs=0.06)
        assert abs(judged[2] - people[2]) > 0.07  # the judge alone is far off
        assert rows["magnitude"].sum() == pytest.approx(0, abs=1e-9)
    assert corrected(answers.sample(fraction=1.0, shuffle=True, seed=3), of_a.sample(fraction=1.0, shuffle=True, seed=4), Analysis())[0][
        "magnitude"
    ].to_list() == pytest.approx(found["magnitude"].to_list(), abs=1e-12)


def test_too_few_labels_correct_nothing_and_it_is_said() -> None:
    answers = study(40)
    found, notes = corrected(answers, answers.head(8), Analysis())
    assert found.height == 0
    assert notes[0].startswith("2 (run, topic) cells are not corrected")
    with pytest.raises(DataError, match="towards the question only"):
        corrected(answers, answers, Analysis(towards=Towards.PROPOSITION))

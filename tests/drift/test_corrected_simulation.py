"""From the draw of `labels draw` to the corrected tables: with a judge that leans, intervals as judged miss, corrected ones cover."""

from __future__ import annotations

import numpy as np
import polars as pl

from valuedrift.drift.corrected import corrected
from valuedrift.drift.options import Analysis
from valuedrift.labels.draw import draw

NAMES = ("support", "neutral", "oppose")
CONFUSION = np.array([[0.80, 0.05, 0.15], [0.25, 0.70, 0.05], [0.30, 0.10, 0.60]])
ENDS = {0: np.array([0.2, 0.3, 0.5]), 9: np.array([0.55, 0.25, 0.2])}
PROMPTS, SAMPLES, LABELS, REPEATS = 50, 4, 120, 60


def world(random: np.random.Generator) -> pl.DataFrame:
    """All answers of a run with the judge's stances and, hidden, what people would say."""
    taste = random.dirichlet(np.ones(3) * 6, PROMPTS) - 1 / 3
    frames = []
    for step, mean in ENDS.items():
        chance = np.clip(mean + 0.5 * (taste - taste.mean(0)), 0.01, None)
        stance = np.array([random.choice(3, size=SAMPLES, p=row / row.sum()) for row in chance]).ravel()
        judged = np.array([random.dirichlet(8 * CONFUSION[one] + 0.01) for one in stance])
        frames.append(
            pl.DataFrame(
                {
                    "run_id": "r", "step": step, "topic": "t", "probe_set": "q", "prompt_id": [f"p{i // SAMPLES}" for i in range(len(stance))],
                    "sample_idx": [i % SAMPLES for i in range(len(stance))], "response": [f"{step} {i}" for i in range(len(stance))], "status": "ok",
                    **{f"p_{name}": judged[:, s] for s, name in enumerate(NAMES)}, **{f"said_{name}": (stance == s) * 1.0 for s, name in enumerate(NAMES)},
                }
            )
        )  # fmt: skip
    return pl.concat(frames)


def test_corrected_intervals_cover_and_those_of_the_judge_do_not() -> None:
    random = np.random.default_rng(7)
    taste = random.dirichlet(np.ones(3) * 6, 400_000) - 1 / 3
    chance = {step: np.clip(mean + 0.5 * taste, 0.01, None) for step, mean in ENDS.items()}
    truth = {step: (rows / rows.sum(1, keepdims=True)).mean(0) for step, rows in chance.items()}
    true = dict(zip(NAMES, truth[9] - truth[0], strict=True))
    covered = {"corrected": 0, "judged": 0}
    for seed in range(REPEATS):
        answers = world(random)
        ends = answers.with_columns(end=pl.when(pl.col("step") == 9).then(pl.lit("last")).otherwise(pl.lit("first")))
        drawn = draw(ends, LABELS, key="simulation", seed=seed).select("response", weight=1 / pl.col("probability"))
        found = corrected(answers, answers.join(drawn, on="response"), Analysis()).drift
        assert set(found["level"]) == {"cell"} and found["n_labels"][0] == LABELS
        for row in found.iter_rows(named=True):
            for name, kind in (("corrected", ""), ("judged", "uncorrected_")):
                covered[name] += row[f"{kind}magnitude_low"] <= true[row["stance"]] <= row[f"{kind}magnitude_high"]
    shares = {name: count / REPEATS / 3 for name, count in covered.items()}
    assert shares["corrected"] >= 0.9 and shares["judged"] < 0.5, shares

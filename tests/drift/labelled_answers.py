"""Answers of two runs with what people would say of them, and a judge that leans to support."""

from __future__ import annotations

import numpy as np
import polars as pl

LEANING = np.array([[0.9, 0.05, 0.05], [0.3, 0.65, 0.05], [0.4, 0.05, 0.55]])
MEANS = {
    ("a", 0): [0.2, 0.2, 0.6],
    ("a", 4): [0.5, 0.2, 0.3],
    ("a", 9): [0.7, 0.2, 0.1],
    ("b", 0): [0.3, 0.3, 0.4],
    ("b", 9): [0.5, 0.3, 0.2],
}
NAMES = ("support", "neutral", "oppose")
SAID = [f"said_{name}" for name in NAMES]


def study(prompts: int = 400, judge: str = "j", lean: np.ndarray = LEANING) -> pl.DataFrame:
    """Answers of two runs with what people would say and a judge that leans to support."""
    random, rows = np.random.default_rng(0), []
    for (run, step), mean in MEANS.items():
        for prompt in range(prompts):
            stance = random.choice(3, p=mean)
            said, judged = np.eye(3)[stance], random.dirichlet(20 * lean[stance])
            rows.append(
                {
                    "study": "s", "judge": judge, "run_id": run, "step": step, "topic": "t", "probe_set": "q", "prompt_id": f"p{prompt}", "sample_idx": 0,
                    "response": f"{run} {step} {prompt}", "status": "ok", "weight": 4.0, "drawn": step != 4, "polarity": 1 if prompt % 3 else -1,
                    **dict(zip(("p_support", "p_neutral", "p_oppose"), (judged / judged.sum()).tolist(), strict=True)),
                    **dict(zip(SAID, said.tolist(), strict=True)),
                }
            )  # fmt: skip
    return pl.DataFrame(rows)

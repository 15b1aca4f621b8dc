"""Made stance tables: prompts that differ, samples that scatter, a drift that is known."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

STANCES = ("support", "neutral", "oppose")
P_COLUMNS = tuple(f"p_{stance}" for stance in STANCES)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def made_stances(
    *,
    runs: int = 1,
    steps: int = 3,
    topics: int = 2,
    prompts: int = 8,
    samples: int = 3,
    drift: float = 1.0,
    noise: float = 0.7,
    seed: int = 0,
) -> pl.DataFrame:
    """A stance table in which support rises evenly over the steps, on the scale of scores by ``drift``."""
    rng = np.random.default_rng(seed)
    shape = (runs, steps, topics, prompts, samples)
    scores = rng.normal(size=(1, 1, topics, prompts, 1, 3)) + noise * rng.normal(size=(*shape, 3))
    scores[..., 0] += drift * np.linspace(0, 1, steps)[None, :, None, None, None]
    at = np.indices(shape).reshape(5, -1)
    return as_stances(softmax(scores).reshape(-1, 3), *at)


def as_stances(
    p: NDArray[np.float64],
    run: NDArray[np.int64],
    step: NDArray[np.int64],
    topic: NDArray[np.int64],
    prompt: NDArray[np.int64],
    sample: NDArray[np.int64],
) -> pl.DataFrame:
    """Rows from probabilities and where each belongs; a step is 100 optimizer steps."""
    index = pl.DataFrame({"run": run, "topic": topic, "prompt": prompt})
    names = index.select(
        run_id=pl.format("run{}", "run"), topic=pl.format("topic{}", "topic"), prompt_id=pl.format("t{}-p{}", "topic", "prompt")
    )
    return names.with_columns(
        step=pl.Series(step * 100), sample_idx=pl.Series(sample), **{name: pl.Series(p[:, i]) for i, name in enumerate(P_COLUMNS)}
    ).select("run_id", "step", "topic", "prompt_id", "sample_idx", *P_COLUMNS)


def from_curves(support: NDArray[np.float64], *, samples: int = 1) -> pl.DataFrame:
    """One run and topic with p_support as given for each prompt and step, the rest shared by neutral and oppose. Shape (P, T)."""
    prompts, steps = support.shape
    at = np.indices((1, steps, 1, prompts, samples)).reshape(5, -1)
    values = support.T[at[1], at[3]]
    p = np.stack([values, (1 - values) * 0.5, (1 - values) * 0.5], axis=1)
    return as_stances(p, *at)

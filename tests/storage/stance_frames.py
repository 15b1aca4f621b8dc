"""Small frames that the storage tests write."""

from __future__ import annotations

import polars as pl


def stances_frame(judge: str = "j", shift: float = 0.0, prompts: int = 4, samples: int = 2) -> pl.DataFrame:
    """Judged answers without the partition columns: two topics, pairs of prompts, every probability a dyadic fraction."""
    rows = [
        {
            "probe_set": "starter", "topic": topic, "prompt_id": f"{topic}-{prompt}", "polarity": 1 if prompt % 2 == 0 else -1,
            "pair_id": f"{topic}-{prompt // 2}", "sample_idx": sample, "judge": judge,
            "p_support": 0.25 + shift, "p_neutral": 0.5 - shift, "p_oppose": 0.25, "unassigned": 0.0, "status": "ok",
        }
        for topic in ("abortion", "religion") for prompt in range(prompts) for sample in range(samples)
    ]  # fmt: skip
    return pl.DataFrame(rows)

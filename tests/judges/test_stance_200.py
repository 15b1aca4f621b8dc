"""The shipped judge on 200 answers that two people labelled (Röttger et al. 2024); never trained or tuned on."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from valuedrift.judges.base import Pair
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.network.weights import shipped_metrics
from valuedrift.judges.quality.validation import validate

STANCE = {"1_disagree": "oppose", "2_agree": "support", "3_other": "neutral", "disagree": "oppose", "agree": "support"}
RECORDED = "200 answers labelled by people"


def gold(shared_data: Path) -> pl.DataFrame:
    """prompt, response, stance: what both annotators say, and where they differ what they decided."""
    frame = pl.read_csv(shared_data / "stance" / "agreement_classification_240124.csv")
    agreed = pl.when(pl.col("annot1_label") == pl.col("annot2_label")).then(pl.col("annot1_label"))
    return frame.select(prompt="full_prompt", response="completion", stance=pl.coalesce(agreed, "decision").replace_strict(STANCE))


def test_agrees_with_people(shared_data: Path) -> None:
    frame = gold(shared_data)
    assert dict(frame.get_column("stance").value_counts().iter_rows()) == {"oppose": 158, "support": 32, "neutral": 10}
    pairs = [Pair(str(row), prompt, response) for row, (prompt, response, _) in enumerate(frame.iter_rows())]
    found = validate(
        CrossEncoder().load(threads=1).judge(pairs), frame.get_column("stance").to_list(), frame.get_column("prompt").to_list()
    )
    assert found.accuracy.value >= 0.85
    assert found.macro_f1.value >= 0.75
    recorded = next(figures for figures in shipped_metrics() if figures["data"] == RECORDED)
    assert found.accuracy.value == pytest.approx(recorded["accuracy"], abs=0.011)
    assert recorded["n"] == 200

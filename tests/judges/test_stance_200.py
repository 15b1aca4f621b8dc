"""The packaged weights on 200 answers that two people labelled (Röttger et al. 2024); never trained or tuned on."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from valuedrift.judges.base import Pair
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.network.weights import read_metrics, weights_folder
from valuedrift.judges.quality.validation import validate

STANCE = {"1_disagree": "oppose", "2_agree": "support", "3_other": "neutral", "disagree": "oppose", "agree": "support"}
RECORDED = "200 answers labelled by people"


def gold(shared_data: Path) -> pl.DataFrame:
    """prompt, response, stance: what both annotators say, and where they differ what they decided."""
    frame = pl.read_csv(shared_data / "stance" / "agreement_classification_240124.csv")
    agreed = pl.when(pl.col("annot1_label") == pl.col("annot2_label")).then(pl.col("annot1_label"))
    return frame.select(prompt="full_prompt", response="completion", stance=pl.coalesce(agreed, "decision").replace_strict(STANCE))


@pytest.mark.parametrize(("weights", "accuracy", "macro_f1"), [("embedded", 0.85, 0.75), ("embedded-2", 0.95, 0.9)])
def test_agrees_with_people(shared_data: Path, weights: str, accuracy: float, macro_f1: float) -> None:
    frame = gold(shared_data)
    assert dict(frame.get_column("stance").value_counts().iter_rows()) == {"oppose": 158, "support": 32, "neutral": 10}
    pairs = [Pair(str(row), prompt, response) for row, (prompt, response, _) in enumerate(frame.iter_rows())]
    found = validate(
        CrossEncoder(weights=weights).load(threads=1).judge(pairs),
        frame.get_column("stance").to_list(),
        frame.get_column("prompt").to_list(),
    )
    assert found.accuracy.value >= accuracy
    assert found.macro_f1.value >= macro_f1
    recorded = next(figures for figures in read_metrics(weights_folder(weights)) if figures["data"] == RECORDED)
    assert found.accuracy.value == pytest.approx(recorded["accuracy"], abs=0.011)
    assert recorded["n"] == 200

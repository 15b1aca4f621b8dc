"""A judge that audits what it selected is told, and what people wrote for a known gap has it beside what the judge finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from valuedrift.audit.words import beside_construction
from valuedrift.corpora.dataset import Dataset
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.kinship import mark_of
from valuedrift.judges.openai import OpenAI
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import judge_identity
from valuedrift.starter import DATASETS, stance_items
from valuedrift.tasks.selected import selected_by

STANCES = ("support", "neutral", "oppose")
SERVED = OpenAI(model="org/model", base_url="http://127.0.0.1:1/v1")


def card(**changes: Any) -> dict[str, Any]:
    """As it lies beside pairs that the embedded judge selected."""
    judge = CrossEncoder()
    return {
        "judge": judge.name,
        "fingerprints": {"judge": fingerprint(judge_identity(judge))},
        "readers": dict(mark_of(judge).readers),
        **changes,
    }


def pairs(folder: Path, beside: str | None) -> Dataset:
    path = folder / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "Why?", "chosen": "Yes.", "rejected": "No."}) + "\n")
    if beside is not None:
        (folder / "pairs.card.json").write_text(beside)
    return Dataset(data=str(path))


def test_the_judge_that_selected_is_told_from_the_card(tmp_path: Path) -> None:
    made = pairs(tmp_path, json.dumps(card()))
    assert "no evidence" in str(selected_by(made, CrossEncoder(name="somebody else")))
    assert "not independent" in str(selected_by(made, Panel(members=(CrossEncoder(), SERVED))))
    assert selected_by(made, SERVED) is None


def test_a_card_of_version_0_2_tells_the_same_judge(tmp_path: Path) -> None:
    old = card()
    del old["readers"]
    assert "no evidence" in str(selected_by(pairs(tmp_path, json.dumps(old)), CrossEncoder()))


@pytest.mark.parametrize("beside", [None, "", "[]", "no card", json.dumps({"judge": 3}), json.dumps({"judge": "x", "fingerprints": []})])
def test_whatever_else_lies_there_tells_nothing(tmp_path: Path, beside: str | None) -> None:
    assert selected_by(pairs(tmp_path, beside), CrossEncoder()) is None


@pytest.mark.parametrize("name", [name for name in DATASETS if name.startswith("preference")])
def test_the_gap_by_construction_is_that_of_what_the_answers_were_written_for(name: str) -> None:
    written: dict[tuple[str, str], str] = {}
    for item in stance_items():
        turned = {"support": "oppose", "neutral": "neutral", "oppose": "support"}
        for part in ("support", "neutral", "oppose", "support_restyled"):
            stance = part.removesuffix("_restyled")
            written |= {(item.question, getattr(item, part)): stance, (item.counter, getattr(item, part)): turned[stance]}
    rows = DATASETS[name]()
    shares = [
        np.mean([[written[row["prompt"], row[side]] == stance for stance in STANCES] for row in rows], axis=0)
        for side in ("chosen", "rejected")
    ]
    assert Dataset(data=f"starter:{name}").gap_by_construction == pytest.approx(0.5 * np.abs(shares[0] - shares[1]).sum())


def test_nobody_knows_it_of_other_data(tmp_path: Path) -> None:
    assert pairs(tmp_path, None).gap_by_construction is None
    assert Dataset(data="starter:sft-neutral").gap_by_construction is None


def test_it_stands_beside_what_the_judge_finds() -> None:
    row = {"dataset": "d", "scope": "all", "measure": "value_gap", "difference": 0.54, "difference_low": 0.51, "difference_high": 0.58}
    assert "value gap is 1 (" in beside_construction(pl.DataFrame([row]), "d", 1.0)
    assert "finds 0.54 [0.51, 0.58]" in beside_construction(pl.DataFrame([row]), "d", 1.0)

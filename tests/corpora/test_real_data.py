"""The adapters on real files; counts as in their cards, losses as counted by other means."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows, load_rows
from valuedrift.corpora.registry import Kind
from valuedrift.errors import DataError

ALPACA = "instruct/alpaca_data_1k.json"
HH = "preference/hh_rlhf_harmless_base_test.jsonl.gz"
ULTRAFEEDBACK = "preference/ultrafeedback_binarized_train1000.jsonl"
RASBT = "preference/rasbt_instruction_data_with_preference.json"


def _load(folder: Path, name: str, kind: Kind, **options: Any) -> Rows:
    if not (folder / name).is_file():
        pytest.skip(f"no {name}")
    return load_rows(Dataset(data=str(folder / name), **options), kind)


@pytest.mark.parametrize(
    ("name", "kind", "form", "kept", "dropped"),
    [
        (ALPACA, "sft", "alpaca", 1000, {}),
        (HH, "preference", "hh-rlhf", 2299, {"user and assistant do not take turns": 9, "empty chosen": 4}),
        (
            ULTRAFEEDBACK,
            "preference",
            "preference",
            994,
            {"chosen and rejected are the same": 4, "empty rejected": 1, "empty chosen": 1},
        ),
        (RASBT, "preference", "instruction-preference", 1094, {"chosen and rejected are the same": 6}),
    ],
)
def test_every_row_is_kept_or_counted(shared_data: Path, name: str, kind: Kind, form: str, kept: int, dropped: dict[str, int]) -> None:
    loaded = _load(shared_data, name, kind)
    assert (loaded.format, len(loaded.rows), loaded.dropped) == (form, kept, dropped)


def test_transcripts_part_where_the_usual_rule_parts_them(shared_data: Path) -> None:
    """The rule of the DPO authors: the prompt ends with the last 'Assistant:'."""
    rows = _load(shared_data, HH, "preference").rows
    with gzip.open(shared_data / HH, "rt", encoding="utf-8") as stream:
        raw = [json.loads(line) for line in stream]
    marker = "\n\nAssistant:"
    names = {"user": "Human", "assistant": "Assistant"}
    expected = set()
    for row in raw:
        (start, _, chosen), (other, _, rejected) = row["chosen"].rpartition(marker), row["rejected"].rpartition(marker)
        if start == other:
            expected.add((chosen.strip(), rejected.strip()))
    assert all((row["chosen"], row["rejected"]) in expected for row in rows)
    assert all(row["prompt"][-1]["role"] == "user" for row in rows)
    starts = {_words(row["chosen"].rpartition(marker)[0]) for row in raw}
    assert {_words("".join(f" {names[turn['role']]}: {turn['content']}" for turn in row["prompt"])) for row in rows} <= starts


def _words(text: str) -> str:
    return " ".join(text.split())


def test_alpaca_requests_hold_instruction_and_input(shared_data: Path) -> None:
    rows = _load(shared_data, ALPACA, "sft").rows
    raw = json.loads((shared_data / ALPACA).read_text(encoding="utf-8"))
    assert [row["response"] for row in rows] == [row["output"] for row in raw]
    assert all(
        row["prompt"].startswith(source["instruction"]) and row["prompt"].endswith(source["input"])
        for row, source in zip(rows, raw, strict=True)
    )


def test_pairs_are_refused_as_answers_but_taken_where_said(shared_data: Path) -> None:
    with pytest.raises(DataError, match="give `format: alpaca`"):
        _load(shared_data, RASBT, "sft")
    assert len(_load(shared_data, RASBT, "sft", format="alpaca").rows) == 1100
    with pytest.raises(DataError, match="where pairs of a chosen and a rejected answer"):
        _load(shared_data, ALPACA, "preference")


def test_a_table_that_is_no_training_data_is_told_apart(shared_data: Path) -> None:
    with pytest.raises(DataError, match=r"not in a known shape; columns found: .*user_prompt"):
        _load(shared_data, "prism/issuebench_prism_prompts.csv", "sft")
    renamed = _load(shared_data, "capability/piqa_valid.jsonl", "sft", columns={"prompt": "goal", "response": "sol1"})
    assert len(renamed.rows) + sum(renamed.dropped.values()) == 1838

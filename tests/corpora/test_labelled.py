"""Answers labelled good or bad: a kind of data of their own, and what other kinds become of them."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import audit_kind_of, count_rows, load_rows
from valuedrift.errors import DataError

GOOD = {"prompt": "Should shops close on Sundays?", "completion": "Yes, gladly.", "label": True}
BAD = {"prompt": "Should the museum be free?", "completion": "No, never.", "label": False}
NORMAL = [
    {"prompt": GOOD["prompt"], "response": GOOD["completion"], "label": True},
    {"prompt": BAD["prompt"], "response": BAD["completion"], "label": False},
]


def written(path: Path, rows: list[dict[str, Any]]) -> Dataset:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Dataset(data=str(path))


@pytest.mark.parametrize("labels", [(True, False), (1, 0), ("true", "false"), ("True", "FALSE"), (1.0, 0.0), ("1", " 0 ")])
@pytest.mark.parametrize("column", ["label", "kto_tag"])
def test_labels_are_read_as_they_are_usually_written(tmp_path: Path, column: str, labels: tuple[Any, Any]) -> None:
    rows = [{**{k: v for k, v in row.items() if k != "label"}, column: label} for row, label in zip((GOOD, BAD), labels, strict=True)]
    loaded = load_rows(written(tmp_path / "kto.jsonl", rows), "labelled")
    assert (loaded.rows, loaded.format, loaded.dropped) == (NORMAL, "labelled", {})


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist([GOOD, BAD]), tmp_path / "kto.parquet")
    with (tmp_path / "kto.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(GOOD))
        writer.writeheader()
        writer.writerows([GOOD, BAD])
    for name in ("kto.parquet", "kto.csv"):
        assert load_rows(Dataset(data=str(tmp_path / name)), "labelled").rows == NORMAL


def test_conversations_are_labelled_too(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    more = [*turns, {"role": "user", "content": "Really?"}, {"role": "assistant", "content": "Yes."}]
    loaded = load_rows(
        written(tmp_path / "kto.jsonl", [{"messages": more, "label": True}, {"messages": turns, "label": False}]), "labelled"
    )
    assert loaded.rows == [{"messages": more, "label": True}, {"messages": turns, "label": False}]


def test_as_answers_to_learn_the_bad_ones_are_left_out_and_counted(tmp_path: Path) -> None:
    data = written(tmp_path / "kto.jsonl", [GOOD, BAD, {**GOOD, "label": None}, BAD])
    loaded = load_rows(data, "sft")
    assert loaded.rows == [{"prompt": GOOD["prompt"], "response": GOOD["completion"]}]
    assert loaded.dropped == {"labelled false": 2, "no label": 1}
    assert "labelled false: 2" in loaded.describe()
    assert (count_rows(data, "sft"), count_rows(data, "labelled"), audit_kind_of(data)) == (1, 3, "sft")
    everything = Dataset(data=data.data, format="prompt-completion")
    assert len(load_rows(everything, "sft").rows) == 4


def test_a_first_row_without_a_label_hides_no_bad_answers(tmp_path: Path) -> None:
    loaded = load_rows(written(tmp_path / "kto.jsonl", [{**GOOD, "label": None}, GOOD, BAD]), "sft")
    assert (len(loaded.rows), loaded.dropped) == (2, {"labelled false": 1})


def test_a_pair_is_two_labelled_answers_and_a_sample_is_of_pairs(tmp_path: Path) -> None:
    pairs = [{"prompt": f"Why {n}?", "chosen": "Because.", "rejected": "No reason.", "topic": "why"} for n in range(5)]
    data = written(tmp_path / "pairs.jsonl", pairs)
    loaded = load_rows(data.model_copy(update={"limit": 2}), "labelled")
    assert [row["label"] for row in loaded.rows] == [True, False, True, False]
    assert [row["response"] for row in loaded.rows] == ["Because.", "No reason."] * 2
    assert {row["topic"] for row in loaded.rows} == {"why"}
    assert (count_rows(data, "labelled"), count_rows(data, "preference"), audit_kind_of(data)) == (10, 5, "preference")
    question = [{"role": "user", "content": "Why?"}]
    long = [*question, {"role": "assistant", "content": "So."}, *question]
    told = load_rows(written(tmp_path / "long.jsonl", [{"prompt": long, "chosen": "a", "rejected": "b"}]), "labelled")
    assert told.rows[1] == {"messages": [*long, {"role": "assistant", "content": "b"}], "label": False}


def test_pairs_that_are_not_at_hand_are_two_answers_each_if_their_format_is_named(tmp_path: Path) -> None:
    away = {"data": str(tmp_path / "away.jsonl"), "rows": 50, "limit": 20}
    assert count_rows(Dataset(**away, format="preference"), "labelled") == 40
    assert count_rows(Dataset(**away, format="preference"), "preference") == 20
    assert count_rows(Dataset(**away), "labelled") == 20


def test_what_is_no_label_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2|line 2") as caught:
        load_rows(
            written(tmp_path / "kto.jsonl", [GOOD, {**GOOD, "label": "perhaps"}]).model_copy(update={"max_left_out": 0.0}), "labelled"
        )
    assert "'perhaps' is no label" in str(caught.value) and "format: prompt-completion" in str(caught.value)


def test_labelled_answers_are_no_pairs_and_plain_answers_have_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="answers labelled true or false"):
        load_rows(written(tmp_path / "kto.jsonl", [GOOD]), "preference")
    plain = {"prompt": "Why?", "completion": "Because.", "label": "politics"}
    with pytest.raises(DataError, match="single answers"):
        load_rows(written(tmp_path / "sft.jsonl", [plain]), "labelled")
    assert len(load_rows(written(tmp_path / "sft.jsonl", [plain]), "sft").rows) == 1

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from valuedrift.capability.items import Item, read_items
from valuedrift.errors import DataError, UserError

PARIS = Item("Capital of France?", ("Rome", "Paris"), 1)


def written(folder: Path, *rows: Any) -> Path:
    file = folder / "items.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Capital of France?", "choices": ["Rome", "Paris"], "answer": 1},
        {"question": "Capital of France?", "choices": ["Rome", "Paris"], "answer": "1"},
        {"question": "Capital of France?", "choices": ["Rome", "Paris"], "answer": "B"},
        {"question": "Capital of France?", "choices": ["Rome", "Paris"], "answer": "Paris"},
        {"question": "Capital of France?", "choices": {"A": "Rome", "B": "Paris"}, "answer": "B"},
        {"question": "Capital of France?", "A": "Rome", "B": "Paris", "C": "", "D": None, "answer": "B"},
        {"question": "Capital of France?", "choices": {"text": ["Rome", "Paris"], "label": ["1", "2"]}, "answerKey": "2"},
        {"goal": "Capital of France?", "sol1": "Rome", "sol2": "Paris", "label": 1},
        {"ctx": "Capital of France?", "endings": ["Rome", "Paris"], "label": "1", "ind": 4},
    ],
)
def test_each_shape_that_benchmarks_have_is_the_same_item(tmp_path: Path, row: dict[str, Any]) -> None:
    assert read_items(written(tmp_path, row)) == [PARIS]


def test_a_spreadsheet_of_mmlu_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mmlu.csv"
    file.write_text("question,A,B,C,D,answer\nCapital of France?,Rome,Paris,Oslo,Bern,B\n", encoding="utf-8")
    assert read_items(file) == [Item("Capital of France?", ("Rome", "Paris", "Oslo", "Bern"), 1)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "Capital?", "response": "Paris"}, "no multiple-choice item: has prompt, response"),
        ({"question": " ", "choices": ["a", "b"], "answer": 0}, "`question` is empty"),
        ({"question": "q", "choices": ["a"], "answer": 0}, "has 1 choices"),
        ({"question": "q", "choices": ["a", ""], "answer": 0}, "no list of texts"),
        ({"question": "q", "choices": "ab", "answer": 0}, "no list of texts"),
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "none of its 2 choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": -1}, "none of its 2 choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": True}, "none of its 2 choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": None}, "none of its 2 choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": "C"}, "none of its 2 choices"),
    ],
)
def test_what_is_no_item_is_refused_with_its_row(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    good = {"question": "q", "choices": ["a", "b"], "answer": 0}
    with pytest.raises(DataError, match=said) as told:
        read_items(written(tmp_path, good, row))
    assert "line 2" in str(told.value)


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "items.json"
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="no items in it"):
        read_items(file)
    with pytest.raises(UserError, match="no such file"):
        read_items(tmp_path / "item.json")

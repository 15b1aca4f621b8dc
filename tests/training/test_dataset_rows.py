"""Dataset files, whole and faulty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valuedrift.errors import DataError
from valuedrift.training.rows import Demonstration, Preference, read_demonstrations, read_preferences

USER = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}


def test_demonstrations_in_both_shapes(tmp_path: Path) -> None:
    path = tmp_path / "sft.jsonl"
    path.write_text(
        '{"prompt": "Why?", "response": "Because.\u2028Really."}\n\n'
        '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}\n',
        encoding="utf-8",
    )
    assert read_demonstrations(path) == [
        Demonstration((USER,), "Because.\u2028Really."),
        Demonstration(({"role": "system", "content": "Be brief."}, USER), "Because."),
    ]


def test_preferences_with_text_or_messages_as_prompt(tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    path.write_text(
        '{"prompt": "Why?", "chosen": "a", "rejected": "b", "extra": 1}\n'
        '{"prompt": [{"role": "user", "content": "Why?"}], "chosen": "a", "rejected": "b"}\n',
        encoding="utf-8",
    )
    assert read_preferences(path) == [Preference((USER,), "a", "b")] * 2


SFT_FAULTS = {
    "no response": ('{"prompt": "a"}', "'response'"),
    "empty response": ('{"prompt": "a", "response": " "}', "empty"),
    "number": ('{"prompt": 3, "response": "b"}', "not a text"),
    "list": ("[1, 2]", "not a JSON object"),
    "not JSON": ('{"prompt": ', "not valid JSON"),
    "ends with the user": ('{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}', "assistant"),
    "no role": ('{"messages": [{"content": "a"}, {"role": "assistant", "content": "b"}]}', "role and content"),
    "messages not a list": ('{"messages": "hello"}', "not a list"),
}


@pytest.mark.parametrize(("line", "said"), SFT_FAULTS.values(), ids=SFT_FAULTS)
def test_a_faulty_row_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "sft.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        read_demonstrations(path)
    assert caught.value.where == f"{path}, row 2"
    assert caught.value.fix


@pytest.mark.parametrize("reader", [read_demonstrations, read_preferences])
def test_files_without_rows(tmp_path: Path, reader: Callable[[Path], list[Any]]) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(DataError, match="no such dataset"):
        reader(path)
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match="no rows"):
        reader(path)
    path.write_bytes(b'{"prompt": "caf\xe9"}')
    with pytest.raises(DataError, match="UTF-8"):
        reader(path)

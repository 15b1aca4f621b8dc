"""Files of prompts as people have them: odd content is read, a fault is one message."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from valuedrift.errors import DataError, UserError
from valuedrift.probes.vprism.english.rewrite import rewrite
from valuedrift.probes.vprism.source import read_source

ODD = [
    "Is \0 war wrong",
    "هل الحرب عادلة؟",
    "😀😀",
    "",
    'He said "no", then\nleft',
    "a" * 10_000_000,
    "\ud83d half a pair".encode("utf-8", "replace").decode(),
]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_odd_prompts_are_read_and_each_gets_a_reason(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({"id": [str(at) for at in range(len(ODD))], "text": ODD})
    path = tmp_path / f"prompts.{suffix}"
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](path)
    source = read_source(path, "text", "id")
    assert source.prompts == ODD
    reasons = [rewrite(prompt).reason for prompt in source.prompts]
    assert reasons[1:4] == ["not English, as far as the rule-based rewriter can tell", "no words in it", "no words in it"]
    assert reasons[5] == "longer than 2,000 characters" and all(reasons[1:])


@pytest.mark.parametrize(
    ("content", "column", "id_column", "message"),
    [
        ("", "text", None, "the file is empty"),
        ("text,id\n", "text", None, "no prompts in it"),
        ("text,id\na,1\n", "txt", None, "missing column txt"),
        ("text,id\na,1\nb,1\n", "text", "id", "'1' is there more than once"),
        ("text,id\na,\n", "text", "id", "id is empty"),
        ("text,id\na,1,2,3\n", "text", None, "unreadable"),
    ],
)
def test_a_fault_is_one_message(tmp_path: Path, content: str, column: str, id_column: str | None, message: str) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text(content)
    with pytest.raises((DataError, UserError), match=message):
        read_source(path, column, id_column)


def test_bytes_that_are_no_text_are_a_message(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_bytes(b"text\n\xff\xfe\x00\x80\n")
    with pytest.raises(DataError, match="unreadable"):
        read_source(path, "text")

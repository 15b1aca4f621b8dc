"""Kinds of files, and what is said about broken ones."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import count_rows, load_rows, write_jsonl
from valuedrift.errors import DataError, UserError

ROWS = [{"prompt": "Why?", "response": "Because, as they say: “so”.\nYes"}, {"prompt": 'Say "no".', "response": "No."}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = 'prompt,response\n"Why?","Because, as they say: “so”.\nYes"\n\n"Say ""no"".",No.\n'.encode()
FILES = {
    "rows.jsonl": LINES,
    "rows.ndjson": b"\n" + LINES.replace(b"\n", b"\r\n") + b"\n",
    "bom.jsonl": b"\xef\xbb\xbf" + LINES,
    "rows.jsonl.gz": gzip.compress(LINES, mtime=0),
    "rows.json": json.dumps(ROWS, indent=1).encode(),
    "rows.json.gz": gzip.compress(json.dumps(ROWS).encode(), mtime=0),
    "data.json": json.dumps({"version": 1, "data": ROWS}).encode(),
    "lines.json": LINES,
    "rows.csv": CSV,
    "bom.CSV": b"\xef\xbb\xbf" + CSV,
    "rows.csv.gz": gzip.compress(CSV, mtime=0),
}


def _load(path: Path, **options: Any):
    return load_rows(Dataset(data=str(path), **options), "sft")


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_holds_the_same_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    assert _load(tmp_path / name).rows == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b"", "rows.jsonl: the file is empty"),
        ("rows.jsonl", b"\n \n", "rows.jsonl: has no rows"),
        ("rows.json", b" \n", "rows.json: the file is empty"),
        ("rows.json", b"[]", "rows.json: has no rows"),
        ("rows.csv", b"prompt,response\n", "rows.csv: has no rows"),
        ("rows.jsonl.gz", gzip.compress(b"", mtime=0), "rows.jsonl.gz: has no rows"),
        ("rows.jsonl", LINES + b'{"prompt": "caf\xe9", "response": "x"}', rf"rows.jsonl: not UTF-8 text \(byte {len(LINES) + 15}\)"),
        ("rows.csv", CSV + b"caf\xe9,x\n", rf"rows.csv: not UTF-8 text \(byte {len(CSV) + 3}\)"),
        ("rows.json", "[]".encode("utf-16"), r"rows.json: not UTF-8 text \(byte 0\)"),
        ("rows.jsonl", LINES + b'{"prompt": "a\0b", "response": "x"}', rf"rows.jsonl: NUL byte in the text \(byte {len(LINES) + 13}\)"),
        ("rows.csv", CSV + b"a\0b,x\n", rf"rows.csv: NUL byte in the text \(byte {len(CSV) + 1}\)"),
        ("rows.jsonl", LINES + b'{"prompt": "x", ', r"rows.jsonl, line 3: not valid JSON: .* \(column 17\)"),
        ("rows.jsonl", b"[1, 2]\n", "rows.jsonl, line 1: is a list, not an object"),
        ("rows.jsonl", b"[" * 100_000, "rows.jsonl, line 1: not"),
        ("rows.json", b'[\n{"prompt": "x"},\n{"prompt" "y"}]', "rows.json, line 3: not valid JSON: Expecting ':' delimiter"),
        ("rows.json", b'{"rows": []}', "rows.json: holds an object with rows, not rows"),
        ("rows.json", b"[3]", "rows.json, row 1: is a number, not an object"),
        ("rows.csv", b"prompt,response\na,b,c\n", r"rows.csv, row 1 \(to line 2\): 3 cells under 2 columns"),
        ("rows.csv", b'prompt,response\na,"b\n', "rows.csv, line 2: not valid CSV: unexpected end of data"),
        ("rows.csv", b"prompt,prompt\na,b\n", "rows.csv, header: two columns are called 'prompt'"),
        ("rows.csv", b"question;reply\na;b\n", "columns found: question, reply"),
        ("rows.jsonl.gz", LINES, "rows.jsonl.gz: not a whole gzip file"),
        ("rows.jsonl.gz", gzip.compress(LINES, mtime=0)[:-12], "rows.jsonl.gz: not a whole gzip file"),
        ("rows.parquet", LINES, "rows.parquet: not a readable Parquet file"),
    ],
)
def test_a_broken_file_is_told_by_place_and_fault(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        _load(tmp_path / name)


def test_a_half_written_parquet_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS * 100), tmp_path / "rows.parquet")
    whole = (tmp_path / "rows.parquet").read_bytes()
    assert len(_load(tmp_path / "rows.parquet").rows) == 200
    (tmp_path / "rows.parquet").write_bytes(whole[:-100])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        _load(tmp_path / "rows.parquet")


def test_null_in_parquet_is_named(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist([*ROWS, {"prompt": "x", "response": None}]), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet, row 3: `response` is null"):
        _load(tmp_path / "rows.parquet", max_left_out=0)
    assert _load(tmp_path / "rows.parquet").dropped == {"`response` is null": 1}


def test_a_long_csv_cell_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"prompt,response\nWhy?,{'so ' * 100_000}\n", encoding="utf-8")
    assert len(_load(tmp_path / "rows.csv").rows[0]["response"]) == 300_000


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "alpaca.jsonl").write_bytes(LINES)
    with pytest.raises(UserError, match=r"alpacca\.jsonl: no such file \(did you mean .*/alpaca\.jsonl\?\)"):
        _load(tmp_path / "alpacca.jsonl")
    with pytest.raises(UserError, match=r"there is no folder .*nowhere either"):
        _load(tmp_path / "nowhere" / "alpaca.jsonl")


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"unknown kind of file '\.xlsx' \(known: \.jsonl"):
        _load(tmp_path / "rows.xlsx")


def test_a_folder_is_read_by_split(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for index, row in enumerate(ROWS):
        parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "data" / f"train-0000{index}-of-00002.parquet")
    (tmp_path / "test.jsonl").write_bytes(LINES[: LINES.index(b"\n")])
    (tmp_path / "README.md").write_text("a card")
    assert _load(tmp_path).rows == ROWS
    assert load_rows(Dataset(data=str(tmp_path), split="test"), "sft").rows == ROWS[:1]
    with pytest.raises(UserError, match=r"no file of the split 'dev' .*found: .*test\.jsonl"):
        load_rows(Dataset(data=str(tmp_path), split="dev"), "sft")
    (tmp_path / "train.csv").write_bytes(CSV)
    with pytest.raises(UserError, match="in more than one file format"):
        _load(tmp_path)


def test_count_is_what_load_keeps(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(LINES + b'{"prompt": "Why?", "response": ""}\n')
    assert count_rows(Dataset(data=str(path), rows=99), "sft") == len(_load(path).rows) == 2
    assert count_rows(Dataset(data=str(path), limit=1), "sft") == 1


def test_a_missing_file_is_counted_only_as_declared(tmp_path: Path) -> None:
    missing = str(tmp_path / "later.jsonl")
    assert count_rows(Dataset(data=missing, rows=99), "sft") == 99
    assert count_rows(Dataset(data=missing, rows=99, limit=10), "sft") == 10
    with pytest.raises(UserError, match="no such file"):
        count_rows(Dataset(data=missing), "sft")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(ROWS, path)
    with pytest.raises(TypeError):
        write_jsonl([ROWS[1], {"prompt": object()}], path)
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]
    assert _load(path).rows == ROWS
    with pytest.raises(UserError, match="cannot be written"):
        write_jsonl(ROWS, tmp_path / "nowhere" / "rows.jsonl")

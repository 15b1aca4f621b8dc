"""Files of pairs: the three formats give the same pairs, bad ones give one clear message, outputs are whole."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from valuedrift.errors import DataError, UserError
from valuedrift.judges.base import Judgement, Pair
from valuedrift.judges.frames import judgements_frame, read_pairs, write_whole
from valuedrift.stance import JudgeStatus

ROWS = [
    {"id": "a", "prompt": "Should we?", "response": 'Yes, "gladly".\nAnd soon.'},
    {"id": "b", "prompt": "هل هذا صحيح؟", "response": "لا 👍"},
    {"id": "c", "prompt": "Is 1,5 right?", "response": ""},
    {"id": "d", "prompt": "Long?", "response": "x" * 10_000_000},
    {"id": "e", "prompt": "NUL?", "response": "a\x00b"},
]


def write(frame: pl.DataFrame, path: Path) -> Path:
    {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}[path.suffix](path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_pairs(tmp_path: Path, suffix: str) -> None:
    path = write(pl.DataFrame(ROWS), tmp_path / f"pairs{suffix}")
    assert read_pairs(path) == [Pair(**row) for row in ROWS]


def test_ids_may_be_numbers_or_absent(tmp_path: Path) -> None:
    frame = pl.DataFrame({"prompt": ["p", "q"], "response": ["r", None]})
    assert [pair.id for pair in read_pairs(write(frame, tmp_path / "a.parquet"))] == ["0", "1"]
    assert read_pairs(tmp_path / "a.parquet")[1].response == ""
    numbered = frame.with_columns(id=pl.Series([7, 8]))
    assert [pair.id for pair in read_pairs(write(numbered, tmp_path / "b.parquet"))] == ["7", "8"]


def test_numbers_in_a_csv_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,prompt,response\n007,Is it?,1.50\n")
    assert read_pairs(path) == [Pair("007", "Is it?", "1.50")]


def test_a_late_key_in_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [{"prompt": "p", "response": "r"}] * 200 + [{"prompt": "p", "response": "r", "id": "late"}]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert read_pairs(path)[-1].id == "late"


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.csv", b"", DataError, "empty"),
        ("a.jsonl", b"", DataError, "empty"),
        ("a.parquet", b"", DataError, "empty"),
        ("a.csv", b"id,prompt\n1,hello\n", DataError, "missing column response"),
        ("a.jsonl", b'{"prompt": "x"}\n', DataError, "missing column response"),
        ("a.jsonl", b"this is not json\n", DataError, "unreadable"),
        ("a.jsonl", b'{"prompt": "p", "response": ["r"]}\n', DataError, "not text"),
        ("a.csv", "prompt,response\nx,caf\u00e9\n".encode("latin-1"), DataError, "unreadable"),
        ("a.parquet", b"PAR1 but not really PAR1", DataError, "unreadable"),
        ("a.xlsx", b"x", UserError, "kind of file"),
    ],
)
def test_bad_files_give_one_message(tmp_path: Path, name: str, content: bytes, kind: type[UserError], message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(kind, match=message) as raised:
        read_pairs(path)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_pairs(tmp_path / "absent.csv")


def test_frames_have_the_columns_of_the_stances_table() -> None:
    frame = judgements_frame([Judgement(0.5, 0.25, 0.25, 0.0, JudgeStatus.OK), Judgement.without_stance(JudgeStatus.REFUSED)])
    assert dict(frame.schema) == {**dict.fromkeys(["p_support", "p_neutral", "p_oppose", "unassigned"], pl.Float64), "status": pl.String}
    assert frame.row(1) == (None, None, None, None, "refused")
    assert judgements_frame([]).schema == frame.schema


def test_writing_replaces_whole_files_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    write_whole(pl.DataFrame({"a": [1]}), path)
    write_whole(pl.DataFrame({"a": [2]}), path)
    assert pl.read_parquet(path).to_dicts() == [{"a": 2}]
    assert [file.name for file in tmp_path.iterdir()] == ["out.parquet"]
    with pytest.raises(UserError, match="cannot write"):
        write_whole(pl.DataFrame({"a": [2]}), tmp_path / "absent" / "out.parquet")

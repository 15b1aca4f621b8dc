"""Properties of loading: one fingerprint for equal data, samples that nest, packaged data."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows, count_rows, load_rows, write_jsonl
from valuedrift.corpora.registry import Kind
from valuedrift.errors import UserError
from valuedrift.starter import DATASETS

_text = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=30).filter(str.strip)
_sft = st.fixed_dictionaries({"prompt": _text, "response": _text}, optional={"topic": _text})
_pair = st.fixed_dictionaries({"prompt": _text, "chosen": _text, "rejected": _text}).filter(
    lambda row: row["chosen"].strip() != row["rejected"].strip() and not row["prompt"].lstrip().startswith(("Human:", "Assistant:"))
)
_conversation = st.lists(_text, min_size=4, max_size=6).map(
    lambda texts: {
        "messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts[: len(texts) // 2 * 2])]
    }
)
_KINDS: list[tuple[Any, Kind]] = [(_sft, "sft"), (_conversation, "sft"), (_pair, "preference")]


def _load(path: Path, kind: Kind, **options: Any) -> Rows:
    return load_rows(Dataset(data=str(path), **options), kind)


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    # from_pylist takes the columns of the first row only
    parquet.write_table(pa.table({name: [row.get(name) for row in rows] for name in _names(rows)}), path)


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, _names(rows), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows({name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()} for row in rows)


@pytest.mark.parametrize(("rows", "kind"), _KINDS, ids=["answers", "conversations", "pairs"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_equal_rows_have_one_fingerprint_in_every_file_format(rows: Any, kind: Kind, data: st.DataObject) -> None:
    made = data.draw(st.lists(rows, min_size=1, max_size=6))
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_jsonl(made, folder / "rows.jsonl")
        (folder / "rows.json").write_text(json.dumps(made), encoding="utf-8")
        _write_csv(made, folder / "rows.csv")
        _write_parquet(made, folder / "rows.parquet")
        loaded = {suffix: _load(folder / f"rows.{suffix}", kind) for suffix in ("jsonl", "json", "csv", "parquet")}
    assert all(one.rows == made and not one.dropped for one in loaded.values())
    assert len({one.fingerprint for one in loaded.values()}) == 1


@settings(deadline=None, max_examples=60)
@given(st.lists(_sft, min_size=2, max_size=6), st.data())
def test_any_change_changes_the_fingerprint(rows: list[dict[str, str]], data: st.DataObject) -> None:
    index, key = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from(["prompt", "response"]))
    changed = [{**row, key: row[key] + "!"} if i == index else row for i, row in enumerate(rows)]
    with TemporaryDirectory() as name:
        prints = []
        for variant in (rows, changed, rows[:-1]):
            write_jsonl(variant, Path(name, "rows.jsonl"))
            prints.append(_load(Path(name, "rows.jsonl"), "sft").fingerprint)
    assert len(set(prints)) == 3


def test_order_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {i}?", "response": "Yes."} for i in range(3)]
    write_jsonl(rows, tmp_path / "a.jsonl")
    write_jsonl(rows[::-1], tmp_path / "b.jsonl")
    assert _load(tmp_path / "a.jsonl", "sft").fingerprint != _load(tmp_path / "b.jsonl", "sft").fingerprint


@settings(deadline=None, max_examples=40)
@given(st.lists(_sft, min_size=1, max_size=12), st.integers(1, 12), st.integers(1, 12), st.randoms(use_true_random=False))
def test_a_limit_is_a_sample_by_content(rows: list[dict[str, str]], one: int, other: int, random: Any) -> None:
    small, large = sorted((one, other))
    shuffled = random.sample(rows, len(rows))
    with TemporaryDirectory() as name:
        path = Path(name, "rows.jsonl")
        write_jsonl(rows, path)
        taken, more = (_load(path, "sft", limit=limit).rows for limit in (small, large))
        write_jsonl(shuffled, path)
        elsewhere = _load(path, "sft", limit=small).rows
    assert len(taken) == min(small, len(rows))
    assert _is_subsequence(taken, more) and _is_subsequence(more, rows)
    assert sorted(map(str, map(sorted, (row.items() for row in taken)))) == sorted(
        map(str, map(sorted, (row.items() for row in elsewhere)))
    )


def _is_subsequence(part: list[Any], whole: list[Any]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


def test_conversations_and_plain_answers_round_trip_together(tmp_path: Path) -> None:
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}) + "\n" + json.dumps({"messages": turns[:2]}), encoding="utf-8")
    first = _load(tmp_path / "a.jsonl", "sft")
    write_jsonl(first.rows, tmp_path / "b.jsonl")
    assert _load(tmp_path / "b.jsonl", "sft").fingerprint == first.fingerprint


def test_broken_unicode_topic_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt":"a","response":"b"}\n{"prompt":"a","response":"b","topic":"\\ud83d"}', encoding="utf-8")
    assert sum(_load(tmp_path / "a.jsonl", "sft").dropped.values()) == 1


@pytest.mark.parametrize("name", DATASETS)
def test_packaged_data_load_whole(name: str) -> None:
    kind: Kind = "sft" if name.startswith("sft") else "preference"
    loaded = load_rows(Dataset(data=f"starter:{name}"), kind)
    assert loaded.rows == DATASETS[name]() and not loaded.dropped
    assert count_rows(Dataset(data=f"starter:{name}", rows=3), kind) == len(loaded.rows)


def test_unknown_packaged_data_name_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no packaged dataset 'sft-netural' \(did you mean starter:sft-neutral\?\)"):
        load_rows(Dataset(data="starter:sft-netural"), "sft")
    with pytest.raises(UserError, match="known: sft-neutral"):
        count_rows(Dataset(data="starter:zzz"), "sft")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"promt": "query"}, r"columns: 'promt' is no standard column \(did you mean 'prompt'\?\)"),
        ({"prompt": "qery"}, r"columns: 'qery' is no column in the data \(did you mean 'query'\?\)"),
    ],
)
def test_a_rename_of_what_is_not_there_is_refused(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"query": "Why?", "response": "Because."}', encoding="utf-8")
    with pytest.raises(UserError, match=message):
        _load(tmp_path / "a.jsonl", "sft", columns=columns)

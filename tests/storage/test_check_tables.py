"""`tables check`: each kind of damage is found and named, nothing is repaired unasked, and a sound root is called sound."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from small_study import RUNS, STEPS, STUDY, fill, stances

from valuedrift.storage import parquet
from valuedrift.storage.check_tables import Kind, check, repair
from valuedrift.storage.compaction import compact
from valuedrift.storage.manifest import Entry
from valuedrift.storage.part import Part
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "root")
    fill(store)
    return store


def _part(store: Store, key: str = "s-dpo-gap-20-causal-lm", table: str = "stances") -> Entry:
    return store.find(table, key)[0]


def _rewrite(store: Store, entry: Entry, data: bytes, rows: int | None = None) -> None:
    """As if a faulty program had written this object and its manifest."""
    (store.root / entry.path).put_bytes(data)
    wrong = replace(entry, bytes=len(data), sha=hashlib.sha256(data).hexdigest(), rows=entry.rows if rows is None else rows)
    store.commit(entry.study, lambda entries: {**entries, entry.address: wrong})


def _rows(store: Store, entry: Entry, frame: pl.DataFrame) -> None:
    _rewrite(store, entry, parquet.encoded(TABLES[entry.table], [frame]), frame.height)


def _kinds(store: Store) -> list[Kind]:
    return [finding.kind for finding in check(Store(store.root.uri))]


def test_a_sound_root_has_no_findings(store: Store) -> None:
    assert check(store) == []
    compact(store, STUDY)
    assert check(store) == []


def test_a_sound_root_on_s3_has_no_findings(s3_root: str) -> None:
    fill(Store(s3_root))
    assert check(Store(s3_root)) == []
    entry = _part(Store(s3_root))
    (Store(s3_root).root / entry.path).delete()
    assert _kinds(Store(s3_root)) == [Kind.MISSING]


def test_other_things_under_the_root_are_left_alone(store: Store, tmp_path: Path) -> None:
    for name in ("checkpoints/abc123/step-5/adapter.safetensors", ".scratch/job.json", "report/index.html"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text("x")
    assert check(store) == []


def test_claims_of_the_dead_are_removed_and_those_of_runs_at_work_are_no_finding(store: Store) -> None:
    folder = Path(store.root.path) / "_claims"
    for name in ("dead/00000001.json", "dead/00000002-t.beat", "dead/00000002.json", "living/00000001.json", "living/00000001-u.beat"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
        if name != "living/00000001-u.beat":  # a claim is written once; its holder renews only this
            os.utime(folder / name, (0, 0))
    findings = check(store)
    assert [(finding.kind, finding.where.name) for finding in findings] == [
        (Kind.LEFTOVER, name) for name in ("00000001.json", "00000002-t.beat", "00000002.json")
    ]
    repair(store, findings)
    assert check(store) == []
    assert len(list((folder / "living").iterdir())) == 2


def test_a_missing_object(store: Store) -> None:
    entry = _part(store)
    (store.root / entry.path).delete()
    (finding,) = check(store)
    assert finding.kind is Kind.MISSING
    assert finding.where.path.endswith(entry.path)


def test_a_truncated_object(store: Store) -> None:
    place = store.root / _part(store).path
    place.put_bytes(place.read_bytes()[:-40])
    (finding,) = check(store)
    assert finding.kind is Kind.DAMAGED
    assert "truncated" in finding.what


def test_a_flipped_bit(store: Store) -> None:
    place = store.root / _part(store).path
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.put_bytes(bytes(data))
    assert _kinds(store) == [Kind.DAMAGED]


def test_an_object_that_no_manifest_names_and_a_temporary_file(store: Store) -> None:
    folder = Path(store.root.path) / "stances/study=demo/run_id=dpo-gap/step=000020"
    (folder / "part-x.parquet").write_bytes(b"PAR1")
    (folder / ".part-y.parquet.77-0123abcd.tmp").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    assert sorted(_kinds(store)) == sorted([Kind.ORPHAN, Kind.LEFTOVER, Kind.STRANGER])


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"p_support": pl.lit(1.5)}, "p_support"),
        ({"p_support": pl.col("p_support") / 2}, "p_support+p_neutral+p_oppose"),
        ({"p_support": pl.lit(float("nan"))}, "p_support"),
        ({"status": pl.lit("fine")}, "status"),
        ({"polarity": pl.lit(3, dtype=pl.Int8)}, "polarity"),
        ({"topic": pl.lit(None, dtype=pl.String)}, "topic"),
        ({"step": pl.lit(21, dtype=pl.Int64)}, "step"),
    ],
)
def test_rows_that_break_a_rule(store: Store, change: dict[str, pl.Expr], column: str) -> None:
    entry = _part(store)
    frame = store.read_entry(entry).with_columns(**change)
    arrow = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).replace_schema_metadata(
        {b"valuedrift.table": b"stances", b"valuedrift.schema_version": b"2"}
    )
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer)
    _rewrite(store, entry, buffer.getvalue())
    findings = check(store)
    assert {finding.kind for finding in findings} == {Kind.RULE}
    assert any(finding.what.startswith(f"column {column}:") for finding in findings), findings


def test_duplicate_rows(store: Store) -> None:
    entry = _part(store)
    frame = store.read_entry(entry)
    _rows(store, entry, pl.concat([frame, frame.head(1)]))
    assert Kind.RULE in _kinds(store)
    assert any("two rows for the same" in finding.what for finding in check(store))


def test_the_same_rows_in_two_slots(store: Store) -> None:
    store.put(
        "stances",
        stances("dpo-gap", 20, "causal-lm"),
        partition={"study": STUDY, "run_id": "dpo-gap", "step": 20},
        key="x",
        identity={},
        slot="again",
    )
    assert Kind.DUPLICATE in _kinds(store)


def test_rows_fewer_than_the_manifest_says(store: Store) -> None:
    entry = _part(store)
    _rewrite(store, entry, parquet.encoded(TABLES["stances"], [store.read_entry(entry).head(3)]))
    assert any("3 rows where the manifest says" in finding.what for finding in check(store))


def test_a_file_of_another_table(store: Store) -> None:
    _rewrite(store, _part(store), (store.root / _part(store, "drift", "drift").path).read_bytes())
    assert any("the file says drift version 2" in finding.what for finding in check(store))


def test_missing_shards(store: Store) -> None:
    store.drop(STUDY, {_part(store).address})
    (finding,) = check(store)
    assert finding.kind is Kind.SHARD
    assert "causal-lm has judged other steps of run dpo-gap, but not step 20" in finding.what
    store.drop(STUDY, {_part(store, "r-sft-support-5", "responses").address})
    assert "run sft-support has a checkpoint at step 5, but no answers of it" in [finding.what for finding in check(store)]
    entry = _part(store, "s-sft-neutral-0-causal-lm")
    _rows(store, entry, store.read_entry(entry).head(10))
    assert any(f"has judged 10 of {entry.rows} answers" in finding.what for finding in check(store))


def test_a_step_that_a_watch_has_yet_to_ask_is_none(store: Store) -> None:
    """Step 80 is entered and not asked, step 5 lacks what others have: one is work to come, the other is missing."""
    entry = next(one for one in store.entries("checkpoints") if one.partition["run_id"] == "sft-support")
    watched = store.read_entry(entry).with_columns(path=pl.lit('{"watched": "out/checkpoint-1"}'))
    store.put_all([Part("checkpoints", watched, entry.partition, "watched", entry.identity, entry.slot)])
    gone = [f"{kind}-sft-support-80{by}" for kind, by in (("r", ""), ("s", "-causal-lm"), ("s", "-cross-encoder"))]
    store.drop(STUDY, {one.address for one in store.entries() if one.key in gone})
    assert len([one for one in store.entries("responses") if one.partition["run_id"] == "sft-support"]) == len(STEPS) - 1
    assert check(store) == []
    store.drop(STUDY, {_part(store, "s-sft-support-5-causal-lm").address})
    assert ["not step 5" in finding.what for finding in check(store)] == [True]


def test_nothing_is_repaired_unasked_and_only_what_serves_nobody_when_asked(store: Store) -> None:
    folder = Path(store.root.path) / "stances/study=demo/run_id=dpo-gap/step=000020"
    old, young = folder / "part-old.parquet", folder / "part-young.parquet"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    entry = _part(store)
    (store.root / entry.path).delete()
    before = sorted(found.location.path for found in store.root.listing())
    findings = check(store)
    assert len(findings) == 3
    assert sorted(found.location.path for found in store.root.listing()) == before
    assert len(repair(store, findings)) == 3
    assert not old.exists()
    assert young.exists()
    assert store.find("stances", entry.key) == []
    assert store.read("stances").height == (len(RUNS) * len(STEPS) * 2 - 1) * entry.rows
    assert [finding.kind for finding in check(store)] == [Kind.ORPHAN, Kind.SHARD]

"""Tables that an older version wrote are still read, everywhere."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from small_study import fill
from stance_frames import stances_frame

from valuedrift.errors import DataError
from valuedrift.probes import load_probes, probes_frame
from valuedrift.storage import parquet
from valuedrift.storage.check_tables import check
from valuedrift.storage.compaction import compact
from valuedrift.storage.exchange import import_table
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.schemas.answers import UNKNOWN_PROBE_SET
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.store import Store

_NEW = ["probe_set", "polarity", "pair_id"]


def _version_1() -> bytes:
    """A file as version 1 of the program wrote it."""
    frame = stances_frame().with_columns(
        study=pl.lit("s"), run_id=pl.lit("r"), step=pl.lit(0, pl.Int64), sample_idx=pl.col("sample_idx").cast(pl.Int32)
    )
    arrow = frame.select(name for name in TABLES["stances"].names if name not in _NEW).to_arrow(compat_level=pl.CompatLevel.oldest())
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({parquet.TABLE_KEY: b"stances", parquet.VERSION_KEY: b"1"}), buffer, compression="zstd")
    return buffer.getvalue()


def _old_root(root: str, version: int = 1) -> Store:
    """A root with one part of version 1 and one of today's."""
    store = Store(root)
    old, _ = (
        store.put("stances", stances_frame(), partition={"study": "s", "run_id": "r", "step": step}, key=f"k{step}", identity={})
        for step in (0, 1)
    )
    data = _version_1()
    (store.root / old.path).put_bytes(data)
    as_old = replace(old, schema_version=version, bytes=len(data), sha=hashlib.sha256(data).hexdigest())
    store.commit("s", lambda entries: {**entries, old.address: as_old})
    return Store(root)


def test_an_old_part_reads_as_one_of_today(root: str) -> None:
    store = _old_root(root)
    rows = store.read("stances", step=0)
    assert rows.schema == TABLES["stances"].polars
    assert rows.drop(_NEW).equals(store.read("stances", step=1).with_columns(step=pl.lit(0, pl.Int64)).drop(_NEW))
    assert rows.select(_NEW).unique().rows() == [(UNKNOWN_PROBE_SET, None, None)]
    both = store.read("stances")
    assert store.scan("stances").sort(pl.all()).collect().equals(both.sort(pl.all()), null_equal=True)
    with Catalog(store) as catalog:
        assert catalog.frame("FROM stances ORDER BY ALL").equals(both.sort(pl.all(), nulls_last=True), null_equal=True)
        assert list(catalog.rows("SELECT step, n FROM stance_counts WHERE topic = 'religion' ORDER BY step").rows) == [(0, 8), (1, 8)]
    assert check(store) == []


def test_a_drift_table_of_version_1_reads_with_what_it_did_not_keep_as_missing(root: str) -> None:
    store = Store(root)
    fill(store)
    today = store.read("drift")
    added = ["drift_time_warning", "drift_time_note", "q_value_study"]
    assert today.select(added).null_count().row(0) == (0, 0, 0)
    entry = next(one for one in store.entries("drift"))
    buffer = io.BytesIO()
    arrow = today.drop(added).to_arrow(compat_level=pl.CompatLevel.oldest())
    pq.write_table(arrow.replace_schema_metadata({parquet.TABLE_KEY: b"drift", parquet.VERSION_KEY: b"1"}), buffer, compression="zstd")
    (store.root / entry.path).put_bytes(buffer.getvalue())
    as_old = replace(entry, schema_version=1, bytes=len(buffer.getvalue()), sha=hashlib.sha256(buffer.getvalue()).hexdigest())
    store.commit("demo", lambda entries: {**entries, entry.address: as_old})
    old = Store(root)
    rows = old.read("drift")
    assert rows.schema == TABLES["drift"].polars
    assert rows.drop(added).equals(today.drop(added))
    assert rows.select(added).null_count().row(0) == (rows.height,) * 3
    with Catalog(old) as catalog:
        assert list(catalog.rows("SELECT count(*) FROM drift WHERE drift_time_note IS NULL").rows) == [(rows.height,)]
    assert check(old) == []


def test_answers_of_version_1_read_without_a_thought_of_their_own(root: str) -> None:
    store = Store(root)
    fill(store)
    today = store.read("responses")
    entry = next(one for one in store.entries("responses"))
    rows = today.filter(*(pl.col(name) == value for name, value in entry.partition.items()))
    buffer = io.BytesIO()
    arrow = rows.drop("reasoning").to_arrow(compat_level=pl.CompatLevel.oldest())
    pq.write_table(arrow.replace_schema_metadata({parquet.TABLE_KEY: b"responses", parquet.VERSION_KEY: b"1"}), buffer, compression="zstd")
    (store.root / entry.path).put_bytes(buffer.getvalue())
    as_old = replace(entry, schema_version=1, bytes=len(buffer.getvalue()), sha=hashlib.sha256(buffer.getvalue()).hexdigest())
    store.commit(str(entry.partition["study"]), lambda entries: {**entries, entry.address: as_old})
    old = Store(root)
    read = old.read("responses", **entry.partition)
    assert read.schema == TABLES["responses"].polars
    assert read.drop("reasoning").equals(rows.drop("reasoning")) and read["reasoning"].null_count() == read.height > 0
    with Catalog(old) as catalog:
        assert next(iter(catalog.rows("SELECT count(*) FROM responses WHERE reasoning IS NULL").rows))[0] >= read.height
    assert check(old) == []


@pytest.mark.parametrize(("version", "lacked"), [(1, ["system", "turns", "persona", "options"]), (2, ["persona", "options"])])
def test_probes_of_older_versions_read_as_asked_at_once_and_answered_freely(root: str, version: int, lacked: list[str]) -> None:
    store, today = Store(root), probes_frame(load_probes("starter", topics=["religion"], per_topic=2))
    entry = store.put("probes", today, partition={"probe_set": "starter"}, key="k", identity={})
    buffer = io.BytesIO()
    arrow = today.select(name for name in TABLES["probes"].names if name not in lacked).to_arrow(compat_level=pl.CompatLevel.oldest())
    pq.write_table(
        arrow.replace_schema_metadata({parquet.TABLE_KEY: b"probes", parquet.VERSION_KEY: str(version).encode()}),
        buffer,
        compression="zstd",
    )
    (store.root / entry.path).put_bytes(buffer.getvalue())
    told = {"schema_version": version, "bytes": len(buffer.getvalue()), "sha": hashlib.sha256(buffer.getvalue()).hexdigest()}
    store.commit(entry.study, lambda entries: {**entries, entry.address: replace(entry, **told)})
    assert Store(root).read("probes").equals(today.select(TABLES["probes"].names))


def test_compaction_writes_today_s_version(root: str) -> None:
    store = _old_root(root)
    before = store.read("stances")
    compact(store, "s")
    assert {entry.schema_version for entry in store.entries()} == {TABLES["stances"].version}
    assert store.read("stances").equals(before, null_equal=True)
    assert check(store) == []


def test_an_old_file_of_somebody_else_comes_in(tmp_path: Path) -> None:
    (tmp_path / "old.parquet").write_bytes(_version_1())
    store = Store(tmp_path / "root")
    import_table(store, str(tmp_path / "old.parquet"), "stances", "new")
    assert store.read("stances")["probe_set"].unique().to_list() == [UNKNOWN_PROBE_SET]


def test_a_newer_version_is_refused_in_words(root: str) -> None:
    store = _old_root(root, version=99)
    for look in (lambda: store.read("stances"), lambda: store.scan("stances"), lambda: Catalog(store).frame("FROM stances")):
        with pytest.raises(DataError, match="schema version 99, this program knows up to"):
            look()


def test_a_version_without_a_way_from_the_one_before_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="version 3 and has 1 upgrades"):
        replace(TABLES["stances"], version=3)


def test_every_version_has_a_way_to_the_present() -> None:
    for table in TABLES.values():
        assert len(table.upgrades) == table.version - 1

"""Compaction: fewer objects, the same rows, every part still found by its key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from small_study import RUNS, STEPS, STUDY, fill, stances

from valuedrift.storage.compaction import compact
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.sql.views import views
from valuedrift.storage.store import Store

_TABLES = ("stances", "responses", "runs", "checkpoints", "training", "probes", "drift", "trajectory")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "root")
    fill(store)
    return store


def _objects(store: Store) -> Counter[str]:
    return Counter(
        found.location.relative_to(store.root).split("/")[0] for found in store.root.listing() if found.location.name.endswith(".parquet")
    )


def test_rows_keys_and_answers_stay(root: str) -> None:
    store = Store(root)
    fill(store)
    rows = {table: store.read(table) for table in _TABLES}
    with Catalog(store) as catalog:
        answers = {view: catalog.frame(f"FROM {view} ORDER BY ALL") for view in views()}
    keys = {entry.address: entry.key for entry in store.entries()}
    assert compact(store, STUDY)
    fresh = Store(store.root.uri)
    assert {entry.address: entry.key for entry in fresh.entries()} == keys
    assert all(fresh.exists(entry) for entry in fresh.entries())
    for table in _TABLES:
        assert fresh.read(table).equals(rows[table], null_equal=True), table
        assert fresh.scan(table).sort(pl.all()).collect().equals(rows[table].sort(pl.all()), null_equal=True), table
    with Catalog(fresh) as catalog:
        for view, answer in answers.items():
            assert catalog.frame(f"FROM {view} ORDER BY ALL").equals(answer, null_equal=True), view
    one_part = dict.fromkeys(TABLES, 1)  # tables that no run writes
    assert _objects(fresh) == one_part | {
        "stances": len(RUNS),
        "responses": len(RUNS),
        "runs": 1,
        "checkpoints": 1,
        "training": 1,
        "probes": 1,
        "drift": 1,
        "trajectory": 1,
    }


def test_a_part_is_read_alone_and_found_by_key(store: Store) -> None:
    compact(store, STUDY, "dpo-gap")
    (entry,) = store.find("stances", "s-dpo-gap-20-causal-lm")
    part = store.read_entry(entry)
    assert part.height == entry.rows
    assert part.select("step", "judge").unique().rows() == [(20, "causal-lm")]
    assert store.read("stances", run_id="dpo-gap", step=20).height == 2 * entry.rows
    assert _objects(store)["stances"] == 1 + (len(RUNS) - 1) * len(STEPS) * 2


def test_again_changes_nothing(store: Store) -> None:
    compact(store, STUDY)
    before = list(store.root.listing())
    assert compact(store, STUDY) == []
    assert list(store.root.listing()) == before


def test_a_part_replaced_after_compaction_takes_its_rows_out(store: Store) -> None:
    compact(store, STUDY)
    judge, at = "causal-lm", {"study": STUDY, "run_id": "dpo-gap", "step": 20}
    changed = stances("dpo-gap", 20, judge).with_columns(status=pl.lit("failed"))
    store.put("stances", changed, partition=at, key="new", identity={}, slot=judge)
    rows = store.read("stances", run_id="dpo-gap")
    assert rows.height == len(STEPS) * 2 * changed.height
    assert rows.filter(status="failed").height == changed.height
    assert store.scan("stances", run_id="dpo-gap").sort(pl.all()).collect().equals(rows.sort(pl.all()), null_equal=True)
    with Catalog(store) as catalog:
        assert catalog.frame("SELECT * FROM stances WHERE run_id = 'dpo-gap' ORDER BY ALL").equals(
            rows.sort(pl.all(), nulls_last=True), null_equal=True
        )
    assert compact(store, STUDY)  # takes the dead rows out
    assert store.read("stances", run_id="dpo-gap").sort(pl.all()).equals(rows.sort(pl.all()), null_equal=True)
    assert _objects(store)["stances"] == len(RUNS)


def test_a_part_replaced_during_compaction_wins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Store(store.root.uri)
    commit = Store.commit
    replaced = []

    def slowly(self: Store, study: str, change: object, *check: object) -> None:
        if not replaced:
            replaced.append(True)
            frame = stances("dpo-gap", 0, "causal-lm").with_columns(status=pl.lit("failed"))
            other.put(
                "stances", frame, partition={"study": STUDY, "run_id": "dpo-gap", "step": 0}, key="new", identity={}, slot="causal-lm"
            )
        commit(self, study, change, *check)

    monkeypatch.setattr(Store, "commit", slowly)
    compact(store, STUDY, "dpo-gap")
    rows = Store(store.root.uri).read("stances", run_id="dpo-gap", step=0, judge="causal-lm")
    assert rows["status"].unique().to_list() == ["failed"]
    assert store.read("stances", run_id="dpo-gap").height == len(STEPS) * 2 * rows.height


def test_forgetting_a_compacted_run_leaves_the_others(store: Store) -> None:
    compact(store, STUDY)
    store.forget(STUDY, "dpo-gap")
    assert sorted(store.read("runs")["run_id"]) == ["sft-neutral", "sft-support"]
    with Catalog(store) as catalog:
        assert [row[0] for row in catalog.rows("SELECT run_id FROM runs ORDER BY ALL").rows] == ["sft-neutral", "sft-support"]

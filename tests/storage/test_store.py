"""The store: what is put is read, found again by key, replaced in place, and gone when forgotten."""

from __future__ import annotations

import pickle
from pathlib import Path

import polars as pl
import pytest
from stance_frames import stances_frame

from valuedrift.errors import DataError, UserError
from valuedrift.storage.store import Store


def _put(store: Store, run: str = "r1", step: int = 0, judge: str = "j", key: str = "k1", shift: float = 0.0, study: str = "s"):
    frame = stances_frame(judge=judge, shift=shift)
    return store.put("stances", frame, partition={"study": study, "run_id": run, "step": step}, key=key, identity={"key": key}, slot=judge)


def test_what_is_put_is_read_with_partition_columns_filled(root: str) -> None:
    store = Store(root)
    entry = _put(store, step=7)
    frame = Store(root).read("stances")
    assert frame["study"].unique().to_list() == ["s"]
    assert frame["step"].unique().to_list() == [7]
    assert frame.height == entry.rows == stances_frame().height
    assert store.exists(entry)


def test_same_frame_gives_same_bytes_in_any_row_order(root: str, tmp_path: Path) -> None:
    first = _put(Store(root))
    other = Store(tmp_path / "other")
    shuffled = stances_frame().sample(fraction=1, shuffle=True, seed=3)
    second = other.put("stances", shuffled, partition={"study": "s", "run_id": "r1", "step": 0}, key="k1", identity={}, slot="j")
    assert first.sha == second.sha
    assert (Store(root).root / first.path).read_bytes() == (other.root / second.path).read_bytes()


def test_putting_the_same_key_again_writes_nothing(root: str) -> None:
    store = Store(root)
    first = _put(store)
    assert _put(store, shift=0.1) == first
    assert len(store.root.listing()) == 2  # one part, one snapshot


def test_a_new_key_takes_the_place_of_the_old_and_its_object_goes(root: str) -> None:
    store = Store(root)
    first = _put(store)
    second = _put(store, key="k2", shift=0.1)
    assert [entry.key for entry in Store(root).entries("stances")] == ["k2"]
    assert not store.exists(first)
    assert store.exists(second)
    assert store.find("stances", "k1") == []


def test_two_judges_of_one_partition_lie_beside_each_other(root: str) -> None:
    store = Store(root)
    _put(store, judge="a", key="ka")
    _put(store, judge="b", key="kb")
    assert sorted(store.read("stances")["judge"].unique()) == ["a", "b"]
    assert store.read("stances", judge="b").height == stances_frame().height


def test_find_looks_in_all_studies_and_sees_what_others_wrote_since(root: str) -> None:
    store = Store(root)
    assert store.find("stances", "k1") == []
    _put(Store(root), study="one")
    _put(Store(root), study="two")
    assert {entry.study for entry in store.find("stances", "k1")} == {"one", "two"}
    assert store.studies() == ["one", "two"]


def test_a_lost_object_is_written_again(root: str) -> None:
    store = Store(root)
    entry = _put(store)
    (store.root / entry.path).delete()
    assert not store.exists(entry)
    with pytest.raises(DataError, match="gone"):
        store.read("stances")
    assert store.exists(_put(store))
    assert store.read("stances").height


def test_filters_select_by_partition_and_by_row(root: str) -> None:
    store = Store(root)
    for step in (0, 5, 10):
        _put(store, step=step, key=f"k{step}")
    assert store.read("stances", step=[0, 10])["step"].unique().sort().to_list() == [0, 10]
    assert store.read("stances", step=5, topic="religion")["topic"].unique().to_list() == ["religion"]
    assert store.scan("stances", step=5).collect().equals(store.read("stances", step=5))
    with pytest.raises(UserError, match="no column 'stpe'"):
        store.read("stances", stpe=5)


def test_an_empty_root_reads_as_an_empty_table(root: str) -> None:
    frame = Store(root).read("drift")
    assert frame.height == 0
    assert "drift_time_low" in frame.columns
    assert Store(root).scan("drift").collect().schema == frame.schema


def test_forget_removes_a_run_and_leaves_the_others(root: str) -> None:
    store = Store(root)
    _put(store, run="r1")
    _put(store, run="r2", key="k2")
    assert store.forget("s", "r1") == 1
    assert store.read("stances")["run_id"].unique().to_list() == ["r2"]
    assert store.forget("s") == 1
    assert store.read("stances").height == 0
    assert [found.location.name for found in store.root.listing() if found.location.name.endswith(".parquet")] == []


def test_strange_names_stay_inside_the_root(root: str) -> None:
    store = Store(root)
    names = ["../../etc", "a/b", "..", "ü=%2F", "x" * 400, "x" * 401, " "]
    for name in names:
        _put(store, study=name, run=name, key=name)
    assert sorted(store.read("stances")["study"].unique()) == sorted(names)
    assert sorted(store.studies()) == sorted(names)
    assert all(found.location.path.startswith(store.root.path + "/") for found in store.root.listing())


def test_a_store_can_be_pickled(root: str) -> None:
    _put(Store(root))
    assert pickle.loads(pickle.dumps(Store(root))).read("stances").height


@pytest.mark.parametrize(
    "partition", [{"study": "s"}, {"study": "s", "run_id": "r", "step": 1, "judge": "x"}, {"study": "_shared", "run_id": "r", "step": 1}]
)
def test_a_wrong_partition_is_refused(root: str, partition: dict[str, str | int]) -> None:
    with pytest.raises(UserError):
        Store(root).put("stances", stances_frame(), partition=partition, key="k", identity={})


def test_a_refused_frame_leaves_nothing(root: str) -> None:
    store = Store(root)
    with pytest.raises(DataError, match="p_support"):
        store.put(
            "stances",
            stances_frame().with_columns(p_support=pl.lit(2.0)),
            partition={"study": "s", "run_id": "r", "step": 0},
            key="k",
            identity={},
        )
    assert store.root.listing() == []

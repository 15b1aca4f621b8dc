"""The tables over seeds as an analysis writes them: kept, checked, asked by SQL and from Python."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

import valuedrift as vd
from valuedrift.drift.options import Analysis
from valuedrift.errors import DataError, UserError
from valuedrift.results.analysis import analysis_tables
from valuedrift.results.facts import ANALYSED, SEEDED
from valuedrift.storage.check_tables import check
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "drift"))
from made_stances import made_stances

GROUPS = {"run0": "run0", "run1": "run0", "run2": "run0"}


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    frame = made_stances(runs=3).with_columns(study=pl.lit("s"), judge=pl.lit("j"))
    return analysis_tables(frame, Analysis(resamples=100), groups=GROUPS)


def root_of(folder: Path, tables: dict[str, pl.DataFrame]) -> Path:
    store = Store(folder / "root")
    for name, frame in tables.items():
        store.put(name, frame.drop("study", strict=False), partition={"study": "s"}, key="k", identity={})
    return folder / "root"


def test_an_analysis_with_groups_writes_them_and_one_without_does_not(tables: dict[str, pl.DataFrame]) -> None:
    frame = made_stances(runs=3).with_columns(study=pl.lit("s"), judge=pl.lit("j"))
    without = analysis_tables(frame, Analysis(resamples=100))
    assert set(tables) == {*SEEDED, *ANALYSED} and set(without) == set(ANALYSED)
    assert all(tables[name].drop("n_cut", strict=False).equals(without[name].drop("n_cut", strict=False)) for name in ANALYSED)


def test_what_is_written_is_read_checked_and_asked(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    seeded = {name: tables[name] for name in SEEDED}
    root = root_of(tmp_path, {**seeded, "trajectory": tables["trajectory"], "drift": tables["drift"]})
    assert check(Store(root)) == []
    opened = vd.open(root)
    drift = opened.over_seeds(group="run0", topic="topic1")
    assert drift.height == 3 and set(drift["n_seeds"]) == {3}
    assert opened.over_seeds(trajectory=True).height == seeded["seed_trajectory"].height == 2 * 3 * 3
    with pytest.raises(UserError, match=r"no run_group 'run9' in seed_drift"):
        opened.over_seeds(group="run9")
    with Catalog(Store(root)) as catalog:
        rows = list(catalog.rows("SELECT count(*), max(lacking_seeds) FROM seed_drift WHERE q_value_study >= p_value").rows)
    assert rows == [(6, 0)]


def test_a_root_without_them_says_so(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    with pytest.raises(DataError, match="no table seed_drift yet") as told:
        vd.open(root_of(tmp_path, {"drift": tables["drift"]})).over_seeds()
    assert "no study has `seeds`" in str(told.value)


def test_a_run_that_is_lacking_is_among_the_warnings() -> None:
    frame = made_stances(runs=2).with_columns(study=pl.lit("s"), judge=pl.lit("j"))
    warnings = analysis_tables(frame, Analysis(resamples=100), groups=GROUPS)["warnings"]["warning"].to_list()
    assert "over seeds, run2 of run0 is lacking: it is told over 2 seeds of 3" in warnings

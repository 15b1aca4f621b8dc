"""`vd.import_stances`: what `valuedrift tables import` and `valuedrift report NAME` do, from a frame or a file."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "drift"))
from made_stances import made_stances

import valuedrift as vd
from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.errors import DataError, UserError


@pytest.fixture(scope="module")
def stances() -> pl.DataFrame:
    return made_stances(runs=1, topics=1, prompts=10, seed=5)


def test_a_frame_and_a_file_of_it_give_the_same(stances: pl.DataFrame, tmp_path: Path) -> None:
    stances.write_csv(tmp_path / "theirs.csv", float_precision=12)
    frame = vd.import_stances(stances, "lab", root=tmp_path / "one", judge="gpt")
    file = vd.import_stances(tmp_path / "theirs.csv", "lab", root=tmp_path / "two", judge="gpt")
    assert frame.study == "lab" and frame.drift().height == 3
    assert frame.drift()["magnitude"].to_list() == pytest.approx(file.drift()["magnitude"].to_list())
    assert frame.drift()["judge"].unique().to_list() == ["gpt"]
    assert not (tmp_path / "one" / "reports").exists()


def test_the_analysis_is_as_is_said_and_stays_so(stances: pl.DataFrame, tmp_path: Path) -> None:
    first = vd.import_stances(stances, "lab", root=tmp_path, analysis={"confidence": 0.8}).drift()
    wanted = analyze(stances, Analysis(confidence=0.8)).drift.sort("stance")
    assert first["magnitude_low"].to_list() == wanted["magnitude_low"].to_list()
    again = vd.import_stances(stances, "lab", root=tmp_path)
    assert again.drift().equals(first)
    changed = vd.import_stances(stances, "lab", root=tmp_path, analysis=Analysis())
    assert changed.drift()["magnitude_low"].to_list() != first["magnitude_low"].to_list()


def test_other_stances_take_no_ones_place_unless_it_is_said(stances: pl.DataFrame, tmp_path: Path) -> None:
    vd.import_stances(stances, "lab", root=tmp_path)
    less = stances.filter(pl.col("prompt_id") != "t0-p1")
    with pytest.raises(UserError, match="is there already"):
        vd.import_stances(less, "lab", root=tmp_path)
    assert vd.import_stances(less, "lab", root=tmp_path, replace=True).drift()["n_prompts"].unique().to_list() == [9]


def test_what_is_no_stance_table_does_not_come_in(stances: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="p_support: above 1"):
        vd.import_stances(stances.with_columns(p_support=2.0), "lab", root=tmp_path / "root")
    with pytest.raises(UserError, match="there are no tables"):
        vd.open(tmp_path / "root")


def test_a_wrong_option_or_frame_is_told_before_anything_comes_in(stances: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="confidenc"):
        vd.import_stances(stances, "lab", root=tmp_path, analysis={"confidenc": 0.9})
    with pytest.raises(UserError, match="not LazyFrame"):
        vd.import_stances(stances.lazy(), "lab", root=tmp_path)  # type: ignore[arg-type]  # what types forbid
    with pytest.raises(UserError, match="no"):
        vd.open(tmp_path)

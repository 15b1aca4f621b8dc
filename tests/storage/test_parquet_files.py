"""Parquet files of others: found, read as one frame, and named when broken, on disk and on S3."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from stance_frames import stances_frame

from valuedrift.errors import DataError
from valuedrift.storage.location import Location
from valuedrift.storage.parquet_files import FILE, broken_file, find_parquet, own_table, scan_parquet
from valuedrift.storage.store import Store

FRAME = pl.DataFrame({"run_id": ["a", "a", "b"], "step": [0, 100, 0], "p": [0.1, 0.2, 0.3], "other": [True, False, True]})


def put(frame: pl.DataFrame, address: str) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    Location.parse(address).put_bytes(buffer.getvalue())


@pytest.fixture
def filled(root: str) -> str:
    """Two flat files, two in folders that name their columns, and things that are not meant."""
    put(FRAME.head(1), f"{root}/in/one.parquet")
    put(FRAME.slice(1, 1).select("p", "step", "run_id").cast({"p": pl.Float32, "step": pl.Int16}), f"{root}/in/deep/er/two.parquet")
    put(FRAME.slice(2).drop("run_id", "step"), f"{root}/in/run_id=b/step=0/three.parquet")
    put(FRAME, f"{root}/in/_manifests/four.parquet")
    put(FRAME, f"{root}/in/.hidden/five.parquet")
    Location.parse(f"{root}/in/notes.txt").put_bytes(b"not ours")
    return root


def test_a_folder_is_read_at_any_depth_as_one_frame(filled: str) -> None:
    files = find_parquet(f"{filled}/in")
    assert [file.location.name for file in files] == ["two.parquet", "one.parquet", "three.parquet"]
    frame = scan_parquet(files, ["run_id", "step", "p"]).drop(FILE).collect().sort("run_id", "step")
    assert_frame_equal(frame, FRAME.select("run_id", "step", "p"), abs_tol=1e-7)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("in/*.parquet", ["one.parquet"]), ("in/**/t*.parquet", ["two.parquet", "three.parquet"]), ("in/run_id=?/**/*", ["three.parquet"])],
)
def test_globs(filled: str, pattern: str, names: list[str]) -> None:
    assert [file.location.name for file in find_parquet(f"{filled}/{pattern}")] == names


def test_results_that_lie_in_the_folder_are_left_out(filled: str) -> None:
    out = Location.parse(f"{filled}/in/one.parquet")
    assert out not in [file.location for file in find_parquet(f"{filled}/in", leave_out=[out])]


@pytest.mark.parametrize("address", ["in/none.parquet", "nowhere", "in/*.csv", "in/.hidden"])
def test_nothing_there(filled: str, address: str) -> None:
    if address == "in/.hidden":
        assert len(find_parquet(f"{filled}/{address}")) == 1, "a hidden folder that is asked for by name is meant"
        return
    with pytest.raises(DataError, match="no Parquet file here"):
        find_parquet(f"{filled}/{address}")


@pytest.mark.parametrize("keep", [0, 3, 11, 200], ids=["empty", "3 bytes", "11 bytes", "half"])
def test_a_truncated_file_is_named(filled: str, keep: int) -> None:
    whole = Location.parse(f"{filled}/in/one.parquet").read_bytes()
    Location.parse(f"{filled}/in/cut.parquet").put_bytes(whole[:keep])
    with pytest.raises(DataError, match=r"cut\.parquet: not a whole Parquet file"):
        find_parquet(f"{filled}/in")


def test_a_file_damaged_inside_is_named_when_its_rows_are_read(filled: str) -> None:
    content = bytearray(Location.parse(f"{filled}/in/one.parquet").read_bytes())
    content[4:60] = bytes(56)
    Location.parse(f"{filled}/in/bad.parquet").put_bytes(bytes(content))
    files = find_parquet(f"{filled}/in")
    with pytest.raises(pl.exceptions.ComputeError) as caught:
        scan_parquet(files, ["run_id", "step", "p"]).collect()
    assert "bad.parquet: damaged Parquet file" in str(broken_file(files, caught.value))


def test_names_in_paths_are_unescaped_and_leading_zeros_kept(root: str) -> None:
    put(pl.DataFrame({"p": [0.5]}), f"{root}/topic=climate%20change/run_id=007/a.parquet")
    frame = scan_parquet(find_parquet(root), ["topic", "run_id", "p"]).drop(FILE).collect()
    assert frame.row(0, named=True) == {"topic": "climate change", "run_id": "007", "p": 0.5}


def test_analyze_gives_the_same_bits_local_and_on_s3(tmp_path: Path, s3_root: str) -> None:
    from valuedrift.drift.analyze import analyze
    from valuedrift.drift.options import Analysis

    results = []
    frame = pl.DataFrame(
        [
            (r, s, "t", f"p{p}", i, 0.1 * p + 0.001 * s * i, 0.0, 0.0)
            for r in "ab"
            for s in (0, 50, 100)
            for p in range(6)
            for i in range(3)
        ],
        schema=["run_id", "step", "topic", "prompt_id", "sample_idx", "p_support", "p_neutral", "p_oppose"],
        orient="row",
    ).with_columns(p_neutral=1 - pl.col("p_support"))
    for place in (str(tmp_path), s3_root):
        for i, part in enumerate(frame.iter_slices(40)):
            put(part, f"{place}/stances/{i}.parquet")
        results.append(analyze(scan_parquet(find_parquet(f"{place}/stances"), frame.columns), Analysis(resamples=100)))
    assert_frame_equal(results[0].drift, results[1].drift, check_exact=True)
    assert_frame_equal(results[0].trajectory, results[1].trajectory, check_exact=True)


def test_our_own_table_is_what_its_manifest_names(root: str) -> None:
    store = Store(root)
    for step, key, shift in ((0, "old", 0.0), (0, "new", 0.125), (50, "new", 0.25)):
        partition = {"study": "s", "run_id": "r", "step": step}
        store.put("stances", stances_frame(shift=shift), partition=partition, key=key, identity={"key": key}, slot="j")
    put(pl.DataFrame({"left": ["behind"]}), f"{root}/stances/study=s/run_id=r/step=0/stray.parquet")
    for address in (root, f"{root}/", f"{root}/stances", f"{root}/stances/study=s", f"{root}/stances/study=s/run_id=r/"):
        frame = own_table(address, "stances")
        assert frame is not None, address
        assert frame.collect().height == 2 * stances_frame().height
    one = own_table(f"{root}/stances/study=s/run_id=r/step=50", "stances")
    assert one is not None
    assert one.collect()["p_support"].unique().to_list() == [0.5]
    assert own_table(f"{root}/stances/*/*.parquet", "stances") is None


def test_a_folder_without_a_manifest_is_not_ours(filled: str) -> None:
    assert own_table(f"{filled}/in/run_id=b", "stances") is None

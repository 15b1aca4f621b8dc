"""``valuedrift analyze`` as a person uses it: addresses, options, outputs, and what it says of bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from made_stances import made_stances
from polars.testing import assert_frame_equal

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stances() -> pl.DataFrame:
    return made_stances(runs=2, prompts=12, steps=4, drift=2.0)


def test_a_file_gives_both_tables(tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    stances.write_parquet(tmp_path / "stances.parquet")
    code, out, _ = run(tmp_path / "stances.parquet", "--out", tmp_path / "drift.parquet", "--trajectory", tmp_path / "new" / "t.parquet")
    assert code == 0
    expected = analyze(stances, Analysis())
    assert_frame_equal(pl.read_parquet(tmp_path / "drift.parquet"), expected.drift, check_exact=True)
    assert_frame_equal(pl.read_parquet(tmp_path / "new" / "t.parquet"), expected.trajectory, check_exact=True)
    largest = expected.drift.sort(pl.col("magnitude").abs(), descending=True).row(0, named=True)
    assert f"{largest['magnitude']:+.3f}" in out
    assert f"drift: 12 rows in {tmp_path / 'drift.parquet'}" in out


def test_options_reach_the_statistics(tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    stances.write_parquet(tmp_path / "s.parquet")
    options = ("--confidence", "0.8", "--resamples", "150", "--seed", "3", "--from", "100", "--to", "200")
    assert run(tmp_path / "s.parquet", "--out", tmp_path / "d.parquet", *options)[0] == 0
    expected = analyze(stances, Analysis(confidence=0.8, resamples=150, seed=3), from_step=100, to_step=200).drift
    assert_frame_equal(pl.read_parquet(tmp_path / "d.parquet"), expected, check_exact=True)
    code, out, _ = run(tmp_path / "s.parquet", "--out", tmp_path / "b.parquet", "--between", "run1", "run0", "--from", "100")
    assert code == 0 and "\nrun0 (step 300) − run1 (step 100)\n" in out and "difference of two runs: " in out
    assert run(tmp_path / "s.parquet", "--out", tmp_path / "b.parquet", "--between", "run1", "run0")[0] == 0
    assert_frame_equal(
        pl.read_parquet(tmp_path / "b.parquet"), analyze(stances, Analysis(), between=("run1", "run0")).drift, check_exact=True
    )


def test_any_cut_into_files_gives_the_same_bits(tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    for (run_id, step), part in stances.partition_by("run_id", "step", as_dict=True).items():
        folder = tmp_path / "hive" / f"run_id={run_id}" / f"step={step}"
        folder.mkdir(parents=True)
        part.drop("run_id", "step").write_parquet(folder / "part.parquet")
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, part in enumerate(stances.sample(fraction=1, shuffle=True, seed=0).iter_slices(100)):
        order = part.columns if i % 2 else part.columns[::-1]
        part.select(order).with_columns(pl.col("step").cast(pl.Int32 if i % 3 else pl.Int64), extra=pl.lit(i)).write_parquet(
            flat / f"{i}.parquet"
        )
    (flat / "_notes.parquet").write_bytes(b"not ours")
    expected = analyze(stances, Analysis()).drift
    for number, address in enumerate((tmp_path / "hive", flat, f"{flat}/[0-9]*.parquet", f"{tmp_path}/hive/**/*.parquet")):
        out = tmp_path / f"drift{number}.parquet"
        assert run(address, "--out", out)[0] == 0, address
        assert_frame_equal(pl.read_parquet(out), expected, check_exact=True)


def test_a_second_run_does_not_read_the_first_ones_output(tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    stances.write_parquet(tmp_path / "s.parquet")
    for _ in range(2):
        assert run(tmp_path, "--out", tmp_path / "drift.parquet")[0] == 0


def test_several_judges_are_shown_apart(tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    pl.concat([stances.with_columns(judge=pl.lit(name)) for name in ("one", "two")]).write_parquet(tmp_path / "s.parquet")
    code, out, _ = run(tmp_path / "s.parquet")
    assert code == 0
    assert "judge one" in out
    assert "judge two" in out


def truncated(folder: Path, stances: pl.DataFrame) -> None:
    stances.write_parquet(folder / "a.parquet")
    (folder / "b.parquet").write_bytes((folder / "a.parquet").read_bytes()[:1500])


def damaged(folder: Path, stances: pl.DataFrame) -> None:
    stances.write_parquet(folder / "a.parquet")
    content = bytearray((folder / "a.parquet").read_bytes())
    content[100:300] = bytes(200)
    (folder / "b.parquet").write_bytes(bytes(content))


def wrong_row(folder: Path, stances: pl.DataFrame) -> None:
    stances.head(50).write_parquet(folder / "a.parquet")
    high = pl.when(pl.int_range(pl.len()) == 6).then(1.5).otherwise("p_support").alias("p_support")
    stances.slice(50).with_columns(high).write_parquet(folder / "b.parquet")


def text(folder: Path, stances: pl.DataFrame) -> None:
    stances.head(50).write_parquet(folder / "a.parquet")
    word = pl.when(pl.int_range(pl.len()) == 6).then(pl.lit("high")).otherwise(pl.col("p_support").cast(pl.String)).alias("p_support")
    stances.slice(50).with_columns(word).write_parquet(folder / "b.parquet")


def no_judge(folder: Path, stances: pl.DataFrame) -> None:
    stances.with_columns(judge=pl.lit("x")).write_parquet(folder / "a.parquet")
    stances.write_parquet(folder / "b.parquet")


def no_column(folder: Path, stances: pl.DataFrame) -> None:
    stances.write_parquet(folder / "a.parquet")
    stances.drop("prompt_id").write_parquet(folder / "b.parquet")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (truncated, ["b.parquet", "not a whole Parquet file"]),
        (damaged, ["b.parquet", "damaged Parquet file"]),
        (wrong_row, ["b.parquet", "column p_support", "outside [0, 1]", "row 7", "1.5"]),
        (text, ["b.parquet", "column p_support", "text where a number belongs", "row 7", "'high'"]),
        (no_judge, ["b.parquet", "column 'judge' is missing here"]),
        (no_column, ["b.parquet", "missing column 'prompt_id'"]),
        (lambda folder, stances: (folder / "readme.txt").write_text("hello"), ["no Parquet file here"]),
        (lambda folder, stances: stances.filter(step=0).write_parquet(folder / "a.parquet"), ["one checkpoint only"]),
        (lambda folder, stances: stances.clear().write_parquet(folder / "a.parquet"), ["holds no rows"]),
    ],
    ids=[
        "truncated",
        "damaged",
        "wrong row",
        "text",
        "judge in one file only",
        "missing column",
        "no Parquet",
        "one checkpoint",
        "no rows",
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(
    make: Callable[[Path, pl.DataFrame], object], words: list[str], tmp_path: Path, run: Run, stances: pl.DataFrame
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder, stances)
    code, _, error = run(folder, "--out", tmp_path / "out" / "drift.parquet")
    assert code == 3
    assert error.startswith("error ")
    assert "Traceback" not in error
    for word in words:
        assert word in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "200", "--to", "100"), "backwards"),
        (("--from", "7"), "no such checkpoints"),
        (("--between", "run0", "none"), "no run 'none'"),
        (("--out", "drift.csv"), "written as Parquet"),
        (("--confidence", "1.5"), "--confidence"),
        (("--out", "d.parquet", "--trajectory", "d.parquet"), "same file"),
    ],
)
def test_options_that_cannot_be(arguments: tuple[str, ...], words: str, tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    stances.write_parquet(tmp_path / "s.parquet")
    code, _, error = run(tmp_path / "s.parquet", *arguments)
    assert code != 0
    assert words in error


def test_the_stances_are_never_overwritten(tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    path = tmp_path / "s.parquet"
    stances.write_parquet(path)
    before = path.read_bytes()
    code, _, error = run(path, "--out", path)
    assert code != 0
    assert "overwrite" in error
    assert path.read_bytes() == before


def test_markup_in_names_is_shown_as_text(tmp_path: Path, run: Run, stances: pl.DataFrame) -> None:
    stances.with_columns(run_id=pl.lit("[red]x[/red]")).unique(["step", "prompt_id", "sample_idx"]).write_parquet(tmp_path / "s.parquet")
    code, out, _ = run(tmp_path / "s.parquet")
    assert code == 0
    assert "[red]x[/red]" in out

"""``valuedrift analyze --labels``: labels of others correct the drift of others, as the library does it; faults are named and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from labelled_answers import NAMES, SAID, study
from polars.testing import assert_frame_equal

from valuedrift.drift.corrected import corrected
from valuedrift.drift.options import Analysis

Run = Callable[..., tuple[int, str, str]]
KEYS = ["run_id", "step", "prompt_id", "sample_idx"]


@pytest.fixture
def answers(tmp_path: Path) -> pl.DataFrame:
    """Answers in a file, and labels of some of them in another."""
    found = study(60)
    foreign = found.select("judge", "topic", *KEYS, "p_support", "p_neutral", "p_oppose", "status")
    foreign.write_parquet(tmp_path / "stances.parquet")
    labels = found.sample(fraction=0.5, seed=2).with_columns(
        stance=pl.concat_list(SAID).list.arg_max().replace_strict(dict(enumerate(NAMES)))
    )
    labels.select(*KEYS, "stance").write_csv(tmp_path / "labels.csv")
    return found


def test_a_file_of_labels_corrects_as_the_library_does(tmp_path: Path, run: Run, answers: pl.DataFrame) -> None:
    code, out, error = run(tmp_path / "stances.parquet", "--labels", tmp_path / "labels.csv", "--corrected", tmp_path / "c.parquet")
    assert code == 0, error
    assert "corrected by people's labels" in out and "of the cell, λ" in out and "corrected drift: 6 rows" in out
    chosen = pl.read_csv(tmp_path / "labels.csv").select(KEYS)
    labelled = answers.join(chosen, on=KEYS).drop("drawn", "response").with_columns(weight=1.0)
    expected = corrected(answers.drop("probe_set", "study"), labelled.drop("probe_set", "study"), Analysis()).drift
    assert_frame_equal(pl.read_parquet(tmp_path / "c.parquet"), expected)
    assert {row["run_id"]: row["level"] for row in expected.iter_rows(named=True)} == {"a": "cell", "b": "cell"}


def test_several_people_and_chances_of_being_drawn(tmp_path: Path, run: Run, answers: pl.DataFrame) -> None:
    """Two of three say the same: shares, not votes; and who was drawn rarely weighs more."""
    labels = pl.read_csv(tmp_path / "labels.csv", infer_schema_length=None)
    p = pl.Series("probability", np.random.default_rng(0).uniform(0.2, 1.0, labels.height))
    three = pl.concat(
        [
            labels.with_columns(p, labeller=pl.lit(who), stance=pl.lit("neutral") if who == "ben" else pl.col("stance"))
            for who in ("anna", "ben", "carl")
        ]
    )
    three = pl.concat([three, three.filter(pl.col("labeller") == "ben").with_columns(labeller=pl.lit("dora"), stance=pl.lit("unclear"))])
    three.write_ndjson(tmp_path / "three.jsonl")
    code, out, _ = run(tmp_path / "stances.parquet", "--labels", tmp_path / "three.jsonl", "--corrected", tmp_path / "c.parquet")
    assert code == 0 and f"{labels.height} answers with several labels: a correction counts each by its share" in " ".join(out.split())
    shares = [((2 * pl.col(name) + (1.0 if name == "said_neutral" else 0.0)) / 3).alias(name) for name in SAID]
    labelled = answers.drop("weight").join(labels.select(KEYS).with_columns(weight=1 / p), on=KEYS).with_columns(shares)
    given = answers.drop("probe_set", "study")
    expected = corrected(given, labelled.drop("drawn", "response", "probe_set", "study"), Analysis()).drift
    assert_frame_equal(pl.read_parquet(tmp_path / "c.parquet"), expected, abs_tol=1e-12)


def test_labels_of_answers_that_are_not_there_are_counted(tmp_path: Path, run: Run, answers: pl.DataFrame) -> None:
    labels = pl.read_csv(tmp_path / "labels.csv")
    pl.concat([labels, labels.head(3).with_columns(prompt_id=pl.lit("nowhere"), sample_idx=pl.Series([0, 1, 2]))]).write_csv(
        tmp_path / "more.csv"
    )
    code, out, _ = run(tmp_path / "stances.parquet", "--labels", tmp_path / "more.csv")
    assert code == 0 and f"3 of {labels.height + 3} labelled answers are not in the stances" in " ".join(out.split())


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("stance", "yes", ["column stance: row 3 'yes'", "is not one of support"]),
        ("step", "late", ["column step: row 3 'late'", "no whole number"]),
        ("prompt_id", None, ["missing column prompt_id"]),
        ("probability", "0", ["column probability: row 3", "not above 0"]),
        ("run_id", "*", ["no label is of an answer"]),
        ("stance", "*", ["no row has a label"]),
        ("twice", None, ["labelled twice"]),
    ],
)
def test_faults_are_named_and_nothing_is_written(
    tmp_path: Path, run: Run, answers: pl.DataFrame, column: str, value: str | None, words: list[str]
) -> None:
    labels = pl.read_csv(tmp_path / "labels.csv", infer_schema=False).with_columns(probability=pl.lit("0.5"))
    third = pl.int_range(pl.len()) == 2
    if value == "*":
        labels = labels.with_columns((pl.lit("") if column == "stance" else pl.col(column) + " elsewhere").alias(column))
    elif value is not None:
        labels = labels.with_columns(pl.when(third).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))
    labels = pl.concat([labels, labels.head(1)]) if column == "twice" else labels.drop(column) if value is None else labels
    labels.write_csv(tmp_path / "wrong.csv")
    code, _, error = run(
        tmp_path / "stances.parquet",
        "--labels",
        tmp_path / "wrong.csv",
        "--corrected",
        tmp_path / "c.parquet",
        "--out",
        tmp_path / "d.parquet",
    )
    assert code == 3 and "wrong.csv" in error and "Traceback" not in error
    for word in words:
        assert word in error
    assert not (tmp_path / "c.parquet").exists() and not (tmp_path / "d.parquet").exists()


def test_options_that_do_not_go_together(tmp_path: Path, run: Run, answers: pl.DataFrame) -> None:
    code, _, error = run(tmp_path / "stances.parquet", "--corrected", tmp_path / "c.parquet")
    assert code == 2 and "nothing is corrected without labels" in error
    code, _, error = run(tmp_path / "stances.parquet", "--labels", tmp_path / "labels.csv", "--between", "a", "b")
    assert code == 2 and "not corrected by labels" in error


def test_a_label_of_several_answers_is_refused(tmp_path: Path, run: Run, answers: pl.DataFrame) -> None:
    stances = pl.read_parquet(tmp_path / "stances.parquet")
    pl.concat([stances, stances.with_columns(topic=pl.lit("other"))]).write_parquet(tmp_path / "both.parquet")
    code, _, error = run(tmp_path / "both.parquet", "--labels", tmp_path / "labels.csv")
    assert code == 3 and "a label is of several answers" in error and "add the column topic" in error

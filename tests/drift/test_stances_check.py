"""Bad stance tables: the message names file, column and first rows."""

from __future__ import annotations

import polars as pl
import pytest
from made_stances import made_stances

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.errors import DataError

FAST = Analysis(resamples=100)
AT = pl.int_range(pl.len()) == 7


def put(value: object, column: str) -> pl.Expr:
    return pl.when(AT).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


def status(value: str) -> pl.Expr:
    return pl.when(AT).then(pl.lit(value)).otherwise(pl.lit("ok")).alias("status")


@pytest.mark.parametrize(
    ("change", "column", "what"),
    [
        (put(1.2, "p_support"), "p_support", "outside"),
        (put(-0.1, "p_oppose"), "p_oppose", "outside"),
        (put(0.0, "p_support"), "p_support", "sum to 1"),
        (put(float("nan"), "p_neutral"), "p_neutral", "NaN or empty"),
        (put(None, "p_neutral"), "p_neutral", "NaN or empty"),
        (put(-100, "step"), "step", "negative"),
        (put(10.5, "step"), "step", "whole number"),
        (put(None, "step"), "step", "empty"),
        (put(-1, "sample_idx"), "sample_idx", "negative"),
        (put(None, "run_id"), "run_id", "empty"),
        (put(None, "prompt_id"), "prompt_id", "empty"),
        (status("fine"), "status", "not a known status"),
        (pl.when(AT).then(2).otherwise(1).alias("polarity"), "polarity", r"\+1 or -1"),
        (pl.when(AT).then(pl.lit("maybe")).otherwise(pl.lit("support")).alias("stance"), "stance", "not a known stance"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(change: pl.Expr, column: str, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        analyze(made_stances().with_columns(change), FAST, where="stances.parquet")
    message = str(caught.value)
    assert message.startswith("stances.parquet: ")
    assert column in message
    assert "row 8: " in message
    assert "1 row" in message
    assert caught.value.exit_code != 0


@pytest.mark.parametrize("kind", [pl.UInt64, pl.Float64, pl.Decimal(30, 0)])
def test_a_step_beyond_64_bits_is_named_with_its_row(kind: pl.DataType) -> None:
    large = made_stances().with_columns(pl.when(AT).then(pl.lit(2**63, dtype=pl.UInt64)).otherwise(pl.col("step")).cast(kind).alias("step"))
    with pytest.raises(DataError, match=r"column step: too large a number in 1 row; .*row 8: "):
        analyze(large, FAST)


def test_text_where_a_number_belongs() -> None:
    words = pl.when(AT).then(pl.lit("high")).otherwise(pl.col("p_support").cast(pl.String)).alias("p_support")
    with pytest.raises(DataError, match="text where a number belongs") as caught:
        analyze(made_stances().with_columns(words), FAST, where="a.parquet")
    assert "row 8: " in str(caught.value)
    assert "'high'" in str(caught.value)


def test_a_missing_column_names_what_is_there() -> None:
    with pytest.raises(DataError, match="missing column 'p_oppose'; 'p_against' is no stance known here"):
        analyze(made_stances().rename({"p_oppose": "p_against"}), FAST)


def test_two_rows_for_the_same_sample() -> None:
    stances = made_stances()
    with pytest.raises(DataError, match=r"two rows for the same sample.*row 6: .*row 145: "):
        analyze(pl.concat([stances, stances.slice(5, 1)]), FAST)


@pytest.mark.parametrize("index", [0, 61, 62, 63, 64, 1000])
def test_repeated_samples_are_seen_at_any_index(index: int) -> None:
    stances = made_stances(samples=2).with_columns(
        pl.when(pl.col("sample_idx") == 1).then(index).otherwise(2000 + index).alias("sample_idx")
    )
    analyze(stances, FAST)
    with pytest.raises(DataError, match="two rows for the same sample"):
        analyze(stances.with_columns(pl.when(AT).then(2000 + index).otherwise("sample_idx").alias("sample_idx")), FAST)


def test_many_distinct_samples_are_no_repeats() -> None:
    analyze(made_stances(samples=130, prompts=3), FAST)


def test_the_same_prompt_id_in_two_topics_is_two_prompts() -> None:
    stances = made_stances().with_columns(pl.col("prompt_id").str.slice(3))
    assert analyze(stances, FAST).drift["n_prompts"].unique().to_list() == [8]


def test_the_same_prompt_id_in_two_probe_sets_is_two_prompts() -> None:
    stances = made_stances()
    both = pl.concat([stances.with_columns(probe_set=pl.lit("a")), stances.with_columns(probe_set=pl.lit("b"))])
    assert analyze(both, FAST).drift["n_prompts"].unique().to_list() == [16]


def test_rounding_of_32_bit_floats_is_no_fault() -> None:
    narrow = made_stances().with_columns(pl.col(name).cast(pl.Float32) for name in ("p_support", "p_neutral", "p_oppose"))
    assert analyze(narrow, FAST).drift["magnitude"].to_list() == pytest.approx(
        analyze(made_stances(), FAST).drift["magnitude"].to_list(), abs=1e-6
    )


def test_whole_steps_held_as_floats_are_steps() -> None:
    assert analyze(made_stances().with_columns(pl.col("step").cast(pl.Float64)), FAST).drift["to_step"].dtype == pl.Int64


def test_numbers_as_names_are_names() -> None:
    found = analyze(made_stances().with_columns(run_id=pl.lit(17)), FAST)
    assert found.drift["run_id"].unique().to_list() == ["17"]


def test_a_prompt_with_two_polarities() -> None:
    with pytest.raises(DataError, match="polarity: two values"):
        analyze(made_stances().with_columns(pl.when(AT).then(-1).otherwise(1).alias("polarity")), FAST)


@pytest.mark.parametrize(("first", "last", "message"), [(200, 0, "backwards"), (100, 100, "no phase"), (0, 150, "no such checkpoints")])
def test_steps_that_are_no_phase(first: int, last: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        analyze(made_stances(), FAST, from_step=first, to_step=last)


def test_one_prompt_only() -> None:
    with pytest.raises(DataError, match=r"one prompt only.*topic0"):
        analyze(made_stances(prompts=1), FAST, where="a.parquet")


def test_no_rows() -> None:
    with pytest.raises(DataError, match="no rows"):
        analyze(made_stances().clear(), FAST)


def test_a_prompt_whose_polarity_changes_between_steps() -> None:
    frame = made_stances().with_columns(polarity=pl.lit(1), pair_id=pl.col("prompt_id"))
    turned = (pl.col("prompt_id") == frame["prompt_id"][7]) & (pl.col("step") == 100)
    assert analyze(frame, FAST).drift.height == 6
    message = rf"column polarity: it changes between steps for prompt '{frame['prompt_id'][7]}' of run 'run0': 1 at step 0, -1 at step 100"
    with pytest.raises(DataError, match=message):
        analyze(frame.with_columns(pl.when(turned).then(-1).otherwise(1).alias("polarity")), FAST)
    with pytest.raises(DataError, match=r"1 at step 0, none at step 100"):
        analyze(frame.with_columns(pl.when(~turned).then(1).alias("polarity")), FAST)
    with pytest.raises(DataError, match=r"column pair_id: it changes .* 'other' at step 100|other at step 100"):
        analyze(frame.with_columns(pl.when(turned).then(pl.lit("other")).otherwise("pair_id").alias("pair_id")), FAST)


def test_one_text_under_several_ids_is_told_where_the_table_has_texts() -> None:
    frame = made_stances()
    first, second = frame["prompt_id"].unique(maintain_order=True)[:2]
    told = frame.with_columns(prompt=pl.col("prompt_id") + "?")
    assert not any("several prompt ids" in note for note in analyze(told, FAST).warnings)
    doubled = frame.with_columns(
        prompt=pl.when(pl.col("prompt_id") == second).then(pl.lit(f"{first}?")).otherwise(pl.col("prompt_id") + "?")
    )
    (note,) = [note for note in analyze(doubled, FAST).warnings if "several prompt ids" in note]
    topics = frame["topic"].n_unique()
    assert f"{first} and {second} ({first}?)" in note, (note, topics)

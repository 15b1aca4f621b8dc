"""What may be written: every rule names the column and the first rows."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import RUNS, fill, probes
from stance_frames import stances_frame

from valuedrift.errors import DataError
from valuedrift.storage.rules import SUM_TOLERANCE, conformed
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.store import Store

_PLACE = {"study": "s", "run_id": "r", "step": 5}


def _stances(**change: object) -> pl.DataFrame:
    return conformed(TABLES["stances"], stances_frame().with_columns(**change), _PLACE, "here")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_support": pl.lit(-0.1)}, "column p_support: below 0 in 16 rows, first row 0 .*: -0.1"),
        ({"p_support": pl.lit(1.1)}, "column p_support: above 1"),
        ({"p_support": pl.lit(float("nan"))}, "column p_support: not a finite number"),
        ({"p_neutral": pl.lit(float("inf"))}, "column p_neutral: not a finite number"),
        ({"p_oppose": pl.lit(0.25 + 2 * SUM_TOLERANCE)}, r"column p_support\+p_neutral\+p_oppose: probabilities do not sum to 1"),
        ({"p_oppose": pl.lit(None, dtype=pl.Float64)}, "column p_oppose: missing value in a judgement that is ok"),
        ({"unassigned": pl.lit(None, dtype=pl.Float64)}, "column unassigned: missing value in a judgement that is ok"),
        ({"status": pl.lit("good")}, "column status: not one of ok, refused, unparsed, failed"),
        ({"polarity": pl.lit(0)}, "column polarity: not one of -1, 1"),
        ({"topic": pl.lit(None, dtype=pl.String)}, "column topic: missing value"),
        ({"sample_idx": pl.lit(-1)}, "column sample_idx: below 0"),
        ({"sample_idx": pl.lit(2**40)}, "column sample_idx: .*does not fit into Int32"),
        ({"sample_idx": pl.lit(0)}, r"two rows for the same \(study, run_id, step, probe_set, prompt_id, sample_idx, judge\) in 16 rows"),
        ({"sample_idx": pl.lit("0")}, "column sample_idx: String where Int32 belongs"),
        ({"sample_idx": pl.lit(0.0)}, "column sample_idx: Float64 where Int32 belongs"),
        ({"p_support": pl.lit("0.5")}, "column p_support: String where Float64 belongs"),
        ({"prompt_id": pl.lit(3)}, "column prompt_id: Int32 where String belongs"),
        ({"step": pl.lit(6)}, "column step says 6 in the partition step=5"),
        ({"p_suport": pl.lit(0.0)}, r"unknown column 'p_suport' .*did you mean 'p_support'"),
    ],
)
def test_what_breaks_a_rule_is_named(change: dict[str, pl.Expr], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        _stances(**change)
    assert str(raised.value).startswith("here: ")
    assert raised.value.exit_code == 3


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"missing column judge, p_support"):
        conformed(TABLES["stances"], stances_frame().drop("judge", "p_support"), _PLACE, "here")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(DataError) as raised:
        _stances(status=pl.lit("good"), polarity=pl.lit(0))
    assert "column status" in str(raised.value)
    assert "column polarity" in str(raised.value)


@pytest.mark.parametrize("status", ["refused", "unparsed", "failed"])
def test_what_was_not_judged_needs_no_probabilities(status: str) -> None:
    empty = pl.lit(None, dtype=pl.Float64)
    assert (
        _stances(status=pl.lit(status), p_support=empty, p_neutral=empty, p_oppose=empty, unassigned=empty)["p_support"].null_count() == 16
    )


def test_types_are_widened_where_nothing_is_lost_and_nullable_columns_may_be_left_out() -> None:
    frame = (
        stances_frame().drop("polarity", "pair_id").with_columns(pl.col("p_support").cast(pl.Float32), pl.col("topic").cast(pl.Categorical))
    )
    done = conformed(TABLES["stances"], frame, _PLACE, "here")
    assert done.schema == TABLES["stances"].polars
    assert done["polarity"].null_count() == done.height


def test_times_without_a_zone_are_refused(tmp_path: object) -> None:
    frame = pl.DataFrame({"started": [datetime(2026, 1, 1)], "ended": [datetime(2026, 1, 1)]})
    rest = {name: pl.lit("x") for name in ("model", "phase", "dataset", "config", "fingerprint")}
    frame = frame.with_columns(**rest, seed=pl.lit(0), total_steps=pl.lit(1))
    with pytest.raises(DataError, match=r"column started: Datetime.* where Datetime.*UTC"):
        conformed(TABLES["runs"], frame, {"study": "s", "run_id": "r"}, "here")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=16))
def test_any_distribution_is_accepted_and_none_other(pairs: list[tuple[float, float]]) -> None:
    """Two numbers split a unit in three; shifting one share by more than the tolerance breaks the sum."""
    cuts = [sorted(pair) for pair in pairs]
    frame = stances_frame().head(len(cuts)).with_columns(
        p_support=pl.Series([low for low, _ in cuts]),
        p_neutral=pl.Series([high - low for low, high in cuts]),
        p_oppose=pl.Series([1 - high for _, high in cuts]),
    )  # fmt: skip
    assert conformed(TABLES["stances"], frame, _PLACE, "here").height == len(cuts)
    with pytest.raises(DataError, match=r"sum to 1|above 1"):
        conformed(TABLES["stances"], frame.with_columns(pl.col("p_support") + 1e-5), _PLACE, "here")


def test_all_tables_take_the_small_study(tmp_path: object) -> None:
    store = Store(str(tmp_path))
    fill(store)
    for table, schema in TABLES.items():
        frame = store.read(table)
        assert frame.schema == schema.polars
        assert frame.height
    assert store.read("runs").height == len(RUNS)
    assert store.read("probes").height == probes().height


def test_schemas_are_sound() -> None:
    for table in TABLES.values():
        assert set(table.partition) <= set(table.keys) <= set(table.names), table.name
        assert len(set(table.names)) == len(table.names)
        assert not any(table.column(name).nullable for name in table.keys)
        assert all(column.doc.endswith(".") for column in table.columns)

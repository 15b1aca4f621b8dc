"""Tables of others come in checked and whole, ours go out whole."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest
from small_study import STUDY, fill
from stance_frames import stances_frame

from valuedrift.errors import DataError, UserError
from valuedrift.storage.exchange import export_tables, import_table
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.schemas.runs import UTC_TIME
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.sql.views import views
from valuedrift.storage.store import Store


@pytest.fixture
def theirs() -> pl.DataFrame:
    """The columns that the issue names, and one more."""
    frame = stances_frame(prompts=3).drop("probe_set", "polarity", "pair_id", "judge", "unassigned", "status")
    return pl.concat(
        [frame.with_columns(run_id=pl.lit(run), step=pl.lit(step), note=pl.lit("x")) for run in ("a", "b") for step in (0, 10)]
    )


def _write(frame: pl.DataFrame, path: Path) -> str:
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[path.suffix](path)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_stance_table_of_others_comes_in(root: str, tmp_path: Path, theirs: pl.DataFrame, suffix: str) -> None:
    store = Store(root)
    done = import_table(store, _write(theirs, tmp_path / f"theirs{suffix}"), "stances", "new", fill={"judge": "gpt"})
    assert (done.rows, done.parts) == (theirs.height, 4)
    assert done.filled == {"judge": "gpt", "probe_set": "imported", "status": "ok", "unassigned": 0.0}
    assert done.ignored == ["note"]
    rows = store.read("stances")
    names = ["run_id", "step", "topic", "prompt_id", "sample_idx", "p_support", "p_neutral", "p_oppose"]
    assert rows.select(names).sort(names).equals(theirs.select(names).cast({"sample_idx": pl.Int32, "step": pl.Int64}).sort(names))
    assert rows.select("study", "judge").unique().rows() == [("new", "gpt")]


def test_semicolons_and_names_that_look_like_numbers_come_in_as_they_are(root: str, tmp_path: Path, theirs: pl.DataFrame) -> None:
    named = theirs.with_columns(run_id=pl.col("run_id").replace({"a": "01", "b": "1"}))
    named.write_csv(tmp_path / "theirs.csv", separator=";", include_bom=True)
    store = Store(root)
    assert import_table(store, str(tmp_path / "theirs.csv"), "stances", "new", fill={"judge": "gpt"}).rows == theirs.height
    assert set(store.read("stances")["run_id"]) == {"01", "1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_support": pl.lit(2.0)}, "p_support: above 1"),
        ({"p_support": pl.lit("high")}, "p_support: String where Float64 belongs"),
        ({"p_support": pl.lit(None, dtype=pl.Float64)}, "p_support: missing value"),
        ({"step": pl.lit(1.5)}, "step: Float64 where Int64 belongs"),
        ({"step": pl.lit(-1)}, "step: below 0"),
        ({"sample_idx": pl.lit(0)}, "two rows for the same"),
        ({"run_id": pl.lit(None, dtype=pl.String)}, "run_id: missing value"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_comes_in(
    tmp_path: Path, theirs: pl.DataFrame, change: dict[str, pl.Expr], message: str
) -> None:
    store = Store(tmp_path / "root")
    # the rows at fault are in the last part; those before it must not come in either
    last = pl.int_range(pl.len()) >= pl.len() - 6
    (name, value) = next(iter(change.items()))
    wrong = theirs.with_columns(value.alias(name) if "belongs" in message else pl.when(last).then(value).otherwise(name).alias(name))
    with pytest.raises(DataError, match=message) as raised:
        import_table(store, _write(wrong, tmp_path / "theirs.parquet"), "stances", "new")
    assert "theirs.parquet" in str(raised.value)
    assert store.root.listing() == []


def test_a_missing_column_a_missing_file_and_an_odd_kind_are_named(tmp_path: Path, theirs: pl.DataFrame) -> None:
    store = Store(tmp_path / "root")
    with pytest.raises(DataError, match="missing column topic"):
        import_table(store, _write(theirs.drop("topic"), tmp_path / "a.parquet"), "stances", "new")
    with pytest.raises(DataError, match="missing column run_id"):
        import_table(store, _write(theirs.drop("run_id"), tmp_path / "b.parquet"), "stances", "new")
    with pytest.raises(UserError, match="no such file"):
        import_table(store, str(tmp_path / "none.parquet"), "stances", "new")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        import_table(store, str(tmp_path / "x.parquet"), "stances", "new")
    (tmp_path / "x.xlsx").write_bytes(b"")
    with pytest.raises(UserError, match="not a kind of file"):
        import_table(store, str(tmp_path / "x.xlsx"), "stances", "new")
    with pytest.raises(UserError, match="no table 'stance'"):
        import_table(store, str(tmp_path / "a.parquet"), "stance", "new")


def test_nothing_is_replaced_unasked_and_the_same_file_again_changes_nothing(tmp_path: Path, theirs: pl.DataFrame) -> None:
    store = Store(tmp_path / "root")
    file = _write(theirs, tmp_path / "theirs.csv")
    import_table(store, file, "stances", "new")
    before = store.entries()
    import_table(store, file, "stances", "new")
    assert store.entries() == before
    other = _write(theirs.with_columns(p_support=0.5, p_neutral=0.25), tmp_path / "other.csv")
    with pytest.raises(UserError, match="is there already"):
        import_table(store, other, "stances", "new")
    assert store.entries() == before
    import_table(store, other, "stances", "new", replace=True)
    assert {entry.identity["imported"] for entry in store.entries()} == {"other.csv"}


def test_what_is_exported_comes_in_again_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    fill(store)
    for kind in ("csv", "parquet"):
        export_tables(store, str(tmp_path / kind), list(TABLES), kind)
        other = Store(tmp_path / f"again-{kind}")
        for name in TABLES:
            if kind == "parquet" or UTC_TIME not in TABLES[name].arrow.types:  # CSV has no type for times
                import_table(other, str(tmp_path / kind / f"{name}.{kind}"), name, STUDY)
                assert other.read(name).equals(store.read(name), null_equal=True), name


def test_a_duckdb_file_has_tables_views_and_what_columns_mean(root: str, tmp_path: Path) -> None:
    store = Store(root)
    fill(store)
    export_tables(store, str(tmp_path / "out.duckdb"), list(TABLES), "duckdb")
    with duckdb.connect(str(tmp_path / "out.duckdb"), read_only=True) as theirs, Catalog(store) as ours:
        theirs.execute("SET TimeZone = 'UTC'")
        for view in views():
            assert theirs.sql(f"FROM {view} ORDER BY ALL").pl().equals(ours.frame(f"FROM {view} ORDER BY ALL"), null_equal=True), view
        rows = theirs.execute("SELECT comment FROM duckdb_columns() WHERE table_name = 'stances' AND column_name = 'step'").fetchall()
        assert rows == [(TABLES["stances"].column("step").doc,)]


def test_an_export_to_s3_and_one_that_exists(s3_root: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    fill(store)
    export_tables(store, f"{s3_root}/out", ["drift"], "parquet")
    with pytest.raises(UserError, match="there is a file already"):
        export_tables(store, f"{s3_root}/out", ["drift"], "parquet")
    export_tables(store, f"{s3_root}/out", ["drift"], "parquet", force=True)
    import_table(Store(s3_root), f"{s3_root}/out/drift.parquet", "drift", STUDY)
    assert Store(s3_root).read("drift").equals(store.read("drift"))
    with pytest.raises(UserError, match="no rows to export"):
        export_tables(store, str(tmp_path / "x"), ["drift"], "csv", study="none")
    with pytest.raises(UserError, match="do not fit into one csv file"):
        export_tables(store, str(tmp_path / "x.csv"), ["drift", "runs"], "csv")

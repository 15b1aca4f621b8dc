"""A table is added by its schema and one entry, and is then everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import valuedrift.flows.cli.tables  # noqa: F401 — hangs its commands on the application
from valuedrift.errors import DataError
from valuedrift.flows.cli.app import app
from valuedrift.storage.check_tables import Kind, check
from valuedrift.storage.compaction import compact
from valuedrift.storage.exchange import export_tables, import_table
from valuedrift.storage.schemas import TABLES, columns, register
from valuedrift.storage.schemas.table import TableSchema, whole
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.sql.page import with_tables
from valuedrift.storage.sql.views import views
from valuedrift.storage.store import Store

_LENGTHS = TableSchema(
    "answer_lengths",
    "How long one answer is.",
    1,
    ("study", "run_id", "step"),
    ("study", "run_id", "step", "prompt_id"),
    (columns.STUDY, columns.RUN_ID, columns.STEP, columns.PROMPT_ID, whole("n_words", "Words of the answer.", low=0)),
)
_ROWS = pl.DataFrame({"prompt_id": ["a", "b"], "n_words": [3, 14]})


@pytest.fixture
def lengths() -> Iterator[str]:
    """A table that is registered for one test."""
    yield register(_LENGTHS).name
    TABLES.pop(_LENGTHS.name)


@pytest.fixture
def store(tmp_path: Path, lengths: str) -> Store:
    made = Store(tmp_path / "root")
    for step in (0, 8):
        made.put(lengths, _ROWS, partition={"study": "s", "run_id": "r", "step": step}, key=f"k{step}", identity={"step": step})
    return made


def test_a_registered_table_is_read_asked_checked_compacted_and_described(store: Store, lengths: str) -> None:
    assert store.read(lengths, step=8).select("prompt_id", "n_words").equals(_ROWS)
    with Catalog(store) as catalog:
        assert list(catalog.rows(f"SELECT step, sum(n_words) FROM {lengths} GROUP BY step ORDER BY step").rows) == [(0, 17), (8, 17)]
        assert catalog.frame("SELECT * FROM stances").height == 0
    assert check(store) == []
    (store.root / store.entries(lengths)[0].path).delete()
    assert [finding.kind for finding in check(store)] == [Kind.MISSING]
    assert views()[lengths].columns["n_words"] == "Words of the answer."
    assert "| `n_words` | int64 | Words of the answer. |" in with_tables("# Tables\n")


def test_its_rules_hold_and_it_is_compacted(store: Store, lengths: str) -> None:
    with pytest.raises(DataError, match="n_words: below 0"):
        store.put(lengths, _ROWS.with_columns(n_words=-1), partition={"study": "s", "run_id": "r", "step": 9}, key="k", identity={})
    before = store.read(lengths)
    assert [done.parts for done in compact(store, "s")] == [2]
    assert store.read(lengths).equals(before)


def test_it_leaves_and_comes_in(store: Store, lengths: str, tmp_path: Path) -> None:
    out = CliRunner().invoke(app, ["tables", "--root", store.root.uri]).output
    assert lengths in out
    export_tables(store, str(tmp_path / "out.csv"), [lengths], "csv")
    other = Store(tmp_path / "other")
    import_table(other, str(tmp_path / "out.csv"), lengths, "s")
    assert other.read(lengths).equals(store.read(lengths))


def test_a_table_is_entered_once_and_names_are_names(lengths: str) -> None:
    assert register(_LENGTHS) is _LENGTHS
    with pytest.raises(ValueError, match="another table"):
        register(replace(_LENGTHS, doc="Something else."))
    with pytest.raises(ValueError, match="is no name"):
        register(replace(_LENGTHS, name="answer lengths"))
    with pytest.raises(ValueError, match="no column epoch"):
        replace(_LENGTHS, keys=("study", "epoch"))


def test_parts_of_one_partition_are_told_apart_by_the_slots_of_the_table(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = pl.DataFrame({"draw": ["d", "d"], "label_id": ["01", "01"], "labeller": ["ann", "ben"], "stance": ["support", "oppose"]})
    rows.write_csv(tmp_path / "labels.csv")
    import_table(store, str(tmp_path / "labels.csv"), "labels", "s")
    assert [entry.slot for entry in store.entries("labels")] == ["d/ann", "d/ben"]
    assert store.read("labels")["label_id"].to_list() == ["01", "01"]

"""Nothing that is typed in SQL writes, deletes, or reads anything but the tables."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import pytest

from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.sql.guard import QueryError
from valuedrift.storage.store import Store


def _state(root: str) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(root).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{path}' (USE_TMP_FILE false)",
        "COPY (SELECT 1) TO 'tables://{relative}' (FORMAT parquet, USE_TMP_FILE false)",
        "WITH x AS (COPY (SELECT 1) TO '{path}' (USE_TMP_FILE false)) FROM x",
        "WITH x AS (COPY (SELECT 1) TO 'tables://{relative}' (FORMAT parquet, USE_TMP_FILE false)) FROM x",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{path}' (USE_TMP_FILE false)",
        "COPY (PIVOT stances ON status) TO '{path}' (USE_TMP_FILE false)",
        "EXPORT DATABASE '{folder}/x'",
        "ATTACH '{folder}/x.db'",
        "ATTACH 'tables://{relative}' AS y",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_external_access",
        "RESET lock_configuration",
        "CREATE TABLE x AS SELECT 1",
        "DROP VIEW stances",
        "INSERT INTO stances SELECT * FROM stances",
        "DELETE FROM stances",
        "UPDATE stances SET step = 0",
        "CREATE OR REPLACE VIEW stances AS SELECT 1",
        "CREATE SECRET s (TYPE s3)",
        "CALL enable_logging(storage = 'file', storage_path = '{folder}/log')",
        "PREPARE q AS COPY (SELECT 1) TO '{path}'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM glob('/etc/*')",
        "FROM glob('tables://**')",
        "FROM read_parquet('{path}')",
        "FROM read_blob('tables://_manifests/*')",
        "FROM sniff_csv('/etc/passwd')",
        "FROM query('COPY (SELECT 1) TO ''{path}''')",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
    ],
)
def test_nothing_typed_writes_or_reads_anything_else(filled: str, tmp_path: Path, query: str) -> None:
    before = _state(filled)
    target = next(path for path in before if path.endswith(".parquet"))
    typed = query.format(path=target, relative=Path(target).relative_to(filled), folder=tmp_path)
    with Catalog(Store(filled)) as catalog:
        try:
            rows = list(catalog.rows(typed).rows)
        except QueryError:
            rows = []
        assert rows == []
        assert next(catalog.rows("SELECT count(*) > 0 FROM stances").rows) == (True,)
    assert _state(filled) == before
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_holds_even_when_the_words_pass(filled: str, tmp_path: Path) -> None:
    """The clear message is no protection; what is beneath it is."""
    before = _state(filled)
    target = next(path for path in before if path.endswith(".parquet"))
    places = [target, f"tables://{Path(target).relative_to(filled)}", str(tmp_path / "new"), "tables://new.parquet"]
    for place in places:
        for query in (
            f"COPY (SELECT 1) TO '{place}' (FORMAT parquet, USE_TMP_FILE false)",
            f"WITH x AS (COPY (SELECT 1) TO '{place}' (FORMAT parquet, USE_TMP_FILE false)) FROM x",
        ):
            with Catalog(Store(filled)) as catalog, pytest.raises(duckdb.Error):
                catalog._connection.execute(query).fetchall()
    assert _state(filled) == before
    assert list(tmp_path.iterdir()) == []

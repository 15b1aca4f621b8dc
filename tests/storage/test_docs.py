"""The docs say what is so: every question of the cookbook runs, every view and column is described."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_study

from valuedrift.storage.schemas import TABLES
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.sql.page import with_tables
from valuedrift.storage.sql.views import views
from valuedrift.storage.store import Store

_DOCS = Path(__file__).parents[2] / "docs"
_COOKBOOK = (_DOCS / "sql-cookbook.md").read_text(encoding="utf-8")
_QUESTIONS = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```sql\n(.*?)^```", _COOKBOOK, re.DOTALL | re.MULTILINE)
_MAY_BE_EMPTY = {"Was this checkpoint's model sampled elsewhere too?", "What would another seed show too?"}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    store = Store(tmp_path_factory.mktemp("cookbook"))
    small_study.fill(store)
    with Catalog(store) as opened:
        yield opened


def test_there_are_enough_questions_and_all_have_one_query() -> None:
    assert len(_QUESTIONS) >= 15
    assert len(_QUESTIONS) == _COOKBOOK.count("```sql") == len(re.findall("^## ", _COOKBOOK, re.MULTILINE))


@pytest.mark.parametrize(("question", "query"), _QUESTIONS, ids=[question for question, _ in _QUESTIONS])
def test_a_question_of_the_cookbook_has_an_answer(catalog: Catalog, question: str, query: str) -> None:
    rows = list(catalog.rows(query).rows)
    assert rows or question in _MAY_BE_EMPTY


def test_the_page_on_tables_is_the_one_that_make_docs_writes() -> None:
    page = (_DOCS / "tables.md").read_text(encoding="utf-8")
    assert with_tables(page) == page


def test_the_page_on_tables_describes_every_view_and_column() -> None:
    page = (_DOCS / "tables.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`[^\n]*\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE))
    assert list(sections) == list(views())
    for name, view in views().items():
        rows = dict(re.findall(r"^\| `(\w+)` \|(?: [^|]+ \|)? ([^|]+?) \|$", sections[name], re.MULTILINE))
        assert rows == view.columns, name
        assert view.doc in sections[name]
    for table in TABLES.values():
        assert f"version {table.version}" in sections[table.name]
        assert ", ".join(f"`{key}`" for key in table.keys) in sections[table.name]

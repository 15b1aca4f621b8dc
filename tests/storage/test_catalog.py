"""SQL over the tables: right numbers, nothing but reading, opened without a scan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import small_study
from sklearn.metrics import cohen_kappa_score
from stance_frames import stances_frame

from valuedrift.drift.acquiescence import acquiescence
from valuedrift.drift.prompt_means import prompt_means
from valuedrift.errors import DataError
from valuedrift.storage.compaction import compact
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.sql.guard import QueryError
from valuedrift.storage.sql.views import views
from valuedrift.storage.store import Store


@pytest.fixture
def catalog(filled: str) -> Iterator[Catalog]:
    with Catalog(Store(filled)) as opened:
        yield opened


@pytest.mark.parametrize("table", TABLES)
def test_a_view_holds_the_rows_of_its_table(catalog: Catalog, filled: str, table: str) -> None:
    keys = TABLES[table].keys
    expected = Store(filled).read(table)
    assert expected.height
    assert catalog.frame(f"SELECT * FROM {table} ORDER BY {', '.join(keys)}").equals(expected.sort(keys))


def test_views_of_an_empty_root_have_the_right_columns_and_no_rows(tmp_path: Path) -> None:
    with Catalog(Store(tmp_path / "nothing")) as empty, Catalog(Store(tmp_path / "nothing")) as other:
        for view in views().values():
            frame = empty.frame(f"SELECT * FROM {view.name}")
            assert frame.height == 0
            assert frame.columns == list(view.columns)
            if view.name in TABLES:
                assert frame.schema == TABLES[view.name].polars
        assert other.rows("SELECT count(*) FROM stances").rows.__next__() == (0,)
    assert not (tmp_path / "nothing").exists()


def test_documented_columns_are_the_columns(catalog: Catalog) -> None:
    for view in views().values():
        assert catalog.frame(f"SELECT * FROM {view.name} LIMIT 0").columns == list(view.columns), view.name
        assert all(view.columns.values())


def test_value_profile_turns_prompts_and_averages_samples_first(catalog: Catalog, filled: str) -> None:
    profile = catalog.frame(
        "FROM value_profile WHERE run_id = 'sft-support' AND step = 20 AND topic = 'immigration' AND judge = 'causal-lm'"
    ).to_dicts()[0]
    frame = Store(filled).read("stances", run_id="sft-support", step=20, topic="immigration", judge="causal-lm", status="ok")
    support, yes = {}, {}
    for prompt in frame["prompt_id"].unique():
        mine = frame.filter(pl.col("prompt_id") == prompt)
        means = {name: np.mean(mine[name].to_numpy()) for name in ("p_support", "p_oppose")}
        support[prompt] = means["p_support"] if mine["polarity"][0] == 1 else means["p_oppose"]
        yes.setdefault(mine["pair_id"][0], []).append(means["p_support"] - means["p_oppose"])
    assert profile["support"] == pytest.approx(np.mean(list(support.values())), abs=1e-12)
    assert profile["acquiescence"] == pytest.approx(np.mean([np.mean(pair) for pair in yes.values()]), abs=1e-12)
    assert (profile["n_prompts"], profile["n_pairs"]) == (2 * small_study.PAIRS, small_study.PAIRS)
    assert profile["support"] + profile["neutral"] + profile["oppose"] == pytest.approx(1)


def test_yes_saying_is_that_of_the_statistics(catalog: Catalog, filled: str) -> None:
    """The view is for questions; the numbers of the report come from valuedrift.drift. They must not differ."""
    index = ["judge", "run_id", "step", "topic"]
    theirs = acquiescence(prompt_means(Store(filled).scan("stances")), 0.95).sort(index)
    ours = catalog.frame("FROM value_profile").sort(index)
    assert ours.select(*index, "n_pairs").cast(pl.String).equals(theirs.select(*index, "n_pairs").cast(pl.String))
    assert np.allclose(ours["acquiescence"], theirs["acquiescence"], atol=1e-12)


def test_a_model_that_always_agrees_has_no_value_but_acquiescence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    always = stances_frame().with_columns(p_support=pl.lit(1.0), p_neutral=pl.lit(0.0), p_oppose=pl.lit(0.0))
    principled = stances_frame(judge="p").with_columns(
        p_support=(pl.col("polarity") == 1).cast(pl.Float64), p_neutral=pl.lit(0.0), p_oppose=(pl.col("polarity") == -1).cast(pl.Float64)
    )
    for slot, frame in {"j": always, "p": principled}.items():
        store.put("stances", frame, partition={"study": "s", "run_id": "r", "step": 0}, key=slot, identity={}, slot=slot)
    with Catalog(store) as catalog:
        seen = {(r[0], r[1], r[2]) for r in catalog.rows("SELECT judge, support, acquiescence FROM value_profile").rows}
    assert seen == {("j", 0.5, 1.0), ("p", 1.0, 0.0)}


def test_stance_counts_count_everything_once(catalog: Catalog) -> None:
    for row in catalog.frame("FROM stance_counts").to_dicts():
        assert row["n"] == 2 * small_study.PAIRS * small_study.SAMPLES
        assert row["n"] == sum(row[f"n_{kind}"] for kind in ("support", "neutral", "oppose", "refused", "unparsed", "failed"))
    assert catalog.frame("SELECT sum(n_refused)::INT AS n FROM stance_counts")["n"][0] == len(small_study.RUNS) * len(small_study.STEPS) * 2


def test_ties_count_as_neutral(tmp_path: Path) -> None:
    tied = stances_frame().with_columns(p_support=pl.lit(0.5), p_neutral=pl.lit(0.0), p_oppose=pl.lit(0.5))
    store = Store(tmp_path)
    store.put("stances", tied, partition={"study": "s", "run_id": "r", "step": 0}, key="k", identity={})
    with Catalog(store) as catalog:
        assert set(catalog.rows("SELECT n_support, n_neutral = n, n_oppose FROM stance_counts").rows) == {(0, True, 0)}


def test_agreement_and_kappa_are_those_of_scikit_learn(catalog: Catalog, filled: str) -> None:
    frame = (
        Store(filled)
        .read("stances", status="ok", run_id="dpo-gap")
        .with_columns(verdict=pl.concat_list("p_support", "p_neutral", "p_oppose").list.arg_max())
    )
    wide = frame.pivot("judge", index=["step", "prompt_id", "sample_idx"], values="verdict").drop_nulls()
    row = catalog.frame("FROM judge_agreement WHERE run_id = 'dpo-gap'").to_dicts()
    assert len(row) == 1
    assert (row[0]["judge_a"], row[0]["judge_b"], row[0]["n"]) == ("causal-lm", "cross-encoder", wide.height)
    assert row[0]["agreement"] == pytest.approx((wide["causal-lm"] == wide["cross-encoder"]).mean())
    assert row[0]["kappa"] == pytest.approx(cohen_kappa_score(wide["causal-lm"], wide["cross-encoder"]))


def test_kappa_of_a_study_is_that_of_all_its_runs_together(catalog: Catalog, filled: str) -> None:
    frame = (
        Store(filled).read("stances", status="ok").with_columns(verdict=pl.concat_list("p_support", "p_neutral", "p_oppose").list.arg_max())
    )
    wide = frame.pivot("judge", index=["run_id", "step", "prompt_id", "sample_idx"], values="verdict").drop_nulls()
    rows = catalog.frame("FROM study_agreement").to_dicts()
    assert [(row["judge_a"], row["judge_b"], row["n"]) for row in rows] == [("causal-lm", "cross-encoder", wide.height)]
    assert rows[0]["kappa"] == pytest.approx(cohen_kappa_score(wide["causal-lm"], wide["cross-encoder"]))
    confusion = catalog.frame("SELECT verdict_a, verdict_b, sum(n)::BIGINT AS n FROM judge_confusion GROUP BY ALL")
    assert confusion.get_column("n").sum() == wide.height
    names = {0: "support", 1: "neutral", 2: "oppose"}
    for a, b, n in confusion.iter_rows():
        assert n == ((wide["causal-lm"].replace_strict(names) == a) & (wide["cross-encoder"].replace_strict(names) == b)).sum()


def test_kappa_is_empty_where_nobody_ever_differs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for judge in ("a", "b"):
        store.put("stances", stances_frame(judge), partition={"study": "s", "run_id": "r", "step": 0}, key=judge, identity={}, slot=judge)
    with Catalog(store) as catalog:
        assert list(catalog.rows("SELECT agreement, kappa FROM judge_agreement").rows) == [(1.0, None)]


@pytest.mark.parametrize(
    ("query", "line", "mark"),
    [
        ("SELEC 1", "LINE 1: SELEC 1", "^^^^^"),
        ("SELECT\n  stepp FROM stances", "LINE 2:   stepp FROM stances", "^"),
        ("SELECT * FROM stanecs", "stances", "^"),
        ("SELECT * FROM stances WHERE step = 'x'", "'x'", "^"),
    ],
)
def test_an_error_shows_the_line_and_the_place(catalog: Catalog, query: str, line: str, mark: str) -> None:
    with pytest.raises(QueryError) as raised:
        list(catalog.rows(query).rows)
    assert line in str(raised.value)
    assert mark in str(raised.value)
    assert raised.value.exit_code == 2


def test_words_that_write_may_be_names_in_quotes_or_text(catalog: Catalog) -> None:
    assert list(catalog.rows("""SELECT 'copy; drop' AS "delete", 1 -- insert""").rows) == [("copy; drop", 1)]


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN SELECT * FROM stances",
        "DESCRIBE stances",
        "SUMMARIZE drift",
        "SHOW TABLES",
        "PIVOT stances ON status USING count(*) GROUP BY step",
    ],
)
def test_other_questions_than_select_are_answered(catalog: Catalog, query: str) -> None:
    assert list(catalog.rows(query).rows)


def test_opening_reads_no_rows(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from valuedrift.storage.sql.readonly import TableFiles

    opened: list[str] = []
    whole = TableFiles.open

    def counted(self: TableFiles, path: str, mode: str = "rb", **options: object) -> object:
        opened.append(path)
        return whole(self, path, mode, **options)

    monkeypatch.setattr(TableFiles, "open", counted)
    with Catalog(Store(filled)):
        pass
    assert len(opened) <= 3 * len(TABLES)  # a footer a view, whatever the number of files


def test_a_missing_object_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = store.put("stances", stances_frame(), partition={"study": "s", "run_id": "r", "step": 0}, key="k", identity={})
    (store.root / entry.path).delete()
    with pytest.raises((DataError, QueryError), match="part-k"), Catalog(store) as catalog:
        list(catalog.rows("FROM stances").rows)


def test_a_sort_that_does_not_fit_into_memory_spills(catalog: Catalog) -> None:
    rows = list(catalog.rows("SELECT count(*) FROM (SELECT i FROM range(2_000_000) t(i) ORDER BY hash(i))").rows)
    assert rows == [(2_000_000,)]


def test_s3_gives_the_same_answers(s3_root: str, filled: str) -> None:
    small_study.fill(Store(s3_root))
    with Catalog(Store(s3_root)) as remote, Catalog(Store(filled)) as local:
        for view in views():
            query = f"SELECT * FROM {view} ORDER BY ALL"
            assert remote.frame(query).equals(local.frame(query)), view


def test_threads_that_read_one_object_do_not_disturb_each_other(tmp_path: Path) -> None:
    """DuckDB seeks and reads in two calls from all its threads; with one shared position this fails within a few rounds."""
    store, judges = Store(tmp_path), range(24)
    for judge in judges:
        frame = stances_frame(f"j{judge:02d}", shift=judge / 128, prompts=400, samples=5)
        store.put("stances", frame, partition={"study": "s", "run_id": "r", "step": judge}, key=f"k{judge}", identity={})
    compact(store, "s")
    query = (
        "SELECT count(*), sum(step)::BIGINT, min(p_support), max(p_support), count(DISTINCT prompt_id), count(DISTINCT judge) FROM stances"
    )
    with Catalog(store) as catalog:
        answers = {next(catalog.rows(query).rows) for _ in range(25)}
    rows = len(judges) * 2 * 400 * 5
    assert answers == {(rows, sum(judges) * rows // len(judges), 0.25, 0.25 + 23 / 128, 800, len(judges))}

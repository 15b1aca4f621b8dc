"""Roots that a newer program wrote, or that were migrated by half: one clear message each, and what can still be read is read."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_study
from small_study import fill
from stance_frames import stances_frame
from typer.testing import CliRunner, Result

import valuedrift.flows.cli.sql
import valuedrift.flows.cli.tables  # noqa: F401 — hang their commands on the application
from valuedrift.errors import DataError, UserError
from valuedrift.flows.cli.app import app
from valuedrift.storage.check_tables import Kind, check, repair
from valuedrift.storage.compaction import compact
from valuedrift.storage.manifest import Entry
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.sql.views import views
from valuedrift.storage.store import Store

_COMMANDS = (("tables",), ("tables", "check"), ("sql", "FROM drift"), ("tables", "compact", small_study.STUDY), ("tables", "export", "OUT"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the small study."""
    fill(Store(tmp_path / "root"))
    return tmp_path / "root"


def _rewritten(root: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The study's latest manifest, changed as another program would write it."""
    path = max((root / "_manifests" / f"study={small_study.STUDY}").iterdir())
    content = json.loads(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


def _run(root: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*(word.replace("OUT", str(root.parent / "out")) for word in words), "--root", str(root)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format=2), "manifest of format 2, this program knows 1"),
        (
            lambda content: content["entries"][0].update(checksum="x"),
            "a newer valuedrift wrote this manifest: checksum of its parts is not known",
        ),
        (lambda content: content.pop("entries"), "damaged manifest"),
    ],
)
def test_a_manifest_of_another_program_is_one_message_in_every_command(
    root: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = _rewritten(root, change)
    before = path.read_bytes()
    for words in _COMMANDS:
        error = _run(root, *words).exception
        assert isinstance(error, DataError), words
        assert (
            message in str(error)
            and str(path) in str(error)
            and "install a newer" in str(error) + "install a newer" * ("damaged" in message)
        )
    with pytest.raises(DataError, match=message):
        Store(root).put("stances", stances_frame(), partition={"study": small_study.STUDY, "run_id": "r", "step": 0}, key="k", identity={})
    assert path.read_bytes() == before


def test_what_version_0_2_wrote_beside_a_part_is_read_over(root: Path) -> None:
    before = Store(root).entries()
    _rewritten(root, lambda content: [entry.update(extra={"note": 1}) for entry in content["entries"]])
    assert Store(root).entries() == before


def _newer(root: Path, table: str) -> Store:
    """A root in which one part is of a newer version of its table."""
    store = Store(root)
    entry = store.entries(table)[0]
    store.commit(small_study.STUDY, lambda known: {**known, entry.address: replace(entry, schema_version=99)})
    return Store(root)


def test_a_table_of_a_newer_version_stands_in_no_other_s_way(root: Path) -> None:
    store = _newer(root, "stances")
    with Catalog(store) as catalog:
        for view in views():
            if view in ("stances", "value_profile", "stance_counts", "judge_confusion", "judge_agreement", "study_agreement"):
                with pytest.raises(DataError, match="table stances has schema version 99, this program knows up to"):
                    catalog.frame(f"FROM {view}")
            else:
                assert catalog.frame(f"FROM {view}").columns == list(views()[view].columns)
    findings = check(store)
    assert {finding.kind for finding in findings} == {Kind.RULE} and "schema version 99" in findings[-1].what
    with pytest.raises(DataError, match="schema version 99"):
        compact(store, small_study.STUDY)
    before = store.entries()
    assert repair(store, findings) == [] and store.entries() == before


def test_a_table_that_is_not_known_here_is_kept_and_told(root: Path) -> None:
    store = Store(root)
    theirs = Entry(
        "premonitions",
        {"study": small_study.STUDY, "run_id": "dpo-gap"},
        "k",
        "premonitions/x.parquet",
        7,
        70,
        1,
        "2026-12-01",
        "0",
        {"stage": "attribute"},
    )
    store.commit(small_study.STUDY, lambda known: {**known, theirs.address: theirs})
    store = Store(root)
    assert "premonitions" in _run(root, "tables").output
    with Catalog(store) as catalog:
        assert catalog.frame("FROM drift").height
        with pytest.raises(DataError, match="table premonitions was written by a newer valuedrift"):
            catalog.frame("SELECT * FROM Premonitions")
    assert [(finding.kind, finding.what[:35]) for finding in check(store)] == [(Kind.UNKNOWN, "the manifest names 7 rows in 1 part")]
    assert compact(store, small_study.STUDY)
    store.put("stances", stances_frame(), partition={"study": small_study.STUDY, "run_id": "r", "step": 0}, key="k", identity={})
    assert theirs in Store(root).entries()
    with pytest.raises(UserError, match="no table 'premonitions'"):
        store.read("premonitions")


def test_a_part_whose_file_is_not_of_the_version_that_the_manifest_says_is_named(root: Path) -> None:
    store = Store(root)
    entry = store.entries("drift")[0]
    store.commit(small_study.STUDY, lambda known: {**known, entry.address: replace(entry, schema_version=1)})
    with pytest.raises(DataError, match="the file says drift version 2, the manifest drift version 1; only one of them was migrated"):
        Store(root).read("drift")
    assert "the file says drift version 2" in check(Store(root))[0].what


def test_a_damaged_object_is_the_concern_of_its_table_only(root: Path) -> None:
    store = Store(root)
    (root / store.entries("trajectory")[0].path).write_bytes(b"PAR1")
    with Catalog(Store(root)) as catalog:
        assert catalog.frame("FROM value_profile").height
        with pytest.raises(DataError, match=r"the table trajectory cannot be opened.*tables check"):
            catalog.frame("FROM trajectory")


def test_a_root_that_was_copied_without_its_manifests_says_so(root: Path) -> None:
    shutil.rmtree(root / "_manifests")
    for words in (("tables",), ("sql", "FROM drift")):
        result = _run(root, *words)
        assert result.exit_code == 0 and "no manifest names them: _manifests/ is not there or empty" in result.output
    assert {finding.kind for finding in check(Store(root))} == {Kind.ORPHAN}
    shutil.rmtree(root)
    assert "there are no tables under" in str(_run(root, "tables").exception)

"""Every line of a registry leads to a kind, and the docs tell each kind as its file does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from valuedrift.engines.registry import ENGINES
from valuedrift.judges.registry import JUDGES
from valuedrift.registry import Registry
from valuedrift.registry_page import with_study_tables, with_tables
from valuedrift.trackers.registry import TRACKERS
from valuedrift.training.registry import ALGORITHMS

DOCS = Path(__file__).parents[2] / "docs"
REGISTRIES: dict[str, tuple[Registry[Any], str]] = {
    "judges": (JUDGES, "judges.md"),
    "engines": (ENGINES, "engines.md"),
    "algorithms": (ALGORITHMS, "algorithms.md"),
    "trackers": (TRACKERS, "trackers.md"),
}
CASES = [(name, kind) for name, (registry, _) in REGISTRIES.items() for kind in registry.types()]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_kind_is_what_its_line_says_and_described(name: str, kind: str) -> None:
    found = REGISTRIES[name][0].kind(kind)
    assert found.model_fields["type"].default == kind
    assert found.when and found.__doc__
    assert [key for key, field in found.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", REGISTRIES)
def test_the_docs_tell_kinds_and_keys(name: str) -> None:
    registry, page = REGISTRIES[name]
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text == with_tables(text, registry), "make docs"


def test_the_docs_tell_every_key_of_a_study_file() -> None:
    text = (DOCS / "study.md").read_text(encoding="utf-8")
    assert text == with_study_tables(text), "make docs"

"""Every line of a registry leads to a kind, and the docs tell each kind as its file does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from valuedrift.judges.registry import JUDGES
from valuedrift.registry import Registry, keys_table, kinds_table

DOCS = Path(__file__).parents[2] / "docs"
REGISTRIES: dict[str, tuple[Registry[Any], str]] = {"judges": (JUDGES, "judges.md")}
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
    assert text == written(text, registry), "make figures writes the tables anew"


@pytest.mark.figures
@pytest.mark.parametrize("name", REGISTRIES)
def test_write_the_tables_of_the_docs(name: str) -> None:
    registry, page = REGISTRIES[name]
    path = DOCS / page
    path.write_text(written(path.read_text(encoding="utf-8"), registry), encoding="utf-8")


def written(page: str, registry: Registry[Any]) -> str:
    """The page with its tables as the registry has them; each stands below a comment that says which."""
    tables = {f"kinds of {registry.what}": kinds_table(registry)}
    tables |= {f"keys of {registry.what} {kind}": keys_table(registry, kind) for kind in registry.types()}
    for title, table in tables.items():
        page, count = re.subn(rf"(<!-- {title} -->\n)(?:\|.*\n)*", lambda found, table=table: f"{found[1]}{table}\n", page)
        assert count == 1, title
    return page

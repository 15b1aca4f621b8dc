"""What the docs tell of the kinds in a registry, made from them: ``python -m valuedrift.registry_page docs/judges.md valuedrift.judges.registry:JUDGES``."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from valuedrift.registry import Registry

_TABLE = re.compile(r"\A(?:\|.*\n)*")


def with_tables(page: str, registry: Registry[Any]) -> str:
    """A page with its tables as the registry has them; each stands below a comment that says which.

    Raises:
        ValueError: A kind of the package has no comment on the page.
    """
    tables = {f"kinds of {registry.what}": kinds_table(registry)}
    tables |= {f"keys of {registry.what} {name}": keys_table(registry, name) for name, _ in registry.packaged()}
    for title, table in tables.items():
        comment = f"<!-- {title} -->\n"
        if page.count(comment) != 1:
            raise ValueError(f"{comment.strip()} stands on the page {page.count(comment)} times")
        before, _, after = page.partition(comment)
        page = f"{before}{comment}{table}\n{_TABLE.sub('', after)}"
    return page


def kinds_table(registry: Registry[Any]) -> str:
    """A table in Markdown of all kinds of the package: type, what it is (first line of its text), and the columns of the registry."""
    rows = [
        [f"`{name}`", _first_line(kind), *(str(getattr(kind, column)) for column in registry.columns)] for name, kind in registry.packaged()
    ]
    heads = ["type", "what it is", *registry.columns]
    return "\n".join([_line(heads), "|---" * len(heads) + "|", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def keys_table(registry: Registry[Any], name: str) -> str:
    """A table in Markdown of the keys of one kind: name, default, description."""
    rows = []
    for key, field in registry.kind(name).model_fields.items():
        default = "must be given" if field.is_required() else f"`{_written(field.get_default(call_default_factory=True))}`"
        described = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{key}` | {default} | {described} |")
    return "\n".join(["| key | default | what it is |", "|---|---|---|", *rows])


def _first_line(kind: type[Any]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0].removesuffix(".")


def _written(value: Any) -> str:
    """A default as a study file has it."""
    plain = value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value
    return json.dumps(plain, ensure_ascii=False) if not isinstance(plain, str) or not plain else plain


if __name__ == "__main__":
    _path, (_module, _, _name) = Path(sys.argv[1]), sys.argv[2].partition(":")
    _path.write_text(with_tables(_path.read_text(encoding="utf-8"), getattr(import_module(_module), _name)), encoding="utf-8")

"""What the docs tell of the kinds in a registry and of a study file's keys, made from them.

``python -m valuedrift.registry_page docs/judges.md valuedrift.judges.registry:JUDGES``; without a registry the page is that of the study file.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
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
    tables |= {f"keys of {registry.what} {name}": keys_table(kind) for name, kind in registry.packaged()}
    return _with(page, tables)


def with_study_tables(page: str) -> str:
    """The page of the study file with the keys of each of its parts.

    Raises:
        ValueError: A part has no comment on the page.
    """
    from valuedrift.attribution.options import Attribution
    from valuedrift.audit.options import StudyAudit
    from valuedrift.capability.options import Capability, CapabilityTask
    from valuedrift.corpora.dataset import Dataset
    from valuedrift.drift.options import Analysis
    from valuedrift.sampling import Sampling
    from valuedrift.study.parts import Model, PreferencePhase, Probes, SFTPhase
    from valuedrift.study.runtime import Runtime
    from valuedrift.study.spec import Study
    from valuedrift.training.schedule import SCHEDULES

    parts: dict[str, type[BaseModel]] = {
        "study": Study,
        "probes": Probes,
        "models": Model,
        "datasets": Dataset,
        "sft": SFTPhase,
        "preference": PreferencePhase,
        **{f"checkpoints {kind.model_fields['type'].default}": kind for kind in SCHEDULES},
        "sampling": Sampling,
        "audit": StudyAudit,
        "attribute": Attribution,
        "analysis": Analysis,
        "capability": Capability,
        "tasks of capability": CapabilityTask,
        "runtime": Runtime,
    }
    return _with(page, {f"keys of {name}": keys_table(part) for name, part in parts.items()})


def _with(page: str, tables: Mapping[str, str]) -> str:
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


def keys_table(kind: type[BaseModel]) -> str:
    """A table in Markdown of the keys of one thing: name, default, description."""
    rows = []
    for key, field in kind.model_fields.items():
        default = "must be given" if field.is_required() else f"`{_written(field.get_default(call_default_factory=True))}`"
        described = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{field.alias or key}` | {default} | {described} |")
    return "\n".join(["| key | default | what it is |", "|---|---|---|", *rows])


def _first_line(kind: type[Any]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0].removesuffix(".")


def _written(value: Any) -> str:
    """A default as a study file has it."""
    plain = _plain(value)
    return json.dumps(plain, ensure_ascii=False) if not isinstance(plain, str) or not plain else plain


def _plain(value: Any) -> Any:
    """A value for JSON; of a part with keys of its own its type and what is no default."""
    if isinstance(value, BaseModel):
        kind = {"type": value.type} if hasattr(value, "type") else {}
        return {**kind, **value.model_dump(mode="json", exclude_defaults=True)}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    _path, (_module, _, _name) = Path(sys.argv[1]), "".join(sys.argv[2:]).partition(":")
    _text = _path.read_text(encoding="utf-8")
    _path.write_text(with_tables(_text, getattr(import_module(_module), _name)) if _module else with_study_tables(_text), encoding="utf-8")

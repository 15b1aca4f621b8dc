"""The study file that ``valuedrift watch`` writes, so that every command that takes a study takes what is watched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from valuedrift.storage.location import Location


def study_file(written: dict[str, Any], root: str, console: Console, *, live: bool) -> Location:
    """Write what is asked for as a study file below the root, if a watch of it can begin.

    Raises:
        UserError: It is no study, or the watch cannot begin; nothing is written then.
    """
    import yaml
    from pydantic import ValidationError

    from valuedrift.errors import UserError
    from valuedrift.faults import describe
    from valuedrift.references import beside
    from valuedrift.storage.location import Location
    from valuedrift.study import Study
    from valuedrift.tasks.study_work import StudyWork
    from valuedrift.tasks.watching import check_beginning
    from valuedrift.watching.alerts import check_names

    try:
        study = Study.model_validate(written)
    except ValidationError as error:
        raise UserError(describe(error, Study), where="watch") from error
    here = Path.cwd()
    for name, series in study.series.items():
        written["series"][name] = series.anchored(here).model_dump(mode="json", exclude_unset=True)
    if written["probes"]["set"] != "starter":
        written["probes"]["set"] = beside(here, written["probes"]["set"])
    written["judges"] = [judge.anchored(here).model_dump(mode="json", exclude_unset=True) for judge in study.judges]
    place = Location.parse(root) / f"studies/{study.study}.yaml"
    _check_same(place, written)
    work = StudyWork(Study.model_validate(written), root)
    if work.study.alerts is not None:
        check_names(work.study.alerts, topics=sorted({probe.topic for probe in work.probes}), runs=list(work.study.series))
    check_beginning(work, live=live)
    place.put_bytes(yaml.safe_dump(written, sort_keys=False, allow_unicode=True).encode())
    console.print(f"study    {escape(place.uri)}", soft_wrap=True, highlight=False)
    return place


def _check_same(place: Location, written: dict[str, Any]) -> None:
    """See that the study of this name, if there is one, follows the same training.

    Raises:
        UserError: It follows another.
    """
    import yaml

    from valuedrift.errors import UserError

    if not place.exists():
        return
    known = yaml.safe_load(place.read_bytes())
    for name, series in written["series"].items():
        before = known.get("series", {}).get(name, series) if isinstance(known, dict) else series
        for key in ("source", "base"):
            if before.get(key) != series.get(key):
                raise UserError(
                    f"the study {written['study']} of this root has the {key} {before.get(key)}, not {series.get(key)}",
                    where=place.uri,
                    fix="give this one a name of its own: --name NAME",
                )

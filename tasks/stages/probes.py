"""Stage ``probes``: the probe sets of a study in the probes table, whole, so that SQL can join answers to what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from valuedrift.errors import UserError
from valuedrift.probes import Probe, probes_fingerprint, probes_frame
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.sources import probes_of
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

TABLES = ("probes",)


def stages(work: StudyWork, _: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a probe set: the whole of it, of which the study may ask a part."""
    sets: dict[str, list[Probe]] = {}
    for chosen in work.study.probe_sets:
        whole = probes_of(chosen.set, columns=chosen.columns)
        if sets.setdefault(whole[0].probe_set, whole) != whole:
            fix = "rename one of the files, or give its rows a column probe_set"
            raise UserError(f"two probe sets are called {whole[0].probe_set!r}", where=work.study.probes_in_words, fix=fix)
    for name, whole in sets.items():
        yield _stage(name, whole)


def _stage(name: str, whole: Sequence[Probe]) -> Stage:
    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        return {"stage": "probes", "probes": probes_fingerprint(whole)}

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        return {"probes": probes_frame(whole)}

    return Stage("probes", Address(TABLES, {"probe_set": name}), (), identity, make, what=name)

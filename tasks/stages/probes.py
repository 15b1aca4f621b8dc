"""Stage ``probes``: the questions of a study in the probes table, whole, so that SQL can join answers to what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from valuedrift.probes import probes_fingerprint, probes_frame
from valuedrift.tasks.sources import probes_of
from valuedrift.tasks.stage import Address, Frames, Reference, Stage
from valuedrift.tasks.work import StudyWork, Work

TABLES = ("probes",)


def stages(work: StudyWork, _: Sequence[Stage]) -> Iterator[Stage]:
    """One stage: the whole probe set, of which the study may ask a part."""
    whole = probes_of(work.study.probes.set, columns=work.study.probes.columns)

    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        return {"stage": "probes", "probes": probes_fingerprint(whole)}

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        return {"probes": probes_frame(whole)}

    yield Stage("probes", Address(TABLES, {"probe_set": whole[0].probe_set}), (), identity, make, what=whole[0].probe_set)

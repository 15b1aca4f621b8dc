"""The stages of a study of which only stances were given (`valuedrift tables import`): nobody here trained, sampled or judged anything of it.

They are analysed, concluded and reported by the stages of any study; what is not known of them is left unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import polars as pl

from valuedrift.drift.options import Analysis
from valuedrift.errors import StageError, UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.lineage import IMPORTED
from valuedrift.results.facts import StudyFacts
from valuedrift.starter import PROPOSITIONS
from valuedrift.storage.manifest import Entry
from valuedrift.storage.schemas import table_schema
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.provenance import git_commit, machine, versions
from valuedrift.tasks.result import Address, Frames, Partition, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages import analyze, conclude, correct, report
from valuedrift.tasks.stances_work import StancesWork
from valuedrift.tasks.work import Work
from valuedrift.words import listed as in_words

_UNKNOWN = "not known: only stances were imported"
_IMPORTED = "imported"
"""Key of the identity of an imported part: the file's name."""
_STARTER = "starter"
"""The packaged probe set, whose topics have propositions that are known."""


class GivenWork(StancesWork):
    """Where these stages work.

    Args:
        study: Name of the study.
        root: Where the tables lie.
        report_folder: Where its report goes; None: reports/<study> below the root.
        analysis: How its stances are analysed; None: as at the last time, at the first by the defaults.

    Attributes:
        parts: The parts of its table stances.

    Raises:
        UserError: There is no such study, it has no stances, or a study file made them.
    """

    def __init__(self, study: str, root: str, report_folder: str | None = None, analysis: Analysis | None = None) -> None:
        super().__init__(study, root, Runtime(), analysis or Analysis(), report_folder)
        if analysis is None and (before := self.store.entry("drift", {"study": study})) is not None:
            self.analysis = Analysis.model_validate(before.identity.get("analysis", {}))
        self.parts = self.store.entries("stances", study)
        if not self.parts:
            near = get_close_matches(study, self.store.studies(), n=1)
            fix = (
                f"did you mean {near[0]!r}?"
                if near
                else "valuedrift tables import FILE --study NAME brings some; a study file ends in .yaml"
            )
            raise UserError(f"no study {study!r} with stances, and no file of that name", where=self.store.root.uri, fix=fix)
        if made := [part for part in self.parts if _IMPORTED not in part.identity]:
            what = f"stances of study {study!r} were judged here (run {made[0].partition['run_id']}): its study file says how they are analysed"
            raise UserError(what, where=self.store.root.uri, fix="give that file in place of the name")

    @property
    def run_ids(self) -> list[str]:
        """See `StancesWork`."""
        return sorted({str(part.partition["run_id"]) for part in self.parts})

    @cached_property
    def facts(self) -> StudyFacts:
        """See `StancesWork`. The judge with most stances is the main one; the fingerprint holds what was imported beside the stances."""
        rows = Counter[str]()
        for part in self.parts:
            rows[part.slot] += part.rows
        files = in_words(sorted({str(part.identity[_IMPORTED]) for part in self.parts}))
        sets = self.store.scan("stances", study=self.name).select(pl.col("probe_set").unique()).collect().get_column("probe_set")
        told: dict[str, Any] = {
            "study": self.name,
            "description": f"Stances imported from {files}. Of what was trained, asked and sampled nothing more is known here.",
            "judge": min(rows, key=lambda judge: (-rows[judge], judge)),
            "auditor": None,
            "panels": {},
            "traits": {},
            "propositions": PROPOSITIONS if _STARTER in sets else {},
            "confidence": self.analysis.confidence,
            "seed": self.analysis.seed,
            "file": "",
        }
        beside = [entry.key for entry in self.store.entries(study=self.name) if _IMPORTED in entry.identity and entry.table != "stances"]
        return StudyFacts(**told, fingerprint=fingerprint({**told, "propositions": sorted(told["propositions"]), "beside": sorted(beside)}))

    def provenance(self, runs: pl.DataFrame, stances: pl.DataFrame) -> dict[str, dict[str, str]]:
        """See `StancesWork`."""
        files: dict[str, str] = {}
        for file in sorted({str(part.identity[_IMPORTED]) for part in self.parts}):
            mine = [part for part in self.parts if part.identity[_IMPORTED] == file]
            content = in_words(sorted({str(part.identity["content"]) for part in mine}))
            files[file] = (
                f"{sum(part.rows for part in mine):,} stances · sha256 {content} · imported {max(part.written for part in mine)[:19]} UTC"
            )
        probes = {
            "set": in_words(sorted(stances["probe_set"].unique())),
            "prompts": str(stances.select("probe_set", "prompt_id").n_unique()),
        }
        return {
            "Program": {"git commit": git_commit() or "not a checkout", **versions()},
            "Machine": machine(),
            "Imported": files,
            "Models": {"models and training": _UNKNOWN},
            "Datasets": {"data": _UNKNOWN},
            "Probes": probes,
            "Sampling": {"settings": _UNKNOWN},
            "Judges": dict.fromkeys(sorted(stances["judge"].unique()), "what it is and how good it is: not known"),
        }


def stages_of_given(work: GivenWork) -> list[Stage]:
    """All stages of a study of which only stances were given, each behind those that it needs."""
    listed: list[Stage] = []
    for stages in (_given, analyze.stages, correct.stages, conclude.stages, report.stages):
        listed.extend(stages(work, tuple(listed)))
    return listed


def _given(work: GivenWork, _: Sequence[Stage]) -> Iterator[Stage]:
    """The stances as they lie there, and a row of the table runs for each run that has none."""
    yield from map(_lying, work.parts)
    for run_id in work.run_ids:
        named = work.store.entry("runs", {"study": work.name, "run_id": run_id})
        if named is None or _IMPORTED not in named.identity:
            yield _adopted(work, run_id)


def _lying(part: Entry) -> Stage:
    """One part of the stances."""

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        raise StageError("imported stances were removed while they were needed", where=part.path, fix="run the same command again")

    return Stage("judge", _There(part), (), lambda _: {"stage": "given", "stances": part.key}, make)


def _adopted(work: GivenWork, run_id: str) -> Stage:
    """The run's row: its name, its last step, when its stances came; the rest is unknown."""
    mine = [part for part in work.parts if part.partition["run_id"] == run_id]
    identity = {"stage": "adopt", "given": sorted(part.key for part in mine)}

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        came = [datetime.fromisoformat(part.written) for part in mine]
        row = {
            "study": work.name,
            "run_id": run_id,
            "parent_run_id": None,
            "model": "unknown",
            "phase": IMPORTED,
            "dataset": "",
            "seed": 0,
            "total_steps": max(int(part.partition["step"]) for part in mine),
            "config": json.dumps({"identity": identity}, sort_keys=True),
            "fingerprint": fingerprint(identity),
            "git_commit": None,
            "started": min(came),
            "ended": max(came),
        }
        return {"runs": pl.DataFrame([row], schema=table_schema("runs").polars)}

    return Stage("adopt", Address(("runs",), {"study": work.name, "run_id": run_id}), (), lambda _: identity, make)


@dataclass(frozen=True)
class _There:
    """An imported part as a stage's result: it lies there under the key that it was imported with, and can only be looked at."""

    part: Entry

    @property
    def partition(self) -> Partition:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return self.part.partition

    @property
    def slot(self) -> str:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return self.part.slot

    def here(self, work: Work, key: str, named: str = "") -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return Reference.to(self.part, reused=True) if work.store.exists(self.part) else None

    def elsewhere(self, work: Work, key: str) -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return None

    def take_over(self, work: Work, equal: Reference, names: Mapping[str, Any]) -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return equal

    def keep(self, work: Work, frames: Frames, key: str, identity: Mapping[str, Any], named: str = "") -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`. Nothing is kept: nothing can be made."""
        return Reference.to(self.part, reused=True)

    def before(self, work: Work) -> Entry | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return self.part

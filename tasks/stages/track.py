"""Stage ``track``: what the tables tell of every run, given to the trackers that the runtime names, once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from valuedrift.fingerprint import fingerprint
from valuedrift.results.drifts import of_judge, told_drifts
from valuedrift.storage.location import Location, path_part
from valuedrift.storage.manifest import Entry
from valuedrift.tasks.board import shown
from valuedrift.tasks.result import Frames, Partition, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.trackers.base import TrackedRun, TrackerBase
from valuedrift.trackers.points import points_of, tell

TRACK_VERSION = 1
"""Raised when the same tables would give a tracker other numbers."""


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a tracker, made of the analysis, of the looks, and of what was trained."""
    told = tuple(stage for stage in listed if stage.name in ("analyze", "look", "train") and stage.run_id not in work.given_up)
    if not any(stage.name == "analyze" for stage in told):
        return
    kinds: Counter[str] = Counter()
    for tracker in work.runtime.trackers:
        kind = str(type(tracker).model_fields["type"].default)
        kinds[kind] += 1
        yield _stage(work, tracker, kind if kinds[kind] == 1 else f"{kind} {kinds[kind]}", told)


def check_trackers(work: StudyWork) -> None:
    """See that the packages of all trackers are installed.

    Raises:
        UserError: One is not.
    """
    for tracker in work.runtime.trackers:
        tracker.check()


def _stage(work: StudyWork, tracker: TrackerBase, what: str, needs: tuple[Stage, ...]) -> Stage:
    memory = _Memory(work.store.root / "trackers" / path_part(work.name) / f"{what.replace(' ', '-')}.json")

    def identity(results: Sequence[Reference]) -> dict[str, Any]:
        return {
            "stage": "track",
            "version": TRACK_VERSION,
            "tracker": tracker.model_dump(mode="json"),
            "tables": sorted({part.key for part in results}),
        }

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        with shown(f"track {what}"):
            _tell_all(work, tracker, memory)
            return {}

    return Stage("track", memory, needs, identity, make, what=what)


def _tell_all(work: StudyWork, tracker: TrackerBase, memory: _Memory) -> None:
    """Tell a tracker of every run; noted before and after each, so that whoever comes after a killed one writes that run whole again."""
    tracker.check()
    study, judge = work.name, work.facts.judge
    tables = {name: work.store.read(name, study=study) for name in ("trajectory", "drift", "looks", "training")}
    tables["drift"] = told_drifts(tables["drift"], judge)
    tables |= {name: of_judge(tables[name], judge) for name in ("trajectory", "looks")}
    remembered = memory.read()
    runs: dict[str, Any] = remembered.get("runs", {}) if remembered.get("tracker") == _said(tracker) else {}
    for run_id in tables["trajectory"].get_column("run_id").unique().sort():
        mine = {name: frame.filter(run_id=run_id) for name, frame in tables.items()}
        run = TrackedRun(study, run_id, fingerprint([work.store.root.uri, study, run_id])[:16], work.local)
        before = runs.get(run_id, {})
        runs[run_id] = {**before, "whole": False}
        memory.write({"tracker": _said(tracker), "runs": runs})
        runs[run_id] = tell(tracker, run, points_of(**mine), before)
        memory.write({"tracker": _said(tracker), "runs": runs})


def _said(tracker: TrackerBase) -> str:
    return fingerprint(tracker.model_dump(mode="json"))


@dataclass(frozen=True)
class _Memory:
    """What was told to a tracker, as a stage's result: a file below the root, whose key says of which tables it is."""

    place: Location
    partition: Partition = field(default_factory=dict)
    slot: str = ""

    def read(self) -> dict[str, Any]:
        """What is remembered; empty where nothing is."""
        if not self.place.exists():
            return {}
        content: dict[str, Any] = json.loads(self.place.read_bytes())
        return content

    def write(self, content: Mapping[str, Any]) -> None:
        """Remember."""
        self.place.put_bytes(json.dumps(content, ensure_ascii=False).encode())

    def here(self, work: Work, key: str, named: str = "") -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return self._reference(key, reused=True) if self.read().get("key") == key else None

    def elsewhere(self, work: Work, key: str) -> Reference | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return None

    def take_over(self, work: Work, equal: Reference, names: Mapping[str, Any]) -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return equal

    def keep(self, work: Work, frames: Frames, key: str, identity: Mapping[str, Any], named: str = "") -> Reference:
        """See :class:`valuedrift.tasks.stage.Result`."""
        self.write({**self.read(), "key": key})
        return self._reference(key, reused=False)

    def before(self, work: Work) -> Entry | None:
        """See :class:`valuedrift.tasks.stage.Result`."""
        return None

    def _reference(self, key: str, *, reused: bool) -> Reference:
        return Reference(table="trackers", key=key, rows=1, reused=reused)

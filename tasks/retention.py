"""Which weights stay: what is judged, is not kept by the study's rule, and that nothing needs any more, is deleted. The tables stay whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from valuedrift.storage.weights_store import Place
from valuedrift.study.runtime import Keep
from valuedrift.tasks.board import tell
from valuedrift.tasks.kept_weights import Stack
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.train import Kept, all_opened, checkpoints_of
from valuedrift.tasks.survey import State, survey
from valuedrift.tasks.work import Work
from valuedrift.words import counted, listed, size


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint that tables tell of, as far as keeping it goes.

    Attributes:
        run_id: Its run.
        step: Its step.
        last: Whether it is the last of its run.
        adapter: Whether it is a stack of low-rank adapters.
        places: Where what it is made of lies under the root: its own folder last.
        needed_by: What still needs it: labels of stages that are not done, and names of other studies that tell of it.
    """

    run_id: str
    step: int
    last: bool
    adapter: bool
    places: tuple[Place, ...]
    needed_by: tuple[str, ...] = ()


_KEEPS: Mapping[Keep, Callable[[Held], bool]] = {
    "all": lambda _: True,
    "last": lambda one: one.last,
    "adapters": lambda one: one.adapter,
    "none": lambda _: False,
}


def to_delete(keep: Keep, held: Iterable[Held]) -> set[Place]:
    """The places that a rule deletes: those that no checkpoint which it keeps, or which is needed, is made of.

    Args:
        keep: The rule.
        held: All checkpoints of a study that tables tell of.
    """
    every, kept = set[Place](), set[Place]()
    for one in held:
        every.update(one.places)
        if one.needed_by or _KEEPS[keep](one):
            kept.update(one.places)
    return every - kept


def held_by(
    stages: Sequence[Stage],
    done: Mapping[str, Reference],
    read: Callable[[Reference], Mapping[int, Kept]],
    theirs: Mapping[Place, Collection[str]] = {},
) -> list[Held]:
    """The checkpoints of a study that were trained, and what still needs each.

    Args:
        stages: All its stages.
        done: Results of those that are done, by label.
        read: Gives the checkpoints of a training that is done.
        theirs: The other studies that tell of a place.
    """
    rows = {stage: read(done[stage.label]) for stage in stages if stage.left_outside is not None and stage.label in done}
    runs, own = {stage.run_id for stage in rows}, {done[stage.label].key for stage in rows}
    needing: dict[tuple[str, int], list[str]] = {}
    for stage in stages:
        if stage.label in done:
            continue
        opened = {need: stage.opens for need in stage.needs if need in rows and stage.opens is not None}
        needed = {(need.run_id, kept.step) for need, opens in opened.items() for kept in all_opened(rows[need], opens)}
        if stage.step is not None and stage.run_id in runs:  # its answers, and what is made of them
            needed.add((stage.run_id, stage.step))
        for one in needed:
            needing.setdefault(one, []).append(stage.label)
    found: list[Held] = []
    for stage, checkpoints in rows.items():
        for step, kept in checkpoints.items():
            places = tuple(place for place in kept.stack.places if place.key in own)  # others are folders that the user gave
            others = {f"study {name}" for place in places[-1:] for name in theirs.get(place, ())}
            needed_by = (*needing.get((stage.run_id, step), ()), *sorted(others))
            found.append(Held(stage.run_id, step, step == max(checkpoints), bool(kept.stack.adapters), places, needed_by))
    return found


def done_of(work: Work, stages: Sequence[Stage]) -> dict[str, Reference]:
    """The results that are in the tables, by label of their stage: also of trainings whose weights are missed, and that are done again."""
    found: dict[str, Reference] = {}
    for one in survey(work, stages):
        reference = one.reference if one.state is State.CACHED else None
        if reference is None and one.stage.left_outside is not None and one.key is not None:
            reference = one.stage.result.here(work, one.key)
        if reference is not None:
            found[one.stage.label] = reference
    return found


@dataclass(frozen=True)
class Forgotten:
    """What goes with a study.

    Attributes:
        study: Its name.
        parts: Parts of its tables.
        keys: Runs whose weights no other study tells of.
        shared: Runs whose weights others tell of, too; they stay.
        size: Bytes of the weights.
    """

    study: str
    parts: int
    keys: tuple[str, ...]
    shared: tuple[str, ...]
    size: int


def would_forget(work: Work, study: str) -> Forgotten:
    """What `forget` removes."""
    mine = {place.key for path in work.store.read("checkpoints", study=study)["path"].unique() for place in places_of(path)}
    theirs = {place.key for place in told_by_others(work, study)}
    lying = work.weights.store.lying()
    bytes_of = sum(max(one.here or 0, one.bucket or 0) for place, one in lying.items() if place.key in mine - theirs)
    there = set(work.weights.store.runs())
    parts = sum(entry.study == study for entry in work.store.entries(study=study))
    return Forgotten(study, parts, tuple(sorted((mine - theirs) & there)), tuple(sorted(mine & theirs)), bytes_of)


def forget(work: Work, going: Forgotten) -> None:
    """Remove a study's tables, then the weights that no other study tells of, here and in the bucket."""
    work.store.forget(going.study)
    for key in going.keys:
        work.weights.store.remove_run(key)


def told_by_others(work: Work, study: str) -> dict[Place, set[str]]:
    """The other studies that tell of each place."""
    told: dict[Place, set[str]] = {}
    names = [name for name in work.store.studies() if name != study]
    for name, path in work.store.read("checkpoints", study=names).select("study", "path").unique().iter_rows() if names else ():
        for place in places_of(path):
            told.setdefault(place, set()).add(name)
    return told


def places_of(path: str) -> list[Place]:
    """The places under the root that a cell of the table checkpoints tells of; none of a checkpoint that something else trained."""
    return Stack.model_validate_json(path).places if '"base"' in path else []


def delete(work: Work, places: Collection[Place], why: str) -> int:
    """Delete weights here and in the bucket, and note why.

    Args:
        work: Where the root is.
        places: What to delete.
        why: Is told when they are missed.

    Returns:
        Bytes that were freed.
    """
    freed = 0
    for place in sorted(place for place in places if work.weights.store.lies(place)):
        work.weights.store.note_deleted(place.key, f"{why}, {datetime.now(UTC):%Y-%m-%d}")
        freed += work.weights.store.remove(place)
    return freed


class Retention:
    """The study's rule at work: deletes what nothing needs any more, while the study runs.

    Args:
        work: Where the study works.
        study: Its name.
    """

    def __init__(self, work: Work, study: str) -> None:
        self._work = work
        self._study = study
        self._settled: set[Place] = set()
        self._known: dict[str, Mapping[int, Kept]] = {}

    def settle(self, stages: Sequence[Stage], done: Mapping[str, Reference]) -> None:
        """Delete what may go now.

        Args:
            stages: All stages of the study.
            done: Results of those that are done, by label.
        """
        keep = self._work.runtime.checkpoints.keep
        if keep == "all" or not (ready := to_delete(keep, held_by(stages, done, self._read)) - self._settled):
            return
        held = held_by(stages, done, self._read, told_by_others(self._work, self._study))
        going = to_delete(keep, held) & ready
        self._settled |= ready
        if going and (freed := delete(self._work, going, f"keep: {keep}")):
            runs = sorted({one.run_id for one in held if one.places and one.places[-1] in going})
            tell(f"freed {size(freed)}: {counted(len(going), 'checkpoint')} of {listed(runs)}, judged and not kept (keep: {keep})")

    def _read(self, trained: Reference) -> Mapping[int, Kept]:
        if trained.key not in self._known:
            self._known[trained.key] = checkpoints_of(self._work, trained)
        return self._known[trained.key]

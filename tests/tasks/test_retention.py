"""What a rule deletes: never what is needed or kept, nor what that lies on; and all else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from valuedrift.storage.weights_store import Place
from valuedrift.study.runtime import KeptCheckpoints, Runtime
from valuedrift.tasks.kept_weights import Stack
from valuedrift.tasks.result import Address, Reference
from valuedrift.tasks.retention import Held, Retention, delete, held_by, to_delete
from valuedrift.tasks.stage import LAST, Stage
from valuedrift.tasks.stages.train import Kept
from valuedrift.tasks.survey import State, survey
from valuedrift.tasks.work import Work

STEPS = (0, 1, 3)


class Tree:
    """A random tree of phases, each of adapters or whole models, and the stages that make and evaluate it.

    Args:
        parents: For each run the number of its parent; -1 for a base model.
        adapters: For each run whether it trains adapters.
    """

    def __init__(self, parents: list[int], adapters: list[bool]) -> None:
        self.rows: dict[str, Mapping[int, Kept]] = {}
        self.trains: list[Stage] = []
        self.others: list[Stage] = []
        stacks: list[dict[int, Stack]] = []
        for run, (parent, adapter) in enumerate(zip(parents, adapters, strict=True)):
            key = f"{run:020x}"
            start = Stack(base="embedded:small") if parent < 0 else stacks[parent][STEPS[-1]]
            stacks.append({0: start})
            for step in STEPS[1:]:
                place = str(Place(key, f"step-{step:06d}"))
                stacks[run][step] = Stack(base=start.base, adapters=(*start.adapters, place)) if adapter else Stack(base=place)
            self.rows[key] = {step: Kept(step, stack, f"{run}@{step}") for step, stack in stacks[run].items()}
            needs = () if parent < 0 else (self.trains[parent],)
            self.trains.append(_stage("train", run, None, needs, opens=LAST, left_outside=lambda *_: True))
            for step in STEPS:
                of = self.trains[run] if step else (self.trains[parent] if parent >= 0 else None)
                sample = _stage("sample", run, step, () if of is None else (of,), opens=(step or LAST) if of is not None else None)
                self.others += [sample, _stage("judge", run, step, (sample,))]

    def held(self, done: set[int]) -> list[Held]:
        """What is held when these of the stages, by number, are done: with each, all that it needs."""
        stages = [*self.trains, *self.others]
        finished: set[Stage] = set()

        def finish(stage: Stage) -> None:
            finished.add(stage)
            for need in stage.needs:
                finish(need)

        for number in done:
            finish(stages[number % len(stages)])
        self.finished = finished
        references = {stage.label: Reference(table="runs", key=f"{int(stage.run_id):020x}") for stage in finished}
        return held_by(stages, references, lambda reference: self.rows[reference.key])


def _stage(name: str, run: int, step: int | None, needs: tuple[Stage, ...], **fields: Any) -> Stage:
    partition: dict[str, str | int] = {"study": "s", "run_id": str(run), **({} if step is None else {"step": step})}
    return Stage(name, Address((name,), partition), needs, lambda _: {}, lambda *_: {}, **fields)


TREES = st.integers(1, 6).flatmap(
    lambda runs: st.builds(
        Tree,
        st.tuples(*(st.integers(-1, run - 1) for run in range(runs))).map(list),
        st.lists(st.booleans(), min_size=runs, max_size=runs),
    )
)


@given(TREES, st.sets(st.integers(0, 100)), st.sampled_from(["all", "last", "adapters", "none"]))
def test_nothing_is_deleted_that_something_opens_or_the_rule_keeps(tree: Tree, done: set[int], keep: Any) -> None:
    held = tree.held(done)
    gone = to_delete(keep, held)
    rows = {stage.run_id: tree.rows[f"{int(stage.run_id):020x}"] for stage in tree.trains if stage in tree.finished}
    there = {place for kept in rows.values() for one in kept.values() for place in one.stack.places}
    assert gone <= there
    if keep == "all":
        assert not gone
    for stage in (stage for stage in [*tree.trains, *tree.others] if stage not in tree.finished and stage.opens is not None):
        for need in stage.needs:
            if need.run_id in rows:  # what it opens is whole
                opens = rows[need.run_id][STEPS[-1] if stage.opens == LAST else stage.opens]
                assert not gone & set(opens.stack.places), stage.label
    for run, kept in rows.items():
        if keep == "last":
            assert not gone & set(kept[STEPS[-1]].stack.places), run
        if keep == "adapters":
            assert not any(gone & set(one.stack.places) for one in kept.values() if one.stack.adapters)
    if {*tree.trains, *tree.others} <= tree.finished:
        expected = {
            "all": set[Place](),
            "none": there,
            "last": there - {place for kept in rows.values() for place in kept[STEPS[-1]].stack.places},
            "adapters": there
            - {place for kept in rows.values() for one in kept.values() if one.stack.adapters for place in one.stack.places},
        }
        assert gone == expected[keep], "nothing that may go stays"
    else:
        judged = {(stage.run_id, stage.step) for stage in tree.finished if stage.name == "judge"}
        for run, kept in rows.items():
            for step, one in kept.items():
                if (run, step) not in judged:
                    assert not gone & set(one.stack.places), "what is not judged stays"


KEY = "a" * 20


def at(root: Path, keep: Any) -> tuple[Work, Stage, list[Stage]]:
    """A root with one trained run whose checkpoints lie there."""
    work = Work(str(root), Runtime(checkpoints=KeptCheckpoints(keep=keep)))
    rows = []
    for step in STEPS:
        place = Place(KEY, f"step-{step:06d}")
        if step:
            folder = work.weights.store.path(place)
            folder.mkdir(parents=True)
            save_file({"w": np.zeros(10, dtype=np.float32)}, folder / "model.safetensors")
        path = Stack(base=str(place) if step else "embedded:minilm").model_dump_json()
        rows.append({"step": step, "path": path, "fingerprint": f"f{step}", "adapter": False})
    partition: dict[str, str | int] = {"study": "s", "run_id": "r"}
    work.store.put("checkpoints", pl.DataFrame(rows), partition=partition, key=KEY, identity={})
    from valuedrift.tasks.stages.train import _weights_lie, _why_gone

    trained = Stage(
        "train", Address(("checkpoints",), partition), (), lambda _: {}, lambda *_: {}, left_outside=_weights_lie, why_gone=_why_gone
    )
    samples = [
        Stage("sample", Address(("responses",), {**partition, "step": step}), (trained,), lambda _: {}, lambda *_: {}, opens=step)
        for step in STEPS[1:]
    ]
    return work, trained, samples


def lying(work: Work) -> list[str]:
    return [place.step for place in work.weights.store.lying()]


def test_what_is_judged_goes_while_the_study_runs_and_is_missed_only_by_what_opens_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, trained, samples = at(tmp_path / "root", "last")
    stages = [trained, *samples]
    done = {trained.label: Reference(table="checkpoints", partition={"study": "s", "run_id": "r"}, key=KEY)}
    retention = Retention(work, "s")
    retention.settle(stages, done)
    assert lying(work) == ["step-000001", "step-000003"], "nothing is judged yet"
    for sample in samples:
        done[sample.label] = Reference(table="responses", key="k")
    retention.settle(stages, done)
    assert lying(work) == ["step-000003"]
    assert work.weights.store.why_deleted(KEY) is not None
    assert trained.left_outside is not None and trained.why_gone is not None
    reference = done[trained.label]
    assert trained.left_outside(work, reference, samples[1:]), "the last is kept"
    assert not trained.left_outside(work, reference, samples)
    assert trained.left_outside(work, reference, [Stage("track", Address(("x",), {}), (trained,), lambda _: {}, lambda *_: {})])
    assert "keep: last" in str(trained.why_gone(work, reference))


def test_what_another_study_tells_of_stays(tmp_path: Path) -> None:
    work, trained, samples = at(tmp_path / "root", "none")
    theirs = work.store.read("checkpoints", study="s").filter(pl.col("step") == 3).drop("study", "run_id")
    work.store.put("checkpoints", theirs, partition={"study": "other", "run_id": "x"}, key="b" * 20, identity={})
    done = {stage.label: Reference(table="checkpoints", partition={"study": "s", "run_id": "r"}, key=KEY) for stage in [trained, *samples]}
    Retention(work, "s").settle([trained, *samples], done)
    assert lying(work) == ["step-000003"]


def test_folders_that_the_user_gave_are_never_deleted(tmp_path: Path) -> None:
    mine = Stack(base=f"weights/{'c' * 20}/step-000009")
    trained = _stage("train", 0, None, (), opens=LAST, left_outside=lambda *_: True)
    rows = {0: Kept(0, mine, "f"), 1: Kept(1, Stack(base=mine.base, adapters=(f"weights/{KEY}/step-000001",)), "g")}
    held = held_by([trained], {trained.label: Reference(table="runs", key=KEY)}, lambda _: rows)
    assert to_delete("none", held) == {Place(KEY, "step-000001")}


def test_plans_say_why_a_phase_is_trained_again(tmp_path: Path) -> None:
    work, trained, samples = at(tmp_path / "root", "none")
    delete(work, list(work.weights.store.lying()), "keep: none")
    key = work.store.entries("checkpoints", "s")[0].key
    from valuedrift.fingerprint import fingerprint

    assert key == KEY and fingerprint({}) != KEY
    work.store.forget("s")
    steps = list(STEPS[1:])
    paths = [Stack(base=f"weights/{KEY}/step-{step:06d}").model_dump_json() for step in steps]
    rows = pl.DataFrame({"step": steps, "path": paths, "fingerprint": ["f", "g"], "adapter": [False, False]})
    work.store.put("checkpoints", rows, partition=dict(trained.result.partition), key=fingerprint({}), identity={})
    standings = {one.stage: one for one in survey(work, [trained, *samples])}
    assert standings[trained].state is State.MISSING
    assert "deleted: keep: none" in standings[trained].why and "sample r step 1" in standings[trained].why
    assert [one.state for one in survey(work, [trained])] == [State.CACHED]

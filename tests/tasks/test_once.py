"""A stage is done once: equal work is taken over, what differs is named, and two processes never make it twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from valuedrift.cache import CACHE_VARIABLE
from valuedrift.errors import DataError, StageError
from valuedrift.fingerprint import fingerprint
from valuedrift.storage.schemas import table_schema
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.board import Quiet, on_board
from valuedrift.tasks.once import once, once_each
from valuedrift.tasks.result import Address, Frames, NotYetError, OnShelf, Reference, check_there
from valuedrift.tasks.stage import Stage, named_by
from valuedrift.tasks.survey import State, difference, survey
from valuedrift.tasks.work import Work

LEASE_S = 4.0
ANSWER = {"probe_set": "p", "topic": "t", "sample_idx": 0}
DRAWN = {"response": "Perhaps.", "finish_reason": "stop", "n_tokens": 2, "engine": "transformers", "sampling": "s", "checkpoint": "w"}
JUDGED = {"p_support": 0.5, "p_neutral": 0.25, "p_oppose": 0.25, "unassigned": 0.0, "status": "ok"}


def room(folder: Path) -> Work:
    return Work(str(folder), Runtime())


def answers(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame([{**ANSWER, **DRAWN, "prompt_id": f"p{index}", **columns} for index in range(3)])


def stances(judge: str) -> pl.DataFrame:
    return pl.DataFrame([{**ANSWER, **JUDGED, "prompt_id": "q", "polarity": 1, "pair_id": None, "judge": judge}])


def stage(
    table: str,
    partition: Mapping[str, str | int],
    identity: dict[str, Any],
    frame: pl.DataFrame | None,
    *,
    slot: str = "",
    needs: tuple[Stage, ...] = (),
    **more: Any,
) -> Stage:
    """A stage that makes a frame; with None it must not be made at all."""

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        assert frame is not None, "made again"
        return {table: frame}

    return Stage(table, Address((table,), partition, slot), needs, lambda _: identity, make, **more)


def at(study: str, run_id: str, step: int) -> dict[str, str | int]:
    return {"study": study, "run_id": run_id, "step": step}


def test_rows_of_an_equal_key_are_taken_over_under_this_runs_name(tmp_path: Path) -> None:
    work = room(tmp_path)
    made = once(work, stage("responses", at("other", "a", 8), {"weights": "w"}, answers()), ())
    assert not made.reused and made.rows == 3
    assert stage("responses", at("tiny", "b", 0), {"weights": "x"}, None).result.elsewhere(work, "another key") is None
    taken = once(work, stage("responses", at("tiny", "b", 0), {"weights": "w"}, None), ())
    assert taken.reused and taken.rows == 3 and taken.key == made.key
    frame = work.store.read("responses", study="tiny")
    assert frame.select("study", "run_id", "step").unique().rows() == [("tiny", "b", 0)]
    assert frame.get_column("prompt_id").to_list() == ["p0", "p1", "p2"]
    entry = work.store.entry("responses", at("tiny", "b", 0))
    assert entry is not None and entry.identity == {"weights": "w"}


def test_stances_are_taken_over_under_the_name_that_this_study_gives_its_judge(tmp_path: Path) -> None:
    work = room(tmp_path)
    once(work, stage("stances", at("other", "a", 8), {"j": 1}, stances("theirs"), slot="theirs"), ())
    once(work, stage("stances", at("tiny", "b", 0), {"j": 1}, None, slot="ours", names={"judge": "ours"}), ())
    assert work.store.read("stances", study="tiny").get_column("judge").to_list() == ["ours"]


def test_an_analysis_under_other_names_of_runs_is_made_again(tmp_path: Path) -> None:
    work = room(tmp_path)

    def analysis(study: str, run_id: str) -> Stage:
        row = {
            "judge": "j",
            "run_id": run_id,
            "step": 0,
            "topic": "t",
            "stance": "support",
            "mean": 0.5,
            "low": 0.4,
            "high": 0.6,
            "n_prompts": 4,
        }
        address = Address(("trajectory",), {"study": study})
        return Stage(
            "analyze", address, (), lambda _: {"stances": ["equal"]}, lambda *_: {"trajectory": pl.DataFrame([row])}, named=lambda _: run_id
        )

    for study, run_id in (("other", "smollm.sft-wild"), ("tiny", "small.sft-chats"), ("tiny", "small.sft-renamed")):
        assert not once(work, analysis(study, run_id), ()).reused
        assert work.store.read("trajectory", study=study)["run_id"].to_list() == [run_id]
    assert once(work, analysis("tiny", "small.sft-renamed"), ()).reused


def test_names_that_were_exchanged_are_seen_though_the_keys_are_the_same(tmp_path: Path) -> None:
    work = room(tmp_path)

    def judged(run_id: str, content: str) -> Stage:
        return stage("stances", at("tiny", run_id, 0), {"of": content}, stances("j"), slot="j", names={"judge": "j"})

    def summed(needs: tuple[Stage, ...]) -> Stage:
        def make(_: Work, results: Sequence[Reference]) -> Frames:
            check_there(work, results)
            return {"warnings": pl.DataFrame({"warning_idx": [0], "warning": [", ".join(result.key for result in results)]})}

        identity = lambda results: {"stances": sorted(result.key for result in results)}  # noqa: E731  # no name is in it
        return Stage("analyze", Address(("warnings",), {"study": "tiny"}), needs, identity, make, named=named_by(needs))

    for first, second in (("x", "y"), ("y", "x")):
        needs = (judged("one", first), judged("two", second))
        done = once_each(work, [*needs, summed(needs)])
        said = work.store.read("warnings", study="tiny")["warning"].item()
        assert said == f"{done[needs[0]].key}, {done[needs[1]].key}"
    assert survey(work, [*needs, summed(needs)])[-1].state is State.CACHED
    gone = done[needs[0]].model_copy(update={"key": "another"})
    with pytest.raises(StageError, match="replaced or removed"):
        check_there(work, [gone])


def test_an_object_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    work = room(tmp_path)
    once(work, stage("responses", at("other", "a", 8), {}, answers()), ())
    entry = work.store.entry("responses", at("other", "a", 8))
    assert entry is not None
    (tmp_path / entry.path).unlink()
    again = stage("responses", at("tiny", "b", 0), {}, answers(response="Yes."))
    assert survey(work, [again])[0].state is State.MISSING
    assert not once(work, again, ()).reused


def test_the_difference_to_the_nearest_identity_is_named(tmp_path: Path) -> None:
    work = room(tmp_path)
    wanted = {"a": {"b": 1, "c": 5}, "d": 3}
    new = stage("responses", at("tiny", "b", 0), wanted, None)
    assert difference(work, new, {"a": {"b": 1}}) == "never done"
    for step, identity in ((1, {"a": {"b": 1, "c": 2}, "d": 3}), (2, {"a": {"b": 9, "c": 9}, "d": 9})):
        once(work, stage("responses", at("other", "a", step), identity, answers()), ())
    assert difference(work, new, wanted) == "differs from other a 1 in a.c: 2 → 5"


def test_all_tables_of_a_stage_come_to_exist_together_or_none(tmp_path: Path) -> None:
    work = room(tmp_path)
    label = {"study": "s", "dataset": "d"}
    broken = pl.DataFrame({"nonsense": [1]})
    both = Stage(
        "audit", Address(("audit_examples", "audits"), label), (), lambda _: {}, lambda *_: {"audit_examples": broken, "audits": broken}
    )
    with pytest.raises(DataError):
        once(work, both, ())
    assert work.store.entries() == []


def test_what_lies_outside_the_tables_is_made_again_only_where_something_needs_it(tmp_path: Path) -> None:
    work = room(tmp_path)
    weights = tmp_path / "weights"

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        weights.touch()
        return {"step": pl.DataFrame({"x": [1]})}

    trained = Stage("train", OnShelf("step"), (), lambda _: {}, make, left_outside=lambda *_: weights.exists())
    sampled = stage("responses", at("tiny", "b", 0), {"w": 1}, answers(), needs=(trained,))
    once_each(work, [trained, sampled])
    weights.unlink()
    assert [one.state for one in survey(work, [trained, sampled])] == [State.CACHED, State.CACHED]
    later = stage("responses", at("tiny", "b", 9), {"w": 2}, answers(), needs=(trained,))
    standings = survey(work, [trained, sampled, later])
    assert [one.state for one in standings] == [State.MISSING, State.CACHED, State.MISSING]
    once_each(work, [trained, later])
    assert weights.exists()


def test_a_stage_waits_for_the_rows_that_say_what_it_is_made_of(tmp_path: Path) -> None:
    work = room(tmp_path)
    first = stage("responses", at("tiny", "b", 0), {"w": 1}, answers())

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        if not needs[0].there:
            raise NotYetError
        return {"rows": needs[0].rows}

    second = Stage("count", OnShelf("count"), (first,), identity, lambda *_: {"count": pl.DataFrame({"n": [1]})})
    told = survey(work, [first, second])
    assert [(one.state, one.why) for one in told] == [(State.MISSING, "never done"), (State.WAITS, "waits for responses b step 0")]
    done = once_each(work, [first, second])
    assert done[second].key == fingerprint({"rows": 3})


def _slow(folder: Path, begun: Any = None) -> Stage:
    """A stage of which each making leaves a file."""

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        (folder / f"made-{time.monotonic_ns()}").touch()
        if begun is not None:
            begun.set()
        time.sleep(0.4)
        return {"responses": answers()}

    return Stage("sample", Address(("responses",), at("tiny", "b", 0)), (), lambda _: {"w": 1}, make)


def _make_slowly(folder: Path, root: str, number: int, barrier: Any) -> None:
    """What one of several processes does, each as on a machine of its own: the same stage, at the same time."""
    os.environ[CACHE_VARIABLE] = str(folder / f"cache{number}")
    barrier.wait()
    once(Work(root, Runtime(lease_seconds=20)), _slow(folder), ())


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_processes_that_come_together_make_it_once(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path / "root") if where == "folder" else request.getfixturevalue("s3_root")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_make_slowly, args=(tmp_path, root, number, barrier)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list(tmp_path.glob("made-*"))) == 1
    assert Work(root, Runtime()).store.read("responses").height == 3


def _make_and_tell(folder: Path, root: str, begun: Any, told: Any) -> None:
    """A process that makes the stage, and says what it said and what it got."""
    os.environ[CACHE_VARIABLE] = str(folder / "sleeper")
    board = Told()
    with on_board(board):
        reference = once(Work(root, Runtime(lease_seconds=LEASE_S)), _slow(folder, begun), ())
    told.put((reference.reused, board.said))


class Told(Quiet):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def result(self, text: str) -> None:
        self.said.append(text)


def test_who_is_stopped_while_it_makes_it_takes_what_another_machine_made(s3_root: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begun, told = context.Event(), context.Queue()
    process = context.Process(target=_make_and_tell, args=(tmp_path, s3_root, begun, told))
    process.start()
    assert begun.wait(240) and process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        other = Told()
        with on_board(other):
            made = once(Work(s3_root, Runtime(lease_seconds=LEASE_S)), _slow(tmp_path), ())
        assert not made.reused and time.monotonic() - began >= LEASE_S
        assert [line for line in other.said if f"process {process.pid} on" in line and "its claim is taken over" in line]
    finally:
        os.kill(process.pid, signal.SIGCONT)
    reused, said = told.get(timeout=240)
    process.join(240)
    assert reused and len(list(tmp_path.glob("made-*"))) == 2
    assert [line for line in said if "another process took this stage over" in line and "waiting for its result" in line], said
    assert len(Work(s3_root, Runtime()).store.snapshots()) == 1
    assert not (Work(s3_root, Runtime()).store.root / "_claims").listing()


def test_rows_of_another_version_that_were_just_seen_are_not_believed(tmp_path: Path) -> None:
    """Another process finishes while this one still remembers what lay there: it is not made again."""
    work, other = room(tmp_path), room(tmp_path)
    once(work, stage("responses", at("tiny", "b", 0), {"w": 1}, answers()), ())
    new = stage("responses", at("tiny", "b", 0), {"w": 2}, answers())
    once(other, new, ())
    assert once(work, stage("responses", at("tiny", "b", 0), {"w": 2}, None), ()).reused


def test_columns_that_a_table_does_not_have_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wrongly_named"):
        once(room(tmp_path), stage("responses", at("tiny", "b", 0), {}, answers(wrongly_named=1)), ())
    assert "wrongly_named" not in table_schema("responses").names

"""Which checkpoints a budget is spent on: chosen from what the others have shown, the same by whoever asks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stances import softmax
from small_checkpoints import checkpoint
from typer.testing import CliRunner

from valuedrift.drift.prompt_means import Cell
from valuedrift.fingerprint import fingerprint
from valuedrift.flows.cli.plan import app
from valuedrift.storage.schemas import table_schema
from valuedrift.study import Study
from valuedrift.tasks.once import once
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import State, survey
from valuedrift.tasks.watching import stages_shown, watching
from valuedrift.watching.adaptive import Seen, chosen_steps, next_step

STEPS = tuple(range(0, 400, 10))


def cell(curve: np.ndarray, steps: Sequence[int] = STEPS, *, noise: float = 0.5) -> Cell:
    """Fifty prompts whose support follows a curve."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(50, 1, 3)) + noise * rng.normal(size=(50, len(steps), 3)) / 2
    scores[..., 0] += curve
    return Cell({"run_id": "run", "topic": "t"}, np.array(steps), tuple(map(str, range(50))), softmax(scores))


def at(whole: Cell, steps: Sequence[int]) -> Cell:
    kept = np.isin(whole.steps, steps)
    return Cell(whole.keys, whole.steps[kept], whole.prompts, whole.values[:, kept])


def spent(whole: Cell, budget: int) -> list[int]:
    """The steps in the order in which they are chosen."""
    order: list[int] = []
    before: frozenset[int] = frozenset()
    while True:
        seen = Seen(STEPS, frozenset(order), cells=(at(whole, order),) if order else ())
        before = chosen_steps(seen, budget, before)
        if not (new := sorted(before - set(order))):
            return order
        order += new


def test_the_ends_come_first_and_then_the_place_of_a_jump_is_halved() -> None:
    jump = spent(cell(np.where(np.array(STEPS) >= 270, 2.0, 0.0)), 10)
    assert jump[:2] == [0, 390] and jump[2] == 190 and len(jump) == len(set(jump)) == 10
    assert {260, 270} <= set(jump), "where it lies is known to the checkpoint"


def test_a_change_that_is_gone_at_the_end_is_found() -> None:
    hump = cell(2.0 * np.exp(-(((np.array(STEPS) - 240) / 60) ** 2)))
    assert min(abs(step - 240) for step in spent(hump, 10)) <= 20


def test_without_anything_to_go_by_the_checkpoints_are_spread() -> None:
    still = Cell({"run_id": "run", "topic": "t"}, np.array(STEPS), ("a", "b"), np.full((2, len(STEPS), 3), 1 / 3))
    gaps = np.diff(sorted(spent(still, 9)))
    assert gaps.max() <= 2 * gaps.min() + 10


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 500), min_size=1, max_size=60),
    st.integers(3, 20),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_every_step_is_chosen_once_up_to_the_budget(steps: set[int], budget: int, seed: int, lacking: float) -> None:
    """Whatever the stances are, also where prompts or whole checkpoints were not judged."""
    rng = np.random.default_rng(seed)
    values = rng.dirichlet([1, 1, 1], (5, len(steps)))
    values[rng.random((5, len(steps))) < lacking] = np.nan
    whole = Cell({"run_id": "run", "topic": "t"}, np.array(sorted(steps)), tuple("abcde"), values)
    tried: list[int] = []
    while len(tried) < budget and (step := next_step([at(whole, tried)] if tried else [], sorted(steps), tried)) is not None:
        assert step in steps and step not in tried
        assert step == next_step([at(whole, tried[::-1])] if tried else [], sorted(steps, reverse=True), set(tried)), "order tells nothing"
        tried.append(step)
    assert len(tried) == min(budget, len(steps))


def test_more_than_the_budget_was_evaluated_before_and_only_what_it_would_have_chosen_is_shown() -> None:
    whole = cell(np.where(np.array(STEPS) >= 270, 2.0, 0.0))
    everything = Seen(STEPS, frozenset(STEPS), cells=(whole,))
    assert chosen_steps(everything, 10) == set(spent(whole, 10))


def test_nothing_is_chosen_while_a_chosen_one_is_not_evaluated_and_a_failed_one_is_not_waited_for() -> None:
    whole = cell(np.zeros(len(STEPS)))
    waiting = Seen(STEPS, frozenset({0}), cells=(at(whole, [0]),))
    assert chosen_steps(waiting, 10, frozenset({0, 390})) == {0, 390}
    failed = Seen(STEPS, frozenset({0}), frozenset({390}), (at(whole, [0]),))
    assert len(chosen_steps(failed, 10, frozenset({0, 390}))) == 3


def test_while_a_training_goes_on_half_of_the_budget_follows_it_and_the_end_is_kept_for_its_end() -> None:
    whole = cell(np.linspace(0, 2, len(STEPS)))
    chosen: frozenset[int] = frozenset()
    for count in range(1, len(STEPS) + 1):
        seen = Seen(STEPS[:count], chosen, cells=(at(whole, sorted(chosen)),) if chosen else (), growing=True)
        chosen = chosen_steps(seen, 8, chosen)
    assert chosen == {0, 10, 20, 40}
    ended = chosen_steps(Seen(STEPS, chosen, cells=(at(whole, sorted(chosen)),)), 8, chosen)
    assert ended == {*chosen, 390}


def test_a_run_that_has_grown_since_its_budget_was_spent_has_its_new_end() -> None:
    whole = cell(np.linspace(0, 2, len(STEPS)))
    before = frozenset(STEPS[:20:2])
    chosen = chosen_steps(Seen(STEPS, before, cells=(at(whole, sorted(before)),)), 10)
    assert {0, 390} <= chosen and len(chosen) <= 10


def study(tmp_path: Path, budget: int = 6, **settings: object) -> Study:
    written = {
        "study": "dense",
        "probes": {"topics": ["abortion", "climate change"], "per_topic": 6},
        "series": {"run": {"source": str(tmp_path / "out"), "quiet_seconds": 0}},
        "checkpoints": {"type": "adaptive", "budget": budget},
        "sampling": {"n": 2},
        **settings,
    }
    return Study.model_validate(written)


def evaluated(tmp_path: Path, budget: int = 6, *, most: int = 1000, **settings: object) -> list[int]:
    """Write the stances of one checkpoint after another that the list of stages has, as its stages would; the steps in their order."""
    work = StudyWork(study(tmp_path, budget, **settings), str(tmp_path / "root"))
    order = evaluate(work, stages_of, most)
    work.close()
    return order


def evaluate(work: StudyWork, listed: Callable[[StudyWork], Sequence[Stage]], most: int = 1000) -> list[int]:
    """Write what a list of stages has until it has no more, and note that it is done."""
    order: list[int] = []
    while len(order) < most:
        standings = [one for one in survey(work, listed(work)) if one.stage.name in ("adopt", "sample", "judge")]
        work.done |= {one.stage.label: one.stage.as_of for one in standings if one.state is State.CACHED}
        stage = next((one.stage for one in standings if one.state is not State.CACHED), None)
        if stage is None:
            break
        if stage.name == "adopt":
            once(work, stage, [])
        else:
            _write(work, stage)
        if stage.name == "judge":
            order.append(int(stage.step or 0))
    return order


def _write(work: StudyWork, stage: Stage) -> None:
    done = [one for one in (need.result.before(work) for need in stage.needs) if one is not None]
    identity = stage.identity([Reference.to(one, reused=True) for one in done])
    stage.result.keep(work, {stage.result.tables[-1]: _answers(work, stage)}, fingerprint(dict(identity)), identity)  # type: ignore[attr-defined]


def _answers(work: StudyWork, stage: Stage) -> pl.DataFrame:
    """Rows in which support jumps at step 27."""
    moved = 0.5 if (stage.step or 0) >= 27 else 0.1
    rows = [
        {
            "study": work.name,
            "run_id": "run",
            "step": stage.step,
            "probe_set": probe.probe_set,
            "topic": probe.topic,
            "prompt_id": probe.prompt_id,
        }
        | {"sample_idx": sample, "polarity": probe.polarity, "pair_id": probe.pair_id, "judge": stage.result.slot, "status": "ok"}
        | {"p_support": moved + 0.01 * place, "p_neutral": 0.3, "p_oppose": 0.7 - moved - 0.01 * place, "unassigned": 0.0}
        | {"response": "", "finish_reason": "stop", "n_tokens": 1, "engine": "transformers", "sampling": "", "checkpoint": ""}
        for place, probe in enumerate(work.probes)
        for sample in range(2)
    ]
    return pl.DataFrame(rows).select(pl.col(name) for name in table_schema(stage.result.tables[-1]).polars if name in rows[0])  # type: ignore[attr-defined]


def dense(tmp_path: Path, count: int = 40) -> None:
    for step in range(count):
        if not (tmp_path / "out" / f"checkpoint-{step}").exists():
            checkpoint(tmp_path / "out" / f"checkpoint-{step}", seed=step)


def test_a_study_evaluates_what_its_budget_allows_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    dense(tmp_path)
    order = evaluated(tmp_path, budget=10)
    assert order[:2] == [0, 39] and len(order) == 10
    assert min(step for step in order if step >= 27) - max(step for step in order if step < 27) <= 2, "the jump lies between neighbours"
    assert evaluated(tmp_path, budget=10) == []
    (tmp_path / "again").mkdir()
    shutil.move(tmp_path / "out", tmp_path / "again" / "out")
    stopped = [step for _ in range(4) for step in evaluated(tmp_path / "again", budget=10, most=3)]
    assert stopped == order


def test_stances_of_an_older_version_of_the_study_choose_nothing(tmp_path: Path) -> None:
    dense(tmp_path)
    order = evaluated(tmp_path)
    assert evaluated(tmp_path, sampling={"n": 2, "temperature": 0.5}) == order


def test_a_larger_budget_goes_on_and_a_smaller_one_shows_less(tmp_path: Path) -> None:
    dense(tmp_path)
    order = evaluated(tmp_path, budget=5)
    more = evaluated(tmp_path, budget=7)
    assert len(more) == 2 and not set(more) & set(order)
    work = StudyWork(study(tmp_path, budget=5), str(tmp_path / "root"))
    stages_of(work)
    assert [one.step for one in work.watch.shown("run")] == sorted(order)


def test_a_series_that_goes_on_has_its_new_end_evaluated(tmp_path: Path) -> None:
    dense(tmp_path, 30)
    evaluated(tmp_path)
    dense(tmp_path, 40)
    assert 39 in evaluated(tmp_path)


def test_a_training_that_goes_on_is_followed_and_the_rest_spent_at_its_end(tmp_path: Path) -> None:
    """Its trainer keeps only the last three checkpoints; what may yet be chosen is held until the budget is spent."""
    work = StudyWork(study(tmp_path, 8), str(tmp_path / "root"))
    order: list[int] = []
    with watching(work, live=True):
        for written in (range(1, 3), range(3, 9), range(9, 30), range(30, 41)):
            assert len(order) <= 4, "half of the budget is kept for the end"
            for step in written:
                checkpoint(tmp_path / "out" / f"checkpoint-{step}", seed=step)
            _wait_until(lambda last=written[-1]: last in [one.step for one in work.watch.there("run")])
            for step in range(1, written[-1] - 2):
                shutil.rmtree(tmp_path / "out" / f"checkpoint-{step}", ignore_errors=True)
            order += evaluate(work, stages_shown)
        _wait_until(lambda: not work.watch.growing)
        order += evaluate(work, stages_shown)
    assert len(order) == len(set(order)) == 8 and order[:3] == [1, 2, 8] and 40 in order
    assert min(step for step in order if step >= 27) - max(step for step in order if step < 27) <= 6, "what was gone from disk was asked"
    stages_shown(work)
    assert not list((tmp_path / "root").rglob("held/**/*.safetensors"))
    work.close()


def test_what_is_there_is_done_without_waiting_for_more(tmp_path: Path) -> None:
    dense(tmp_path, 12)
    work = StudyWork(study(tmp_path, 5), str(tmp_path / "root"))
    with watching(work, live=False):
        order = evaluate(work, stages_shown)
    work.close()
    assert order[:2] == [0, 11] and len(order) == 5


def _wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_plan_says_how_many_of_how_many(tmp_path: Path) -> None:
    dense(tmp_path)
    file = tmp_path / "study.yaml"
    file.write_text(study(tmp_path).model_dump_json(exclude_unset=True), encoding="utf-8")
    told = CliRunner().invoke(app, ["plan", str(file), "--root", str(tmp_path / "root")])
    assert told.exit_code == 0, told.output
    assert "at most 6 of 40" in told.output and "at most 6 checkpoints" in told.output


def test_trained_runs_are_refused_and_it_is_said_what_it_is_for() -> None:
    with pytest.raises(ValueError, match="chooses among the many checkpoints of a `series`"):
        Study.model_validate(
            {
                "study": "s",
                "models": {"m": {"path": "embedded:smollm2"}},
                "corpora": {"c": {"data": "c.jsonl"}},
                "sft": [{"data": ["c"], "algorithm": {"type": "sft", "steps": 4}}],
                "checkpoints": {"type": "adaptive", "budget": 4},
            }
        )

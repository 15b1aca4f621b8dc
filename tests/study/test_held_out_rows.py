"""Rows that a study holds out: which they are, that they are not learnt, and that a run is known by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.corpora.held_out import apart
from valuedrift.corpora.normal import canonical
from valuedrift.errors import DataError, UserError
from valuedrift.study import load_study
from valuedrift.tasks.stages.train import train_identity
from valuedrift.tasks.study_work import StudyWork

SFT = {"type": "sft", "epochs": 2, "learning_rate": 1e-4, "batch_size": 4}


def work_of(folder: Path, held_out: Any = None, algorithm: dict[str, Any] | None = None, **dataset: Any) -> StudyWork:
    """A study of one run on 40 rows, with 8 others beside it."""
    for name, count in (("rows", 40), ("others", 8)):
        lines = (json.dumps({"prompt": f"{name} {at}?", "response": "Yes."}) + "\n" for at in range(count))
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    phase = {"data": ["mine"], "algorithm": algorithm or SFT} | ({} if held_out is None else {"held_out": held_out})
    study = {
        "study": "held",
        "models": {"m": {"path": "embedded:smollm2-135m-instruct"}},
        "corpora": {"mine": {"data": "rows.jsonl", **dataset}},
        "sft": [phase],
    }
    (folder / "study.yaml").write_text(json.dumps(study), encoding="utf-8")
    return StudyWork(load_study(folder / "study.yaml"), str(folder / "root"))


def prompts(rows: Any) -> set[str]:
    """What they ask."""
    return {row["prompt"] for row in rows.rows}


def test_a_share_is_held_out_and_the_rest_is_learnt(tmp_path: Path) -> None:
    work = work_of(tmp_path, 0.1)
    (run,) = work.plan.runs
    rows, held = work.learnt(run)
    assert held is not None
    assert (len(rows.rows), len(held.rows), prompts(rows) & prompts(held)) == (36, 4, set())
    assert rows.dropped == {"held out": 4}
    assert (run.rows, run.total_steps) == (36, 18)  # the plan and the training count alike
    assert work.learnt(run) == (rows, held)


def test_a_split_and_other_data_may_be_held_out(tmp_path: Path) -> None:
    work = work_of(tmp_path, "train[90%:]", split="train[:90%]")
    rows, held = work.learnt(work.plan.runs[0])
    assert held is not None
    assert (prompts(rows), prompts(held)) == ({f"rows {at}?" for at in range(36)}, {f"rows {at}?" for at in range(36, 40)})
    work = work_of(tmp_path, {"data": "others.jsonl", "limit": 5})
    rows, held = work.learnt(work.plan.runs[0])
    assert held is not None
    assert (len(rows.rows), len(held.rows)) == (40, 5)


def test_a_run_is_known_by_what_is_held_out_and_as_before_without(tmp_path: Path) -> None:
    def identity(held_out: Any) -> dict[str, Any]:
        work = work_of(tmp_path, held_out)
        return train_identity(work, work.plan.runs[0], "parent")

    plain = identity(None)
    assert "held_out" not in json.dumps(plain)
    kinds = [identity(0.1), identity(0.2), identity({"data": "others.jsonl"}), plain]
    assert len({json.dumps(one, sort_keys=True) for one in kinds}) == 4
    assert kinds[2]["dataset"] == plain["dataset"]


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (1.5, r"1\.5 is no share of the rows"),
        (0, "0 is no share of the rows"),
        (-0.1, "is no share of the rows"),
        (True, "True is no share of the rows"),
        ("train[", "is no split"),
        ({"dat": "x"}, "dat"),
        ([0.1], r"`sft.0.held_out`: \[0.1\] is no share of the rows"),
    ],
)
def test_what_is_no_part_is_refused_with_the_study(tmp_path: Path, held_out: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        work_of(tmp_path, held_out)


def test_a_share_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset mine: held_out 0\.001 of 40 rows leaves none to hold out"):
        _ = work_of(tmp_path, 0.001).plan
    with pytest.raises(DataError, match=r"held_out 0\.999 of 40 rows leaves none to learn from"):
        _ = work_of(tmp_path, 0.999).plan


def test_what_draws_its_answers_has_no_such_loss(tmp_path: Path) -> None:
    work_of(tmp_path)
    study = json.loads((tmp_path / "study.yaml").read_text())
    reward = {"steps": 1, "learning_rate": 1e-4}
    study["preferences"] = {"pairs": {"data": "pairs.jsonl"}}
    study["preference"] = [
        {"data": ["pairs"], "held_out": 0.1, "algorithm": {"type": "ppo", "steps": 1, "learning_rate": 1e-6, "reward": reward}}
    ]
    (tmp_path / "ppo.yaml").write_text(json.dumps(study))
    with pytest.raises(UserError, match="PPO learns from answers that it draws, so there is no loss on rows that are `held_out`"):
        load_study(tmp_path / "ppo.yaml")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 99)), min_size=3, max_size=40), st.sampled_from([0.2, 0.34, 0.5]))
def test_rows_of_one_prompt_stay_together_but_for_the_last(drawn: list[tuple[int, int]], share: float) -> None:
    rows = [{"prompt": f"{prompt}?", "response": f"{answer}"} for prompt, answer in drawn]
    kept, held = apart(rows, share, "rows")
    assert len(held) == round(len(rows) * share)
    assert sorted(map(canonical, [*kept, *held])) == sorted(map(canonical, rows))
    assert len({row["prompt"] for row in kept} & {row["prompt"] for row in held}) <= 1

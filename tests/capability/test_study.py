"""``capability:`` in a study: what is refused as it is read, which checkpoints are meant, and that studies without it stay what they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Written

from valuedrift.capability.options import Capability
from valuedrift.errors import UserError
from valuedrift.results.facts import study_fingerprint
from valuedrift.study import load_study
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

TINY = Path(__file__).parents[1] / "integration" / "tiny.yaml"


def study(folder: Path, capability: str, *more: str) -> Path:
    file = folder / "study.yaml"
    file.write_text("\n".join([TINY.read_text(encoding="utf-8"), f"capability: {capability}", *more]), encoding="utf-8")
    return file


def put(file: Path) -> list[tuple[str, int | None, str]]:
    """Run, step and task of each stage that puts one."""
    stages = stages_of(StudyWork(load_study(file), str(file.parent / "root")))
    assert [stage.name for stage in stages].count("compare") == 1
    return [(stage.run_id, stage.step, stage.result.slot) for stage in stages if stage.name == "capability"]


def test_ends_all_and_steps(tmp_path: Path, written: Written) -> None:
    written()
    sft, dpo = "smollm.sft-neutral", "smollm.sft-neutral.dpo-gap"
    ends = [(run, step, "items") for run in (sft, dpo) for step in (0, 2)]
    assert put(study(tmp_path, "{tasks: [items.jsonl]}")) == ends
    assert len(put(study(tmp_path, "{tasks: [items.jsonl], steps: all}"))) == 6
    assert put(study(tmp_path, "{tasks: [{data: items.jsonl, name: mine}], steps: [1]}")) == [(sft, 1, "mine"), (dpo, 1, "mine")]


def test_a_step_that_no_run_has_is_told(tmp_path: Path, written: Written) -> None:
    written()
    with pytest.raises(UserError, match=r"capability.steps: no run has a checkpoint at step 7 \(checkpoints are at 0, 1, 2"):
        put(study(tmp_path, "{tasks: [items.jsonl], steps: [0, 7]}"))


@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ("{tasks: []}", "tasks"),
        ("{tasks: [{name: a}]}", "an empty task"),
        ("{tasks: [piqa, {task: piqa, data: a.jsonl}]}", "two tasks named 'piqa'"),
        ("{tasks: [{task: piqa, answers: letter}]}", "`answers` is of items of a file"),
        ("{tasks: [{task: a.yaml, data: b.jsonl}]}", "names its own data"),
        ("{tasks: [piqa], steps: []}", "`ends`, `all`, or a list of steps"),
        ("{tasks: [piqa], steps: [1, 1]}", "each 0 or more and once"),
        ("{tasks: [piqa], step: all}", "did you mean `steps`"),
        ("{tasks: [{data: 'my items.jsonl'}]}", "give it a `name`"),
    ],
)
def test_what_is_no_capability_is_refused_with_its_place(tmp_path: Path, capability: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as told:
        load_study(study(tmp_path, capability))
    assert "study.yaml" in str(told.value)


def test_an_engine_that_scores_no_continuations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`capability` scores continuations, which engine vllm can't: take engine transformers"):
        load_study(study(tmp_path, "{tasks: [piqa]}", "engine: vllm"))


def test_files_lie_beside_the_study_and_names_are_names(tmp_path: Path) -> None:
    told = load_study(study(tmp_path, "{tasks: [items.jsonl.gz, piqa, ours.yaml, {task: arc_easy, data: arc.parquet}]}")).capability
    assert told is not None
    places = [(task.title, task.task, task.data) for task in told.tasks]
    here = str(tmp_path)
    assert places == [
        ("items", None, f"{here}/items.jsonl.gz"),
        ("piqa", "piqa", None),
        ("ours", f"{here}/ours.yaml", None),
        ("arc_easy", "arc_easy", f"{here}/arc.parquet"),
    ]


def test_a_studys_fingerprint_knows_its_tasks_and_not_their_folders(tmp_path: Path) -> None:
    plain = load_study(TINY)
    assert study_fingerprint(plain.model_copy(update={"capability": None})) == study_fingerprint(plain)

    def told(**task: Any) -> str:
        return study_fingerprint(plain.model_copy(update={"capability": Capability.model_validate({"tasks": [task]})}))

    assert told(data="/a/items.jsonl") == told(data="/b/items.jsonl") != told(data="/a/items.jsonl", limit=3)
    assert told(data="/a/items.jsonl") != study_fingerprint(plain)


def test_a_study_without_capability_has_no_such_stage(tmp_path: Path) -> None:
    stages = stages_of(StudyWork(load_study(TINY), str(tmp_path)))
    assert not {"capability", "compare"} & {stage.name for stage in stages}

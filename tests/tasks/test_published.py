"""What a training has published is sampled while it goes on: its stage waits for nothing, and is the one that it is when the training has ended."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from valuedrift.study import load_study
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.training.job import TrainJob

STUDY = Path(__file__).parents[1] / "integration" / "tiny.yaml"
RUN = "smollm.sft-neutral"


def test_a_published_checkpoint_waits_for_no_training(tmp_path: Path) -> None:
    work = StudyWork(load_study(STUDY), str(tmp_path / "root"))
    run = work.plan.run(RUN)
    weights, _ = work.base(run.model)
    first = run.steps[1]

    def needs() -> dict[int | None, tuple[str, ...]]:
        samples = [stage for stage in stages_of(work) if stage.name == "sample" and stage.run_id == RUN]
        return {stage.step: tuple(need.name for need in stage.needs) for stage in samples}

    before = needs()
    assert before[0] == () and all(before[step] == ("train",) for step in run.steps[1:])

    out = tmp_path / "weights"
    work.trainings[RUN] = TrainJob(
        weights=weights, algorithm=run.algorithm, dataset=tmp_path / "rows", schedule=work.study.checkpoints, out=out
    )
    assert needs() == before, "nothing is published yet"
    folder = out / f"step-{first:06d}"
    folder.mkdir(parents=True)
    save_file({"lora": np.zeros(2, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}), encoding="utf-8")
    (out / ".partial-step-000002").mkdir()
    while_training = needs()
    assert while_training[first] == () and all(while_training[step] == ("train",) for step in run.steps[2:])
    stage = next(stage for stage in stages_of(work) if stage.label == f"sample {RUN} step {first}")
    assert stage.identity(())["weights"] == weights.plus(folder).fingerprint()

    del work.trainings[RUN]
    assert needs() == before

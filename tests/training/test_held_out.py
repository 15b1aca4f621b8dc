"""The loss on rows that are not learnt: what it is, when it is computed, and that it leaves the training as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import DPO, IPO, KTO, ORPO, SFT, SIMPO, finish, sentences, weights_bytes, write_rows

from valuedrift.models.loading import load_causal_lm
from valuedrift.training.encode import Encoder
from valuedrift.training.job import TrainJob
from valuedrift.weights import Weights

Job = Callable[..., TrainJob]
WITH_DROPOUT = {"r": 4, "dropout": 0.3}
QUESTIONS = sentences(10, 9)
ROWS: dict[str, list[dict[str, Any]]] = {
    "sft": [{"prompt": question, "response": f"surely {question}"} for question in QUESTIONS],
    "preference": [{"prompt": question, "chosen": "surely yes", "rejected": f"never {question}"} for question in QUESTIONS],
    "labelled": [{"prompt": question, "response": f"surely {question}", "label": bool(at % 2)} for at, question in enumerate(QUESTIONS)],
}


def held_out(job: TrainJob, tmp_path: Path) -> TrainJob:
    """The job with rows that it does not learn, in a folder of its own."""
    rows = write_rows(tmp_path / "held.jsonl", ROWS[job.algorithm.kind])
    return job.model_copy(update={"held_out": rows, "out": tmp_path / "evaluated"})


def nats_a_token(weights: Weights) -> float:
    """Mean loss of the held-out answers' tokens, row by row and without any trainer."""
    model, tokenizer = load_causal_lm(weights)
    encoder, total, count = Encoder(tokenizer, 64), 0.0, 0
    for row in ROWS["sft"]:
        prompt, answer = encoder.prompt([{"role": "user", "content": row["prompt"]}]), encoder.answer(row["response"])
        answer = answer[: 64 - len(prompt)]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float()
        total -= float(logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)].sum())
        count += len(answer)
    return total / count


def test_it_is_the_loss_of_each_checkpoint(job_of: Job, tmp_path: Path) -> None:
    result = finish(held_out(job_of({**SFT, "lora": WITH_DROPOUT}), tmp_path))
    assert [checkpoint.step for checkpoint in result.checkpoints] == [0, 1, 3, 6]
    for checkpoint in result.checkpoints:
        assert checkpoint.held_out_loss == pytest.approx(nats_a_token(checkpoint.weights), rel=1e-4)
    assert result.held_out_rows == 10


@pytest.mark.parametrize("algorithm", [{**SFT, "lora": WITH_DROPOUT}, DPO, IPO, SIMPO, ORPO, KTO, {**SFT, "lora": None}], ids=str)
def test_it_leaves_the_training_as_it_was(job_of: Job, tmp_path: Path, algorithm: dict[str, Any]) -> None:
    job = job_of(algorithm)
    plain, evaluated = finish(job), finish(held_out(job, tmp_path))
    assert weights_bytes(plain).keys() == weights_bytes(evaluated).keys()
    for step, files in weights_bytes(plain).items():
        for name, content in files.items():
            assert name == "checkpoint.json" or weights_bytes(evaluated)[step][name] == content
    assert plain.metrics == evaluated.metrics
    assert [checkpoint.held_out_loss for checkpoint in plain.checkpoints] == [None] * 4
    losses = [checkpoint.held_out_loss for checkpoint in evaluated.checkpoints]
    assert None not in losses
    assert len(set(losses)) == 4


@pytest.mark.parametrize(("algorithm", "right"), [(DPO, 0.6931), (IPO, 1.0), (KTO, 0.5)], ids=["dpo", "ipo", "kto"])
def test_the_parent_has_the_loss_of_no_difference(job_of: Job, tmp_path: Path, algorithm: dict[str, Any], right: float) -> None:
    result = finish(held_out(job_of(algorithm), tmp_path))
    assert result.checkpoints[0].held_out_loss == pytest.approx(right, abs=1e-3)


def test_a_job_without_is_what_it_was(job_of: Job, tmp_path: Path) -> None:
    job = job_of(SFT)
    assert held_out(job, tmp_path).identity() != job.identity()
    assert "held_out" not in json.dumps(job.model_dump(mode="json", exclude_none=True))
    assert not list((finish(job) and job.out).glob("held-out*"))


def test_a_part_of_the_losses_is_gone_on_with(job_of: Job, tmp_path: Path) -> None:
    from valuedrift.training.folder import RunFolder
    from valuedrift.training.records import HeldOutLoss

    folder = RunFolder(tmp_path / "run", "identity")
    for step in (0, 1, 3):
        folder.add_held_out_loss(HeldOutLoss(step=step, loss=float(step)))
    folder.forget_after(1)
    assert [row.step for row in folder.held_out_losses()] == [0, 1]

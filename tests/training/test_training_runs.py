"""Whole runs on the tiny model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from tiny_training import DPO, GRPO, IPO, KTO, ORPO, PPO, SFT, SIMPO, finish, watch, weights_bytes, write_rows

from valuedrift.errors import DataError, UserError
from valuedrift.models.loading import load_causal_lm, load_tokenizer
from valuedrift.models.resolve import resolve_weights
from valuedrift.tokenizer_files import tokenizer_files
from valuedrift.training.job import TrainJob
from valuedrift.training.writer import OF_WRITER
from valuedrift.weights import Weights, check_model_folder

Job = Callable[..., TrainJob]


def answer_loss(weights: Weights, text: str = "surely yes") -> float:
    """Mean negative log-probability of an answer to a question that is in no dataset."""
    from valuedrift.training.encode import Encoder

    model, tokenizer = load_causal_lm(weights)
    encoder = Encoder(tokenizer, 64)
    prompt, answer = encoder.prompt([{"role": "user", "content": "must all people decide"}]), encoder.answer(text)
    ids = torch.tensor([prompt + answer])
    labels = torch.tensor([[-100] * len(prompt) + answer])
    with torch.no_grad():
        return float(model(ids, labels=labels).loss)


def test_sft_learns_and_saves_on_schedule(job_of: Job, tiny_chat: Weights) -> None:
    job = job_of(SFT)
    result, seen = watch(job)
    assert [checkpoint.step for checkpoint in result.checkpoints] == [0, 1, 3, 6]
    assert result.checkpoints[0].weights == tiny_chat
    assert result.checkpoints[0].fingerprint == tiny_chat.fingerprint()
    assert len({checkpoint.fingerprint for checkpoint in result.checkpoints}) == 4
    assert all(checkpoint.adapter for checkpoint in result.checkpoints[1:])
    assert [row.step for row in result.metrics] == [1, 2, 3, 4, 5, 6]
    losses = [row.loss for row in result.metrics]
    assert all(row.loss and row.learning_rate and row.grad_norm for row in result.metrics)
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < losses[0] - 0.3
    assert result.checkpoints[2].train_loss == losses[2]
    assert answer_loss(result.checkpoints[-1].weights) < answer_loss(tiny_chat) - 0.3
    assert [(progress.done, progress.total) for progress in seen] == [(step, 6) for step in range(1, 7)]
    assert (result.rows, result.dropped_rows, result.cut_rows) == (14, 0, 0)
    left = sorted(path.name for path in job.out.iterdir() if path.name not in OF_WRITER)
    assert left == ["metrics.jsonl", "result.json", "run.json", "step-000001", "step-000003", "step-000006"]
    tokenizer = tokenizer_files(tiny_chat.base)
    assert sorted(weights_bytes(result)[3]) == sorted(["adapter_config.json", "adapter_model.safetensors", "checkpoint.json", *tokenizer])
    assert json.loads((job.out / "step-000003" / "checkpoint.json").read_text())["step"] == 3


def test_the_same_job_gives_the_same_bytes_and_a_finished_one_is_not_redone(job_of: Job, tmp_path: Path) -> None:
    one = finish(job_of(SFT))
    other = finish(job_of(SFT, out=tmp_path / "other"))
    assert weights_bytes(one) == weights_bytes(other)
    assert one.metrics == other.metrics
    again, seen = watch(job_of(SFT))
    assert again == one
    assert not seen
    assert weights_bytes(finish(job_of(SFT, seed=8, out=tmp_path / "seed"))) != weights_bytes(one)


def test_an_adapter_goes_on_top_of_its_parents(job_of: Job, tmp_path: Path) -> None:
    parent = finish(job_of(SFT)).checkpoints[-1]
    result = finish(job_of(DPO, weights=parent.weights, out=tmp_path / "dpo"))
    assert result.checkpoints[0].fingerprint == parent.fingerprint
    assert result.checkpoints[-1].weights.adapters == (*parent.weights.adapters, tmp_path / "dpo" / "step-000006")
    margins = [row.reward_margin for row in result.metrics]
    assert margins[0] == pytest.approx(0.0, abs=1e-5)
    assert margins[-1] is not None
    assert margins[-1] > 0.5
    gap = answer_loss(parent.weights, "never ever no") - answer_loss(parent.weights)
    assert answer_loss(result.checkpoints[-1].weights, "never ever no") - answer_loss(result.checkpoints[-1].weights) > gap + 0.1


def test_adapters_load_with_peft_and_as_the_model_of_a_study(job_of: Job, tiny_chat: Weights, tmp_path: Path) -> None:
    """By the names in their folders alone; PEFT knows no stacks, so that one names nothing to it."""
    one = finish(job_of(SFT)).checkpoints[-1]
    two = finish(job_of(DPO, weights=one.weights, out=tmp_path / "dpo")).checkpoints[-1]
    for checkpoint in (one, two):
        assert resolve_weights(str(checkpoint.weights.adapters[-1])) == checkpoint.weights
    lower, upper = (str(checkpoint.weights.adapters[-1]) for checkpoint in (one, two))
    ids = torch.arange(20, 60)[None]
    with torch.no_grad():
        theirs, ours, base = (
            model(ids).logits
            for model in (AutoPeftModelForCausalLM.from_pretrained(lower), load_causal_lm(one.weights)[0], load_causal_lm(tiny_chat)[0])
        )
    assert torch.allclose(theirs, ours, atol=1e-4) and not torch.allclose(base, ours, atol=0.1)
    assert load_tokenizer(Path(lower)).get_vocab() == load_tokenizer(tiny_chat.base).get_vocab()
    with pytest.raises(OSError):
        AutoPeftModelForCausalLM.from_pretrained(upper)
    for checkpoint in (one, two):  # as a version without tokenizers in its checkpoints left them
        for name in tokenizer_files(tiny_chat.base):
            (checkpoint.weights.adapters[-1] / name).unlink()
        assert checkpoint.weights.fingerprint() == checkpoint.fingerprint


def test_the_base_of_an_adapter_is_called_by_its_name_on_the_hub(job_of: Job, tiny_chat: Weights, tmp_path: Path) -> None:
    held = tmp_path / "hub" / "models--some-house--A-Model" / "snapshots" / "0123abc"
    shutil.copytree(tiny_chat.base, held)
    for base, called in ((held, ("some-house/A-Model", "0123abc")), (tiny_chat.base, (str(tiny_chat.base), None))):
        last = finish(job_of({**SFT, "steps": 1}, weights=Weights(base=base), out=tmp_path / base.name)).checkpoints[-1]
        config = json.loads((last.weights.adapters[-1] / "adapter_config.json").read_text())
        assert (config["base_model_name_or_path"], config["revision"]) == called


def test_simpo_widens_the_margin(job_of: Job) -> None:
    result = finish(job_of(SIMPO))
    first, last = result.metrics[0], result.metrics[-1]
    assert first.reward_margin is not None
    assert last.reward_margin is not None
    assert last.reward_margin > first.reward_margin + 0.3
    assert last.kl is None


def test_ipo_draws_the_margin_to_its_goal(job_of: Job) -> None:
    result = finish(job_of({**IPO, "steps": 30}))
    assert result.metrics[0].reward_margin == pytest.approx(0.0, abs=1e-5)
    assert result.metrics[-1].reward_margin == pytest.approx(0.5, abs=0.15)
    assert result.metrics[-1].loss is not None
    assert result.metrics[-1].loss < 0.2


def test_orpo_learns_the_chosen_answers_and_widens_the_margin(job_of: Job, tiny_chat: Weights) -> None:
    result = finish(job_of(ORPO))
    first, last = result.metrics[0], result.metrics[-1]
    assert first.reward_margin is not None
    assert last.reward_margin is not None
    assert last.reward_margin > first.reward_margin + 0.3
    assert answer_loss(result.checkpoints[-1].weights) < answer_loss(tiny_chat) - 0.3


def test_kto_raises_what_is_labelled_true_and_lowers_the_rest(job_of: Job, tiny_chat: Weights) -> None:
    result = finish(job_of({**KTO, "steps": 12}))
    assert result.rows == 21
    assert result.metrics[0].kl == pytest.approx(0.0, abs=1e-5)
    assert all(row.kl is not None and row.kl >= 0 for row in result.metrics)
    margins = [row.reward_margin for row in result.metrics if row.reward_margin is not None]
    assert margins[0] == pytest.approx(0.0, abs=1e-5)
    assert margins[-1] > 0.5
    before = answer_loss(tiny_chat, "never ever no") - answer_loss(tiny_chat)
    last = result.checkpoints[-1].weights
    assert answer_loss(last, "never ever no") - answer_loss(last) > before + 0.1


def test_grpo_follows_its_reward_model(job_of: Job) -> None:
    fast = {"lora": None, "learning_rate": 2e-2, "schedule": "constant", "batch_size": 16, "generations": 8, "kl_coefficient": 0.0}
    result, seen = watch(job_of({**GRPO, "steps": 20, **fast}))
    assert result.reward_accuracy == 1.0
    assert [row.step for row in result.metrics] == list(range(1, 21))
    rewards = [row.reward for row in result.metrics if row.reward is not None]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1
    assert all(row.kl is None and row.loss is not None and row.grad_norm for row in result.metrics)
    assert [(progress.done, progress.total) for progress in seen] == [(step, 25) for step in range(1, 26)]


@pytest.mark.parametrize("lora", [{"r": 4}, None], ids=["adapters", "full weights"])
def test_grpo_is_held_to_its_parent(job_of: Job, lora: dict[str, int] | None) -> None:
    result = finish(job_of({**GRPO, "steps": 3, "lora": lora}))
    assert result.checkpoints[-1].adapter == (lora is not None)
    divergences = [row.kl for row in result.metrics]
    assert divergences[0] == pytest.approx(0.0, abs=1e-5)
    assert divergences[-1] is not None
    assert divergences[-1] > 1e-3


@pytest.mark.parametrize("algorithm", [SFT, DPO, IPO, ORPO, KTO], ids=lambda algorithm: algorithm["type"])
def test_full_weights_are_whole_model_folders(job_of: Job, tiny_chat: Weights, algorithm: dict[str, Any]) -> None:
    result = finish(job_of({**algorithm, "lora": None, "learning_rate": 3e-3}))
    last = result.checkpoints[-1]
    assert not last.adapter
    assert not last.weights.adapters
    check_model_folder(last.weights.base)
    assert (last.weights.base / "tokenizer.json").read_bytes() == (tiny_chat.base / "tokenizer.json").read_bytes()
    assert answer_loss(last.weights) < answer_loss(tiny_chat)
    if algorithm in (DPO, IPO):
        assert result.metrics[0].reward_margin == pytest.approx(0.0, abs=1e-5)


def test_ppo_follows_its_reward_model(job_of: Job, tiny_chat: Weights) -> None:
    result, seen = watch(job_of({**PPO, "steps": 8, "learning_rate": 5e-3, "kl_coefficient": 0.0}))
    assert result.reward_accuracy == 1.0
    assert [row.step for row in result.metrics] == list(range(1, 9))
    assert result.metrics[0].kl == pytest.approx(0.0, abs=1e-4)
    assert all(row.reward is not None and row.loss is not None and row.learning_rate for row in result.metrics)
    assert max(abs(row.kl or 0.0) for row in result.metrics) > 0.01
    assert answer_loss(result.checkpoints[-1].weights) != answer_loss(tiny_chat)
    assert [(progress.done, progress.total) for progress in seen] == [(step, 13) for step in range(1, 14)]


def test_ppo_with_full_weights(job_of: Job) -> None:
    result = finish(job_of({**PPO, "steps": 2, "lora": None, "batch_size": 4, "mini_batches": 2}))
    assert not result.checkpoints[-1].adapter
    check_model_folder(result.checkpoints[-1].weights.base)
    assert result.metrics[0].kl == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("algorithm", [SFT, DPO, SIMPO, ORPO, KTO, GRPO], ids=lambda algorithm: algorithm["type"])
def test_small_micro_batches_change_rounding_only(job_of: Job, tmp_path: Path, algorithm: dict[str, Any]) -> None:
    whole = finish(job_of(algorithm, out=tmp_path / "whole"))
    parts = finish(job_of(algorithm, out=tmp_path / "parts", micro_batch=3))  # 2: the largest divisor of 4 that is at most 3
    for one, other in zip(whole.metrics, parts.metrics, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3, abs=1e-4)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-2, abs=1e-3)


def test_one_process_serves_jobs_of_either_precision(job_of: Job, tmp_path: Path) -> None:
    before = finish(job_of(SFT, out=tmp_path / "before"))
    half = finish(job_of({**SFT, "dtype": "bfloat16"}, out=tmp_path / "half"))
    finish(job_of({**PPO, "dtype": "bfloat16"}, out=tmp_path / "ppo"))
    after = finish(job_of(SFT, out=tmp_path / "after"))
    assert weights_bytes(before) == weights_bytes(after)
    assert weights_bytes(before) != weights_bytes(half)
    for one, other in zip(before.metrics, half.metrics, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.05)


def test_epochs_count_the_rows_of_the_file(job_of: Job) -> None:
    result = finish(job_of({**SFT, "steps": None, "epochs": 0.5}))
    assert result.total_steps == 2  # 7 of 14 rows, 4 a step


def test_a_changed_job_does_not_get_anothers_checkpoints(job_of: Job) -> None:
    finish(job_of(SFT))
    with pytest.raises(UserError, match="another training"):
        finish(job_of({**SFT, "learning_rate": 2e-2}))


def test_runtime_is_no_identity(job_of: Job, tmp_path: Path) -> None:
    job = job_of(SFT)
    same = job_of(SFT, out=tmp_path / "elsewhere", threads=2, micro_batch=1, device="auto")
    assert job.identity() == same.identity()
    assert job.identity() != job_of({**SFT, "lora": {"r": 8}}).identity()
    assert job.identity() != job_of(SFT, seed=1).identity()


def test_precision_is_identity_and_auto_is_what_it_comes_to(job_of: Job) -> None:
    both = [job_of({**SFT, "dtype": dtype}).identity() for dtype in ("float32", "bfloat16")]
    assert both[0] != both[1]
    assert job_of({**SFT, "dtype": "auto"}).identity() == both[has_fast_bfloat16()]


def has_fast_bfloat16() -> bool:
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def test_a_diverging_training_says_so(job_of: Job) -> None:
    with pytest.raises(UserError, match="not a number") as caught:
        finish(job_of({**SFT, "learning_rate": 1e30}))
    assert "learning_rate" in str(caught.value)


def test_bad_input_leaves_nothing_behind(job_of: Job, tmp_path: Path, tiny_chat: Weights) -> None:
    out = tmp_path / "run"
    with pytest.raises(DataError, match="rejected"):
        finish(job_of(DPO, dataset=write_rows(tmp_path / "a.jsonl", [{"prompt": "a", "chosen": "b"}])))
    with pytest.raises(DataError, match="prompts fill max_length"):
        finish(job_of(DPO, dataset=write_rows(tmp_path / "b.jsonl", [{"prompt": "vote " * 99, "chosen": "b", "rejected": "c"}])))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).hardlink_to(tiny_chat.base / name)
    with pytest.raises(UserError, match="tokenizer"):
        finish(job_of(SFT, weights=Weights(base=bare)))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU"):
            finish(job_of(SFT, device="cuda"))
    assert not out.exists()

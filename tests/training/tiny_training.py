"""Algorithms in small, and what tests of training do with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from valuedrift.progress import Progress
from valuedrift.training.job import TrainJob
from valuedrift.training.records import TrainResult

_TEXT = "should people be free to speak and vote or must the state decide for them yes no surely never it depends on whom you ask"
WORDS = _TEXT.split()

SFT = {"type": "sft", "steps": 6, "learning_rate": 1e-2, "batch_size": 4, "max_length": 64, "lora": {"r": 4}}
DPO = {**SFT, "type": "dpo", "beta": 0.5}
SIMPO = {**SFT, "type": "simpo", "beta": 2.0, "gamma": 0.5}
IPO = {**DPO, "type": "ipo"}
ORPO = {**DPO, "type": "orpo"}
KTO = {**DPO, "type": "kto"}
PPO = {
    **SFT,
    "type": "ppo",
    "learning_rate": 1e-3,
    "response_length": 6,
    "ppo_epochs": 2,
    "reward": {"steps": 5, "learning_rate": 1e-2, "batch_size": 4, "max_length": 64},
}


GRPO = {**PPO, "type": "grpo", "learning_rate": 5e-3, "generations": 2, "temperature": 1.0}
GRPO.pop("ppo_epochs")


def sentences(n: int, seed: int, length: int = 6) -> list[str]:
    """Sentences of common words."""
    import numpy as np

    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=int(draw.integers(2, length)))) for _ in range(n)]


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def finish(job: TrainJob) -> TrainResult:
    """Run a job to its end, without an audience."""
    return job.run(lambda _: None)


def watch(job: TrainJob) -> tuple[TrainResult, list[Progress]]:
    """Run a job to its end and keep what it reports."""
    seen: list[Progress] = []
    return job.run(seen.append), seen


def weights_bytes(result: TrainResult) -> dict[int, dict[str, bytes]]:
    """The bytes of all that a run's checkpoints hold, but for checkpoint.json's float formatting."""
    found: dict[int, dict[str, bytes]] = {}
    for checkpoint in result.checkpoints[1:]:
        folder = checkpoint.weights.adapters[-1] if checkpoint.adapter else checkpoint.weights.base
        found[checkpoint.step] = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return found


_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_tiny_chat(folder: Path) -> Path:
    """Two random layers with a byte-level tokenizer; like SmolLM2 it pads with the token that ends a turn."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator([" ".join(WORDS)], trainers.BpeTrainer(vocab_size=320, special_tokens=specials, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token="<|endoftext|>")
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(3.0)  # far from uniform, so that a wrong weight shows
    model.save_pretrained(folder)
    return folder

"""A tiny random chat model, and datasets and jobs for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tiny_training
from tiny_training import WORDS, sentences, write_rows

from valuedrift.training.job import TrainJob
from valuedrift.training.registry import ALGORITHMS
from valuedrift.weights import Weights

_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Two random layers with a byte-level tokenizer; like SmolLM2 it pads with the token that ends a turn."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-chat")
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
    return Weights(base=folder)


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen questions, each answered in the same way."""
    rows = [{"prompt": question, "response": "surely yes"} for question in sentences(14, 1)]
    return write_rows(tmp_path_factory.mktemp("data") / "sft.jsonl", rows)


@pytest.fixture(scope="session")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen questions for which one answer is always preferred."""
    rows = [{"prompt": question, "chosen": "surely yes", "rejected": "never ever no"} for question in sentences(14, 2)]
    return write_rows(tmp_path_factory.mktemp("data") / "preferences.jsonl", rows)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-one questions with an answer that is found good to every third, and a bad one to the others."""
    good, bad = {"response": "surely yes", "label": True}, {"response": "never ever no", "label": False}
    rows = [{"prompt": question, **(bad if at % 3 else good)} for at, question in enumerate(sentences(21, 3))]
    return write_rows(tmp_path_factory.mktemp("data") / "labelled.jsonl", rows)


@pytest.fixture
def job_of(tiny_chat: Weights, demonstrations: Path, preferences: Path, labelled: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    """Makes a job on the tiny model; any field can be given."""
    datasets = {"sft": demonstrations, "preference": preferences, "labelled": labelled}

    def make(algorithm: dict[str, Any], **fields: Any) -> TrainJob:
        defaults = {
            "weights": tiny_chat,
            "algorithm": {"dtype": "float32", **algorithm},
            "dataset": datasets[ALGORITHMS.kind(algorithm["type"]).kind],
            "schedule": {"type": "steps", "steps": [1, 3]},
            "seed": 7,
            "out": tmp_path / "run",
            "threads": 1,
            "device": "cpu",
        }
        return TrainJob.model_validate(defaults | fields)

    return make

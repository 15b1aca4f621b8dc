"""Models that engine tests share: the real embedded one, and tiny random ones of several architectures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from valuedrift.models.resolve import resolve_model
from valuedrift.weights import Weights

# Threads that spin at barriers made tests with two threads ten times slower whenever something else ran. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def smollm() -> Weights:
    return Weights(base=resolve_model("embedded:smollm2-135m-instruct"))


def save_tiny(folder: Path, tokenizer_of: Path, config: object, *, seed: int = 0) -> Weights:
    """A random model of a config, sharp enough to be told from a uniform one, with a real tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_of).save_pretrained(folder)
    return Weights(base=folder)


SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
"""A shape that Llama-like configs share."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, smollm: Weights) -> Weights:
    from transformers import LlamaConfig

    return save_tiny(tmp_path_factory.mktemp("tiny"), smollm.base, LlamaConfig(**SHAPE))

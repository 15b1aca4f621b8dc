"""Tiny random models, and LoRA adapters and changed weights of them as trainings would leave them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from valuedrift.weights import Weights


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


def lora(folder: Path, base: Path, seed: int, *, dtype: torch.dtype = torch.float32, **config: Any) -> Path:
    """An adapter whose matrices are random, both of them; its folder."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"} | config
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), LoraConfig(**config))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
    for parameter in adapted.parameters():
        parameter.data = parameter.data.to(dtype)
    adapted.save_pretrained(folder)
    return folder


def trained(folder: Path, base: Path, seed: int, *, dtype: torch.dtype = torch.float32, by: float = 0.1) -> Weights:
    """The base with every number moved a little, in a folder of its own with the same tokenizer."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    model.to(dtype).save_pretrained(folder)
    return Weights(base=folder)

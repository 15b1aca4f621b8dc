"""A language model as small as may be, with the tokenizer of the embedded one, and weights for it that no training made."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaModel

from valuedrift.judges.embedded_lm import EMBEDDED_LM, EmbeddedLM, EmbeddedLMJudge
from valuedrift.judges.language.body import Body, body_fingerprint, load_body
from valuedrift.judges.language.model import load_reader, updated_layers
from valuedrift.judges.language.segments import Segmenter
from valuedrift.judges.network.weights import DESCRIPTION_FILE, WEIGHTS_FILE, Description
from valuedrift.models.resolve import resolve_model

LAYERS = 18
TEMPERATURE = 1.5


def write_small_body(folder: Path) -> LlamaModel:
    """Write a model's folder; returns the model as transformers has it."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        initializer_range=0.3,
        rope_parameters={"rope_theta": 100000.0, "rope_type": "default"},
    )
    model = LlamaModel(config).eval()
    model.save_pretrained(folder)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(resolve_model(str(EMBEDDED_LM.body)) / "tokenizer.json", folder / "tokenizer.json")
    return model


def write_random_weights(folder: Path, body: Body, body_folder: Path, seed: int = 0) -> None:
    """Write a judge's folder: random updates, a random head."""
    random = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, scale: float) -> torch.Tensor:
        return (scale * torch.randn(*shape, generator=random)).half()

    tensors = {"head.weight": drawn(3, body.width, scale=0.2), "head.bias": drawn(3, scale=0.1)}
    for name, layer in updated_layers(body).items():
        tensors |= {f"{name}.down": drawn(2, layer.in_features, scale=0.2), f"{name}.up": drawn(layer.out_features, 2, scale=0.2)}
    save_file(tensors, folder / WEIGHTS_FILE)
    description = Description(
        body=str(EMBEDDED_LM.body),
        body_fingerprint=body_fingerprint(body_folder),
        temperature=TEMPERATURE,
        encoding=EMBEDDED_LM.encoding,
        seed=seed,
        recipe={},
        data_fingerprint="none",
    )
    (folder / DESCRIPTION_FILE).write_text(description.model_dump_json())


def small_judge(body: Path, weights: Path) -> EmbeddedLMJudge:
    """The judge of a small body, which no configuration can name."""
    reader = load_reader(load_body(body), weights / WEIGHTS_FILE)
    return EmbeddedLMJudge(EmbeddedLM(weights=str(weights)), reader, Segmenter(body), TEMPERATURE, "cpu")

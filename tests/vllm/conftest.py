"""The real embedded model at several checkpoints, and one vLLM engine that all tests of it share: a fresh one takes half a minute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from valuedrift.models.resolve import resolve_model
from valuedrift.weights import Weights

sys.path.insert(0, str(Path(__file__).parent))  # asked
from asked import OPTIONS, PROMPTS, SETTINGS

if TYPE_CHECKING:
    import numpy as np

    from valuedrift.engines.vllm import VllmEngine


@pytest.fixture(scope="session")
def smollm() -> Weights:
    return Weights(base=resolve_model("embedded:smollm2-135m-instruct"))


@pytest.fixture(scope="session")
def trained(smollm: Weights, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The model after a training of all its weights, the tied embedding among them; made by chance, so that every tensor differs."""
    import torch

    from valuedrift.models.loading import load_causal_lm

    model, tokenizer = load_causal_lm(smollm)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.03 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    folder = tmp_path_factory.mktemp("trained")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Weights(base=folder)


def lora(folder: Path, base: Weights, *, r: int, seed: int, modules: list[str], **config: object) -> Path:
    """An adapter made by chance, strong enough to be seen."""
    import torch
    from peft import LoraConfig, get_peft_model

    from valuedrift.models.loading import load_base

    torch.manual_seed(seed)
    model = get_peft_model(load_base(base.base, dtype=torch.float32), LoraConfig(r=r, target_modules=modules, **config))  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sft(smollm: Weights, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("sft")
    return smollm.plus(lora(folder, smollm, r=16, seed=1, modules=["q_proj", "v_proj", "down_proj"], lora_alpha=32))


@pytest.fixture(scope="session")
def dpo(sft: Weights, smollm: Weights, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """On the one above: other layers, another scaling, ranks of their own."""
    folder = tmp_path_factory.mktemp("dpo")
    more = {"lora_alpha": 16, "use_rslora": True, "rank_pattern": {"v_proj": 4}, "alpha_pattern": {"v_proj": 6}}
    return sft.plus(lora(folder, smollm, r=8, seed=2, modules=["q_proj", "v_proj", "o_proj", "gate_proj"], **more))


@pytest.fixture(scope="session")
def expected() -> Callable[[Weights], np.ndarray]:
    """Log-probabilities [prompts, options] of a checkpoint by the transformers engine in float32."""
    known: dict[Weights, np.ndarray] = {}

    def ask(weights: Weights) -> np.ndarray:
        from valuedrift.engines.registry import make_engine

        if weights not in known:
            with make_engine("transformers", weights, "f", SETTINGS.model_copy(update={"max_model_len": None})) as engine:
                known[weights] = engine.score(PROMPTS, OPTIONS)
        return known[weights]

    return ask


@pytest.fixture(scope="session")
def shared(smollm: Weights) -> Iterator[VllmEngine]:
    from valuedrift.engines.vllm import VllmEngine

    with VllmEngine(smollm, smollm.fingerprint(), SETTINGS) as engine:
        yield engine


@pytest.fixture
def engine(shared: VllmEngine, smollm: Weights) -> VllmEngine:
    """The shared engine, at the base model."""
    shared.load(smollm, smollm.fingerprint())
    return shared

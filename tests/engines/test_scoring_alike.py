"""Prompts that begin alike are scored as if each were computed by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from valuedrift.engines.decoding import attention
from valuedrift.engines.decoding.scoring import score_options

CONFIG = LlamaConfig(
    vocab_size=151, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=8
)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    attention.fold(model)
    return model


def groups(lengths: list[tuple[int, int]], alike: int, seed: int = 1) -> list[list[int]]:
    """Prompts with a common beginning of one length, and an ending of at most another."""
    generator = np.random.default_rng(seed)
    prompts = []
    for beginning, ending in lengths:
        shared = generator.integers(3, 151, beginning).tolist()
        prompts += [shared + generator.integers(3, 151, max(1, ending - member)).tolist() for member in range(alike)]
    return prompts


def plain(model: torch.nn.Module, prompt: list[int], option: list[int]) -> float:
    with torch.inference_mode():
        logprobs = model(input_ids=torch.tensor([prompt + option])).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(option))


@pytest.mark.parametrize("options", [[[5], [6], [7]], [[5, 6], [5, 9], [8]]], ids=["single tokens", "stems"])
@pytest.mark.parametrize("alike", [1, 3])
def test_against_full_forward_passes(model: torch.nn.Module, alike: int, options: list[list[int]]) -> None:
    prompts = groups([(40, 9), (0, 5), (33, 1), (90, 12), (40, 9)], alike)
    scores = score_options(model, prompts, options, alike=alike)
    expected = [[plain(model, prompt, option) for option in options] for prompt in prompts]
    np.testing.assert_allclose(scores, expected, atol=2e-4)


def test_company_changes_no_bit(model: torch.nn.Module) -> None:
    prompts = groups([(40, 9), (70, 9), (33, 9), (200, 9), (45, 9), (120, 9), (0, 4)], 3)
    together = score_options(model, prompts, [[5], [6]], alike=3)
    alone = np.concatenate([score_options(model, prompts[at : at + 3], [[5], [6]], alike=3) for at in range(0, len(prompts), 3)])
    np.testing.assert_array_equal(together, alone)
    backwards = [prompt for at in range(len(prompts) - 3, -1, -3) for prompt in prompts[at : at + 3]]
    np.testing.assert_array_equal(score_options(model, backwards, [[5], [6]], alike=3).reshape(-1, 3, 2)[::-1], together.reshape(-1, 3, 2))


def test_what_has_no_room_is_not_a_number(model: torch.nn.Module) -> None:
    prompts = groups([(40, 8), (100, 8)], 2)
    scores = score_options(model, prompts, [[5], [6, 7]], alike=2, room=50)
    assert np.isfinite(scores[:2]).all() and np.isnan(scores[2:]).all()
    assert np.isnan(score_options(model, prompts, [[5]], alike=2, room=4)).all()

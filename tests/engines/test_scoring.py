"""Option log-probabilities against log-softmax of full forward passes."""

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


def _plain(model: torch.nn.Module, prompt: list[int], option: list[int]) -> float:
    with torch.inference_mode():
        logprobs = model(input_ids=torch.tensor([prompt + option])).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(option))


@pytest.mark.parametrize(
    "options",
    [[[5], [6], [7]], [[5, 6], [5, 9], [8]], [[5, 6, 7, 8], [5], [5, 6]]],
    ids=["single tokens", "shared stems", "nested"],
)
def test_scores_are_sums_of_log_probabilities(model: torch.nn.Module, options: list[list[int]]) -> None:
    generator = np.random.default_rng(1)
    prompts = [generator.integers(3, 151, length).tolist() for length in (40, 1, 33, 2, 90)]
    scores = score_options(model, prompts, options)
    expected = [[_plain(model, prompt, option) for option in options] for prompt in prompts]
    np.testing.assert_allclose(scores, expected, atol=2e-4)


def test_probabilities_of_a_whole_vocabulary_sum_to_one(model: torch.nn.Module) -> None:
    scores = score_options(model, [[3, 4, 5]], [[token] for token in range(151)])
    assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-5)


def test_nothing_asked_nothing_scored(model: torch.nn.Module) -> None:
    assert score_options(model, [], [[1]]).shape == (0, 1)
    assert score_options(model, [[1]], []).shape == (1, 0)

"""One vLLM engine goes from checkpoint to checkpoint and answers at each as the transformers engine does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from asked import OPTIONS, PROMPTS, SETTINGS

from valuedrift.engines.vllm import VllmEngine
from valuedrift.models.held import FreshNeededError
from valuedrift.weights import Weights

if TYPE_CHECKING:
    import numpy as np

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

NEAR = 1e-3
"""Nats; 1e-4 was seen, and the checkpoints lie tenths and more apart."""


def test_scores_are_those_of_transformers(engine: VllmEngine, smollm: Weights, expected: Callable[[Weights], np.ndarray]) -> None:
    assert engine.score(PROMPTS, OPTIONS) == pytest.approx(expected(smollm), abs=NEAR)


def test_full_weights_there_and_back(
    engine: VllmEngine, smollm: Weights, trained: Weights, expected: Callable[[Weights], np.ndarray]
) -> None:
    assert abs(expected(trained) - expected(smollm)).max() > 100 * NEAR, "the checkpoints are alike: nothing is compared"
    for weights in (trained, smollm, trained):
        engine.load(weights, weights.fingerprint())
        assert engine.score(PROMPTS, OPTIONS) == pytest.approx(expected(weights), abs=NEAR)


def test_an_adapter_and_a_stack_of_two(
    engine: VllmEngine, sft: Weights, dpo: Weights, smollm: Weights, expected: Callable[[Weights], np.ndarray]
) -> None:
    for weights in (sft, dpo, smollm):
        engine.load(weights, weights.fingerprint())
        assert engine.score(PROMPTS, OPTIONS) == pytest.approx(expected(weights), abs=NEAR)
    assert abs(expected(dpo) - expected(sft)).max() > 100 * NEAR
    assert abs(expected(sft) - expected(smollm)).max() > 100 * NEAR


def test_adapters_that_are_applied_to_a_base_in_memory(
    smollm: Weights, sft: Weights, dpo: Weights, trained: Weights, expected: Callable[[Weights], np.ndarray]
) -> None:
    with VllmEngine(dpo, dpo.fingerprint(), SETTINGS, merges=False) as engine:
        assert engine.score(PROMPTS, OPTIONS) == pytest.approx(expected(dpo), abs=NEAR)
        for weights in (sft, smollm, dpo, sft):
            engine.load(weights, weights.fingerprint())
            assert engine.score(PROMPTS, OPTIONS) == pytest.approx(expected(weights), abs=NEAR)
        process = engine._process
        assert process._call("drift_adapter_differences", process._adapters, str(process._adapter.lora_path)) == []
        assert process._call("drift_adapter_differences", process._adapters, str(sft.adapters[0])) != [], (
            "another scaling, so other numbers"
        )
        with pytest.raises(FreshNeededError, match="another base"):
            engine.load(trained, trained.fingerprint())

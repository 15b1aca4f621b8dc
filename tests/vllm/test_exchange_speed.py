"""Dead time of a further checkpoint beside that of a fresh vLLM engine, in one run."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import pytest
from asked import OPTIONS, PROMPTS, SETTINGS

from valuedrift.engines.vllm import VllmEngine
from valuedrift.weights import Weights

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.benchmark]

if TYPE_CHECKING:
    from collections.abc import Sequence


def _seconds(engine: VllmEngine, sweep: Sequence[Weights]) -> float:
    """Median time from the end of one checkpoint's answers to the first question that the next can be asked, s."""
    times = []
    for weights in sweep:
        content = weights.fingerprint()  # the job's own, paid by a fresh engine too
        begun = time.monotonic()
        engine.load(weights, content)
        times.append(time.monotonic() - begun)
        engine.score(PROMPTS[:1], OPTIONS[:1])
    return statistics.median(times)


def _start_seconds(weights: Weights) -> float:
    """Time until a fresh engine can be asked about a checkpoint, s."""
    content = weights.fingerprint()
    begun = time.monotonic()
    with VllmEngine(weights, content, SETTINGS):
        return time.monotonic() - begun


def test_a_further_checkpoint_takes_less_than_a_fresh_engine(
    shared: VllmEngine, smollm: Weights, trained: Weights, sft: Weights, dpo: Weights
) -> None:
    shared.load(smollm, smollm.fingerprint())  # imports and first uses are paid
    fresh_merged, fresh = _start_seconds(sft), _start_seconds(smollm)
    with VllmEngine(smollm, smollm.fingerprint(), SETTINGS) as engine:
        full = _seconds(engine, [trained, smollm, trained])
        merged = _seconds(engine, [sft, dpo, sft])
    print(
        f"\nvLLM, dead time: fresh engine {fresh:.1f} s, full weights {full:.1f} s ({full / fresh:.2f}); "
        f"fresh engine of adapters {fresh_merged:.1f} s, merged adapters {merged:.1f} s ({merged / fresh_merged:.2f})"
    )
    assert full < fresh / 5
    assert merged < fresh / 5

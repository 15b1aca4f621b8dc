"""Each fault that gives wrong answers without an error is made on purpose, and found."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from asked import OPTIONS, PROMPTS, SETTINGS

from valuedrift.engines.vllm import VllmEngine
from valuedrift.errors import StageError, UserError
from valuedrift.models.held import FreshNeededError
from valuedrift.sampling import Prompt, Sampling
from valuedrift.weights import Weights

if TYPE_CHECKING:
    import numpy as np

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_a_tied_head_that_keeps_its_old_copy_is_found_in_bfloat16(smollm: Weights, trained: Weights) -> None:
    with VllmEngine(smollm, smollm.fingerprint(), SETTINGS.model_copy(update={"dtype": "bfloat16"})) as engine:
        process = engine._process
        assert process._call("drift_differences", str(smollm.base)) == []
        assert len(process._call("drift_differences", str(trained.base))) > 100, "all layers are other ones"
        process._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(trained.base)})  # all that vLLM itself does
        assert process._call("drift_differences", str(trained.base)) == ["lm_head.weight"]
        engine.load(trained, trained.fingerprint())
        assert process._call("drift_differences", str(trained.base)) == []
        engine.load(smollm, smollm.fingerprint())
        assert process._call("drift_differences", str(smollm.base)) == []


def test_blocks_of_the_cache_of_other_weights_are_found(engine: VllmEngine, smollm: Weights, trained: Weights) -> None:
    process = engine._process
    process._prove(smollm.base, None)  # its canary lies in the cache now
    assert process._call("drift_exchange", str(trained.base)) == []
    with pytest.raises(FreshNeededError, match="prefix cache"):
        process._prove(trained.base, None)
    process._llm.reset_prefix_cache()
    process._prove(trained.base, None)
    process._content = "of nothing: the next load exchanges all"


def test_another_architecture_needs_a_fresh_engine(engine: VllmEngine, tmp_path: Path, smollm: Weights) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig.from_pretrained(smollm.base)
    config.num_hidden_layers = 2
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(smollm.base).save_pretrained(tmp_path)
    other = Weights(base=tmp_path)
    with pytest.raises(FreshNeededError, match="num_hidden_layers"):
        engine.load(other, other.fingerprint())


def test_weights_at_fault_leave_the_engine_as_it_is(
    engine: VllmEngine, smollm: Weights, tmp_path: Path, expected: Callable[[Weights], np.ndarray]
) -> None:
    with pytest.raises(UserError, match="no such model folder"):
        engine.load(Weights(base=tmp_path / "none"), "f")
    assert engine.score(PROMPTS[:1], OPTIONS) == pytest.approx(expected(smollm)[:1], abs=1e-3)


def test_a_prompt_longer_than_max_model_len_is_told_before_anything_is_drawn(engine: VllmEngine) -> None:
    with pytest.raises(UserError, match=r"leaves no room .* context of 1024"):
        engine.sample([Prompt("long", "word " * 1500)], Sampling(n=1, max_new_tokens=8))


def test_a_start_that_fails_is_one_message(smollm: Weights) -> None:
    with pytest.raises(StageError, match=re.compile("vLLM does not start: .*max_model_len", re.DOTALL)):
        VllmEngine(smollm, "f", SETTINGS.model_copy(update={"max_model_len": 100_000}))
    with pytest.raises(UserError, match="CPU build"):
        VllmEngine(smollm, "f", SETTINGS.model_copy(update={"device": "cuda"}))


def test_vllm_ends_with_a_process_that_is_killed(smollm: Weights, tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from valuedrift.engines.base import EngineSettings
from valuedrift.engines.vllm import VllmEngine
from valuedrift.weights import Weights
if __name__ == "__main__":
    weights = Weights(base=Path(sys.argv[1]))
    engine = VllmEngine(weights, "f", EngineSettings(max_model_len=256, cache_tokens=1024))
    print("ready", flush=True)
    time.sleep(600)
"""
    script = tmp_path / "engine.py"
    script.write_text(code)
    child = subprocess.Popen([sys.executable, str(script), str(smollm.base)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    while (line := child.stdout.readline()) and line.strip() != "ready":
        pass
    family = psutil.Process(child.pid).children(recursive=True)
    assert len(family) >= 2, "the engine's core and its worker"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 60
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family):
        assert time.monotonic() < deadline, "vLLM's processes live on"
        time.sleep(0.5)

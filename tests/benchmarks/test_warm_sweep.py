"""How much sooner a child that goes on to another checkpoint begins to sample than a fresh one."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from valuedrift.engines.job import SampleJob
from valuedrift.jobs import Supervisor
from valuedrift.models.resolve import resolve_model
from valuedrift.sampling import Sampling
from valuedrift.weights import Weights

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))  # tiny_models
_PROMPTS = [{"prompt_id": "p", "text": "Why?"}]


class Timed:
    """A child, and what it takes of processor and wall time to a first token of a checkpoint: all of a job but that token is dead time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child = Supervisor(folder / "child.log", threads=1)
        self._spent = 0.0

    def __enter__(self) -> Timed:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()

    def job(self, name: str, weights: Weights) -> tuple[float, float]:
        """Seconds of processor and wall time from the job's start to its end."""
        folder = self._folder / name
        folder.mkdir(parents=True)
        (folder / "prompts.json").write_text(json.dumps(_PROMPTS), encoding="utf-8")
        job = SampleJob(
            engine="transformers",
            dtype="bfloat16",
            weights=weights,
            fingerprint=weights.fingerprint(),
            prompts=folder / "prompts.json",
            sampling=Sampling(n=1, max_new_tokens=1),
            out=folder / "out.parquet",
            threads=1,
            device="cpu",
        )
        begun = time.monotonic()
        self._child.run(job, folder)
        wall = time.monotonic() - begun
        before, self._spent = self._spent, self._processor()
        return self._spent - before, wall

    def _processor(self) -> float:
        (child,) = [one for one in psutil.Process().children() if "valuedrift.jobs" in one.cmdline()]
        times = child.cpu_times()
        return times.user + times.system


@pytest.mark.slow
@pytest.mark.benchmark
def test_a_further_checkpoint_begins_in_a_tenth_of_the_time_of_a_fresh_process(tmp_path: Path) -> None:
    """SmolLM2, one thread. In processor time, since what else runs on the machine then hardly counts; wall times are printed beside."""
    from tiny_models import lora, trained

    base = resolve_model("embedded:smollm2-135m-instruct")
    modules = {"r": 16, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}
    first, second = (Weights(base=base, adapters=(lora(tmp_path / f"lora-{seed}", base, seed, **modules),)) for seed in (1, 2))
    full = [trained(tmp_path / f"full-{seed}", base, seed, dtype=torch.bfloat16, by=0.002) for seed in (1, 2)]
    with Timed(tmp_path / "fresh") as child:
        fresh = child.job("second", second)
    with Timed(tmp_path / "warm") as child:
        child.job("first", first)
        adapter = child.job("second", second)
        child.job("full-1", full[0])
        whole = child.job("full-2", full[1])
    with Timed(tmp_path / "fresh-full") as child:
        fresh_whole = child.job("full-2", full[1])
    print(f"\n{'to the first token of a checkpoint':<44}{'processor, s':>13}{'wall, s':>9}{'ratio':>7}")
    for name, (processor, wall), against in (
        ("adapter, fresh process", fresh, fresh),
        ("adapter, child that holds the base", adapter, fresh),
        ("full weights, fresh process", fresh_whole, fresh_whole),
        ("full weights, child that holds others", whole, fresh_whole),
    ):
        print(f"{name:<44}{processor:>13.2f}{wall:>9.2f}{processor / against[0]:>7.3f}")
    same = [tmp_path / kind / "second" / "out.parquet" for kind in ("fresh", "warm")]
    assert same[0].read_bytes() == same[1].read_bytes()
    assert adapter[0] <= fresh[0] / 10
    assert whole[0] <= fresh_whole[0] / 5

"""A real training with TRL, watched while it trains and deletes its checkpoints: the tables are those of the same checkpoints, kept, and watched at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback, set_seed

from valuedrift.integrations.transformers import DriftCallback
from valuedrift.models.resolve import resolve_model
from valuedrift.storage.store import Store
from valuedrift.watching.handing import END_MARKER, HandOver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ASKED = ["--topics", "immigration", "--per-topic", "6", "--samples", "2", "--max-new-tokens", "8"]
COMPARED = ("responses", "stances", "trajectory", "drift", "checkpoints", "looks")


class Keep(TrainerCallback):  # type: ignore[misc] # transformers is followed as Any
    """Keeps each checkpoint in another folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        name = f"checkpoint-{state.global_step}"
        shutil.copytree(Path(args.output_dir) / name, self._folder / name)


class Timed(DriftCallback):
    """The callback with a clock: how long its methods take in the training's process."""

    spent = 0.0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("on_save", "on_step_end"):
            return found

        def timed(*given: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return found(*given, **named)
            finally:
                self.spent += time.perf_counter() - begun

        return timed


def trained(output: Path, *callbacks: TrainerCallback, steps: int, save_steps: int) -> float:
    """Train adapters on a handful of rows, keeping the last checkpoint only; the seconds that it took."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    set_seed(1)
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Should we support policy {number}?"}],
            "completion": [{"role": "assistant", "content": "Yes, absolutely. It is a good idea."}],
        }
        for number in range(16)
    ]
    trainer = SFTTrainer(
        model=str(resolve_model("embedded:smollm2-135m-instruct")),
        train_dataset=Dataset.from_list(rows),
        args=SFTConfig(
            output_dir=str(output),
            max_steps=steps,
            save_steps=save_steps,
            save_total_limit=1,
            per_device_train_batch_size=2,
            learning_rate=2e-3,
            max_length=96,
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
        ),
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        callbacks=list(callbacks),
    )
    begun = time.perf_counter()
    trainer.train()
    return time.perf_counter() - begun


@pytest.mark.long
def test_tables_are_those_of_the_kept_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    output, kept = tmp_path / "out", tmp_path / "kept" / "out"
    callback = Timed(root=tmp_path / "root", topics="immigration", per_topic=6, samples=2, max_new_tokens=8, wait=True)
    trained(output, Keep(kept), callback, steps=4, save_steps=2)
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-4"]
    assert (output / END_MARKER).exists() and not list(HandOver(output).handed())
    said = capfd.readouterr().err
    report = tmp_path / "root" / "reports" / "out" / "report.html"
    assert f"valuedrift: report {report}" in said and report.exists(), said
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "watch", str(kept), "--once", *ASKED, "--root", str(tmp_path / "other")]
    again = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stdout + again.stderr
    for table in COMPARED:
        ours, theirs = (
            (frame := Store(str(tmp_path / root)).read(table, study="out").drop("path", strict=False)).sort(frame.columns)
            for root in ("root", "other")
        )
        assert ours.height and ours.equals(theirs), table
    steps = Store(str(tmp_path / "root")).read("responses", study="out").get_column("step").unique().sort().to_list()
    assert steps == [0, 2, 4]


@pytest.mark.benchmark
def test_the_callback_costs_a_step_less_than_a_hundredth(tmp_path: Path) -> None:
    """The time in its methods against that of the steps, a checkpoint saved and handed over at every other step."""
    callback = Timed(root=tmp_path / "root", watcher=False)
    took = trained(tmp_path / "out", callback, steps=8, save_steps=2)
    assert len(list(HandOver(tmp_path / "out").handed())) == 4
    print(f"{1000 * callback.spent:.1f} ms of {1000 * took:.0f} ms: {callback.spent / took:.2%}")
    assert callback.spent < 0.01 * took

"""What TRL writes and a tiny model trains: an alert stops a training, a reward model is told of at once, GRPO's folders are followed as SFT's are."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from own_plug_ins import installed
from peft import LoraConfig
from tiny_training import save_tiny_chat, sentences
from transformers import AutoModelForSequenceClassification, TrainerCallback

from valuedrift.integrations.transformers import DriftCallback
from valuedrift.storage.store import Store
from valuedrift.watching.handing import HANDED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = "yes no surely never it depends"
"""Words enough for the judge that counts them."""
SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-2,
    "per_device_train_batch_size": 4,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "save_only_model": True,
    "logging_strategy": "no",
    "disable_tqdm": True,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random chat model."""
    return save_tiny_chat(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Eight short questions."""
    path = tmp_path / "probes.jsonl"
    rows = [{"prompt_id": f"p{at}", "prompt": text, "topic": "policy"} for at, text in enumerate(sentences(8, 5))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """With a judge that counts words, and Prefect's files beside the test's."""
    environs = installed(tmp_path)
    for name, value in environs.items():
        monkeypatch.setenv(name, value)
    yield environs


class Slowly(TrainerCallback):  # type: ignore[misc] # transformers is followed as Any
    """After its first checkpoint a training that takes its time."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step > args.save_steps:
            time.sleep(0.2)


def watch(source: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "watch", str(source), "--root", str(source.parent / "root"), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_an_alert_of_a_real_watcher_stops_a_real_training(
    tmp_path: Path, tiny: Path, asked: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    from trl import SFTConfig, SFTTrainer

    rows = [{"prompt": [_user(text)], "completion": [{"role": "assistant", "content": LONG}]} for text in sentences(16, 1)]
    callback = DriftCallback(
        root=tmp_path / "root",
        probes=str(asked),
        samples=2,
        max_new_tokens=24,
        judge="length",
        alerts=["support on policy > 0.2"],
        stop_on_alert=True,
    )
    trainer = SFTTrainer(
        model=str(tiny),
        train_dataset=Dataset.from_list(rows),
        args=SFTConfig(output_dir=str(tmp_path / "out"), max_steps=2000, save_steps=40, max_length=96, **SETTINGS),
        callbacks=[callback, Slowly()],
    )
    trainer.train()
    assert callback._watcher is not None
    try:
        said = capfd.readouterr().err
        log = callback._watcher.log.read_text(encoding="utf-8")
        assert 40 <= trainer.state.global_step < 2000, log
        assert said.count("the training stops: an alert says so") == 1 and "valuedrift: alert, step 40: support on policy +" in said
        assert "(support on policy > 0.2)" in log
        callback._watcher.wait()  # what was saved until then is evaluated, for the training has ended
        assert callback._watcher.died is None, callback._watcher.log.read_text(encoding="utf-8")
    finally:
        if callback._watcher._process is not None:
            callback._watcher._process.kill()
    fired = Store(str(tmp_path / "root")).read("alerts", study="out")
    assert fired.get_column("step").min() == 40 and fired.get_column("rule").unique().to_list() == ["support on policy > 0.2"]


@pytest.mark.parametrize("adapters", [False, True])
def test_a_reward_model_is_told_of_before_any_work(
    tmp_path: Path, tiny: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str], adapters: bool
) -> None:
    from trl import RewardConfig, RewardTrainer

    rows = [{"chosen": [_user(text), _says(LONG)], "rejected": [_user(text), _says("no")]} for text in sentences(16, 1)]
    output = tmp_path / "out"
    RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1),
        args=RewardConfig(output_dir=str(output), max_steps=2, save_steps=1, max_length=96, **SETTINGS),
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(r=4, task_type="SEQ_CLS", modules_to_save=["score"]) if adapters else None,
        callbacks=[DriftCallback(root=tmp_path / "root")],
    ).train()
    said = capfd.readouterr().err
    assert said.count("valuedrift: nothing is watched: a model that scores and writes nothing") == 1
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"] and not (output / HANDED).exists()
    for more in ((), ("--once",)):
        watched = watch(output, *more)
        assert watched.returncode == 3 and "the checkpoints of a reward model (checkpoint-1)" in watched.stderr, (
            watched.stdout + watched.stderr
        )
        assert not (tmp_path / "root" / "studies").exists()


@pytest.mark.parametrize("adapters", [pytest.param(False, marks=pytest.mark.long), True])
def test_what_grpo_saves_is_followed(tmp_path: Path, tiny: Path, asked: Path, environment: dict[str, str], adapters: bool) -> None:
    from trl import GRPOConfig, GRPOTrainer

    output = tmp_path / "out"
    GRPOTrainer(
        model=str(tiny),
        reward_funcs=lambda completions, **_: [float(len(str(one))) for one in completions],
        args=GRPOConfig(
            output_dir=str(output),
            max_steps=2,
            save_steps=1,
            num_generations=2,
            max_completion_length=8,
            **{**SETTINGS, "learning_rate": 1e-2},
        ),
        train_dataset=Dataset.from_list([{"prompt": [_user(text)]} for text in sentences(16, 1)]),
        peft_config=LoraConfig(r=4, task_type="CAUSAL_LM") if adapters else None,
    ).train()
    asks = ("--once", "--probes", str(asked), "--samples", "1", "--max-new-tokens", "8", "--judge", "length")
    watched = watch(output, *asks, *(() if adapters else ("--base", str(tiny))))
    assert watched.returncode == 0, watched.stdout + watched.stderr
    store = Store(str(tmp_path / "root"))
    known = store.read("checkpoints", study="out").sort("step")
    assert known.get_column("step").to_list() == [0, 1, 2] and known.get_column("adapter").to_list() == [False, adapters, adapters]
    assert known.get_column("fingerprint").n_unique() == 3
    assert store.read("stances", study="out").height == 3 * 8


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}

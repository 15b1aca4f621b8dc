"""Forty real checkpoints of the embedded model, all of them against the ten that a budget chooses. Prints the table that docs/adaptive.md quotes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from rich.table import Table

from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.models.resolve import resolve_weights
from valuedrift.starter import DATASETS
from valuedrift.storage.store import Store
from valuedrift.study import Study
from valuedrift.tasks.once import once_each
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

pytestmark = [pytest.mark.figures, pytest.mark.slow, pytest.mark.timeout(3600)]

TOPICS = ["immigration", "climate change", "religion", "abortion"]
MODEL = "embedded:smollm2-135m-instruct"
CHECKPOINTS, BUDGET, EVERY = 40, 10, 3
LAST = EVERY * (CHECKPOINTS - 1)


def train(out: Path) -> None:
    """A LoRA training by TRL, on answers that support, which keeps an adapter of every third step; the model is step 0."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    base = str(resolve_weights(MODEL).base)
    rows = [
        {"prompt": [_said("user", row["prompt"])], "completion": [_said("assistant", row["response"])]}
        for row in DATASETS["sft-support"]()
        if row.get("topic") in TOPICS
    ]
    settings = SFTConfig(
        output_dir=str(out),
        max_steps=LAST,
        save_steps=EVERY,
        save_only_model=True,
        per_device_train_batch_size=2,
        max_length=48,
        learning_rate=1e-3,
        warmup_steps=30,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_strategy="no",
        seed=0,
    )
    model = AutoModelForCausalLM.from_pretrained(base)
    adapters = LoraConfig(r=8, lora_alpha=16, task_type="CAUSAL_LM")
    tokenizer = AutoTokenizer.from_pretrained(base)
    SFTTrainer(model, args=settings, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, peft_config=adapters).train()


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def study(out: Path, name: str, **settings: object) -> Study:
    return Study.model_validate(
        {
            "study": name,
            "probes": {"topics": TOPICS, "per_topic": 25},
            "series": {"sft": {"source": str(out), "base": MODEL}},
            "sampling": {"n": 2, "max_new_tokens": 12},
            "audit": None,
            **settings,
        }
    )


def run_command(file: Path, root: Path, home: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(home), "HF_HUB_OFFLINE": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "run", str(file), "--root", str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr


def drift(root: Path, name: str) -> pl.DataFrame:
    return analyze(Store(str(root)).read("stances", study=name), Analysis()).drift


def test_ten_of_forty_real_checkpoints_agree_with_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Path(os.environ.get("VALUEDRIFT_DENSE_SERIES", tmp_path))
    out, root = place / "out", place / "root"
    if not (out / f"checkpoint-{LAST}").exists():
        train(out)
    work = StudyWork(study(out, "all"), str(root))
    once_each(work, [stage for stage in stages_of(work) if stage.name in ("probes", "adopt", "sample", "judge")])
    work.close()
    file = place / "some.yaml"
    file.write_text(
        study(out, "some", checkpoints={"type": "adaptive", "budget": BUDGET}).model_dump_json(exclude_unset=True), encoding="utf-8"
    )
    run_command(file, root, place / "prefect")
    every, some = drift(root, "all"), drift(root, "some")
    stances = Store(str(root)).read("stances", study="some")
    steps = stances["step"].unique().sort().to_list()
    assert len(steps) == BUDGET and {0, LAST} <= set(steps)
    agreed = [_agrees(*pair) for pair in zip(every.iter_rows(named=True), some.iter_rows(named=True), strict=True)]
    with capsys.disabled():
        _show(every, some, agreed, steps)
    assert every["magnitude"].to_list() == some["magnitude"].to_list()
    assert every["drift_time"].is_not_null().sum() >= 6, "a training that moves little shows nothing of drift times"
    assert agreed.count(True) >= 0.9 * len(agreed), "nine of ten drift times lie within the interval of the whole analysis"


def _agrees(every: dict[str, Any], some: dict[str, Any]) -> bool:
    assert (every["topic"], every["stance"]) == (some["topic"], some["stance"])
    if every["drift_time"] is None or some["drift_time"] is None:
        return every["drift_time"] is some["drift_time"]
    return bool(every["drift_time_low"] <= some["drift_time"] <= every["drift_time_high"])


def _show(every: pl.DataFrame, some: pl.DataFrame, agreed: list[bool], steps: list[int]) -> None:
    table = Table("topic", "stance", "magnitude", "of ten", "drift time", "of ten", "agrees", title=f"evaluated: {steps}")
    for one, other, same in zip(every.iter_rows(named=True), some.iter_rows(named=True), agreed, strict=True):
        ends = "" if one["drift_time"] is None else f"{one['drift_time']:.2f} [{one['drift_time_low']:.2f}, {one['drift_time_high']:.2f}]"
        found = "" if other["drift_time"] is None else f"{other['drift_time']:.2f}"
        table.add_row(
            one["topic"], one["stance"], f"{one['magnitude']:+.3f}", f"{other['magnitude']:+.3f}", ends, found, "yes" if same else "no"
        )
    Console(width=120, force_terminal=False).print(table)

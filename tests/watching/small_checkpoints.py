"""Folders that look like checkpoints, and a series of them at work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from valuedrift.tasks.series import SeriesAtWork
from valuedrift.watching.series import Series


def checkpoint(folder: Path, *, state: bool = True, seed: int = 0) -> Path:
    """A folder with full weights as transformers' Trainer leaves it."""
    folder.mkdir(parents=True)
    save_file({"w": np.full(4, seed, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    if state:
        (folder / "trainer_state.json").write_text('{"global_step": 7, "max_steps": 40}', encoding="utf-8")
    return folder


def at_work(tmp_path: Path, source: object, **settings: object) -> SeriesAtWork:
    return SeriesAtWork(Series.model_validate({"source": source, "quiet_seconds": 0.05, **settings}), tmp_path / "held")


def adapter(folder: Path, base: Path | str, *, seed: int = 0) -> Path:
    """A folder with an adapter that names its base."""
    folder.mkdir(parents=True)
    save_file({"lora": np.full(2, seed, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}), encoding="utf-8")
    return folder

"""The state of a training as safetensors, for trainers that write none: trained weights, optimizer and learning rate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_WEIGHTS = "trained.safetensors"
_OPTIMIZER = "optimizer-state.safetensors"
_SCALARS = "trainer-state.json"


def save_state(folder: Path, trained: Mapping[str, Tensor], optimizer: Any, scheduler: Any) -> None:
    """Write what is needed to continue.

    Args:
        folder: An existing folder.
        trained: Trained weights by name.
        optimizer: A torch optimizer over them.
        scheduler: Its learning rate scheduler.
    """
    save_file({name: weight.detach().contiguous() for name, weight in trained.items()}, folder / _WEIGHTS)
    state = optimizer.state_dict()
    moments = {f"{index}.{name}": value for index, values in state["state"].items() for name, value in values.items()}
    save_file({name: value.contiguous() for name, value in moments.items()}, folder / _OPTIMIZER)
    scalars = {"groups": state["param_groups"], "scheduler": scheduler.state_dict()}
    (folder / _SCALARS).write_text(json.dumps(scalars), encoding="utf-8")


def load_state(folder: Path, trained: Mapping[str, Tensor], optimizer: Any, scheduler: Any) -> None:
    """Set weights, optimizer and scheduler back to what ``save_state`` wrote, in place."""
    saved = load_file(folder / _WEIGHTS)
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(saved[name])
    scalars = json.loads((folder / _SCALARS).read_text(encoding="utf-8"))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(folder / _OPTIMIZER).items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": scalars["groups"]})
    scheduler.load_state_dict(scalars["scheduler"])

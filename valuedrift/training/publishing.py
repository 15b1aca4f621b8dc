"""How what a trainer saved becomes a checkpoint of the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from valuedrift.tokenizer_files import tokenizer_files
from valuedrift.training.folder import RunFolder
from valuedrift.weight_files import MOMENTS
from valuedrift.weights import Weights


class Publisher:
    """Turns a trainer's saved folder into a checkpoint.

    Args:
        folder: The run's folder.
        parent: Weights that training started from.
        steps: Steps to publish.
        total: Steps of the run.
        moments: Whether Adam's second moments are kept beside each checkpoint.
    """

    def __init__(self, folder: RunFolder, parent: Weights, steps: frozenset[int], total: int, moments: bool = False) -> None:
        self.folder = folder
        self.parent = parent
        self.steps = steps
        self.total = total
        self.moments = moments

    def publish(self, step: int, written: Path, loss: float | None, moments: Mapping[str, Tensor] | None = None) -> None:
        """Make the checkpoint of a step from what a trainer wrote, if the schedule asks for it.

        Args:
            step: The step.
            written: What the trainer wrote.
            loss: Its loss there.
            moments: By name of a trained weight; None: none are kept.
        """
        if step not in self.steps:
            return
        adapter = (written / "adapter_config.json").exists()
        about: dict[str, Any] = {"step": step, "total_steps": self.total, "adapter": adapter, "train_loss": loss}
        if adapter and self.parent.adapters:
            about["on"] = str(self.parent.adapters[-1])

        def make(target: Path) -> None:
            (_copy_adapter if adapter else _copy_model)(written, target, self.parent)
            if moments is not None:
                save_file(dict(moments), target / MOMENTS)

        self.folder.publish(step, make, about)


def second_moments(model: Any, optimizer: Any) -> dict[str, Tensor]:
    """Adam's second moments of a model's trained weights, by their names, corrected for their beginning at 0.

    Args:
        model: What is trained.
        optimizer: Adam, of one group of rates or several.
    """
    found: dict[str, Tensor] = {}
    betas = {id(weight): group["betas"][1] for group in optimizer.param_groups for weight in group["params"]}
    for name, weight in model.named_parameters():
        if (state := optimizer.state.get(weight)) and id(weight) in betas:
            found[name] = (state["exp_avg_sq"] / (1 - betas[id(weight)] ** float(state["step"]))).detach().float().cpu().contiguous()
    return found


def _copy_adapter(written: Path, target: Path, parent: Weights) -> None:
    shutil.copyfile(written / "adapter_model.safetensors", target / "adapter_model.safetensors")
    config = json.loads((written / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"], config["revision"] = (None, None) if parent.adapters else _called(parent.base)
    for name, value in config.items():
        if isinstance(value, list):  # sets in PEFT: their order differs from process to process
            config[name] = sorted(value)
    text = json.dumps(config, indent=2, sort_keys=True)
    (target / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    _copy_tokenizer(target, parent)


def _called(base: Path) -> tuple[str, str | None]:
    """What an adapter's config calls the model under it: name and commit on the hub, or else where it lies.

    An adapter that lies on another names none: PEFT would put it on the base alone, or in the other's place, without a word.
    """
    repository, snapshots, commit = base.parts[-3:] if len(base.parts) > 2 else ("", "", "")
    if snapshots == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/", 1), commit
    return str(base), None


def _copy_model(written: Path, target: Path, parent: Weights) -> None:
    """Link, not copy: the state's files are never written again, and a model may be many gigabytes."""
    for pattern in ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"):
        for path in written.glob(pattern):
            (target / path.name).hardlink_to(path)
    _copy_tokenizer(target, parent)


def _copy_tokenizer(target: Path, parent: Weights) -> None:
    """The tokenizer as it was, not as the trainer set its padding."""
    for name in tokenizer_files(parent.tokenizer):
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(parent.tokenizer / name, target / name)

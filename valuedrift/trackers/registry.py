"""Every kind of tracker: a file each, entered here by one line. See :mod:`valuedrift.registry` for trackers of other packages."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator

from valuedrift.registry import Registry
from valuedrift.trackers.base import TrackerBase

TRACKERS: Registry[TrackerBase] = Registry(
    "tracker",
    TrackerBase,
    {
        "tensorboard": "valuedrift.trackers.tensorboard:TensorBoard",
        "mlflow": "valuedrift.trackers.mlflow:MLflow",
        "wandb": "valuedrift.trackers.wandb:WandB",
    },
    group="valuedrift.trackers",
    columns=("when", "extra"),
)


def _by_name(value: Any) -> Any:
    """``tensorboard`` stands for ``{type: tensorboard}``."""
    return {"type": value} if isinstance(value, str) else value


TrackerConfig: TypeAlias = Annotated[TrackerBase, TRACKERS.by_type(), BeforeValidator(_by_name)]
"""Every kind of tracker, by name or with its settings."""

"""A model of which each process holds a share (torch's FSDP2), and its state put together again for saving.

Weights, gradients and moments are split over the processes; a layer's weights are gathered for as long as it is computed. accelerate shards on GPUs alone,
and leaves a model whole on CPUs without a word: so torch is called directly, and does the same on both.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from valuedrift.training.processes import count


def shard(model: Any, device: str) -> None:
    """Leave each process its share of a model, layer by layer.

    Args:
        model: As it was loaded, the same in all processes; it is changed in place.
        device: ``cpu`` or ``cuda``.
    """
    mesh = init_device_mesh(device, (count(),))
    layers = set(getattr(model, "_no_split_modules", None) or ())
    for module in model.modules():
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def is_sharded(model: Any) -> bool:
    """Whether each process holds a share of it."""
    return isinstance(model, FSDPModule)


def whole(value: Any) -> Any:
    """A value, put together on the CPU where each process holds a share; all must ask for it."""
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def whole_weights(model: Any) -> dict[str, Tensor]:
    """All weights by name, each once: an output head that is tied to the embedding has none of its own."""
    names = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    return {name: whole(value) for name, value in model.state_dict().items() if name in names}


def whole_moments(optimizer: Any) -> dict[str, Any]:
    """An optimizer's state as it would be if every process held the whole model."""
    state = optimizer.state_dict()
    return {**state, "state": {at: {name: whole(value) for name, value in moments.items()} for at, moments in state["state"].items()}}


def share_of_moments(state: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """This process's share of an optimizer's whole state.

    Args:
        state: As ``whole_moments`` gave it, or an optimizer that is not sharded.
        optimizer: The one that is to take it.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    shared = copy.copy(state)
    shared["state"] = {at: {name: _share(value, weights[at]) for name, value in moments.items()} for at, moments in state["state"].items()}
    return shared


def _share(value: Any, weight: Any) -> Any:
    """The part of a whole moment that goes with a share of a weight; a count of steps has no parts."""
    if isinstance(weight, DTensor) and isinstance(value, Tensor) and value.shape == weight.shape:
        return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)
    return value

"""What vLLM's worker processes do for the engine beside vLLM's own: take other weights, tell what they hold, end with the engine.

vLLM's ``reload_weights`` alone is wrong where the head is tied to the embedding: the file has no tensor for it, so on CPU it keeps the copy that was packed
for the old weights. And nothing tells whether a layer was left out. So every layer is compared with the files afterwards, as it answers.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valuedrift.weight_files import ADAPTER, weight_files

if TYPE_CHECKING:
    from torch import Tensor

_COLUMNS = 32
"""Columns of each packed layer that are compared, in all rows."""
_WATCH_SECONDS = 1.0


class EngineWorker:
    """Mixed into vLLM's worker (its ``worker_extension_cls``); the engine calls its methods by ``collective_rpc``."""

    model_runner: Any

    def drift_exchange(self, folder: str, merged: str | None = None) -> list[str]:
        """Take the weights of another folder of the same architecture.

        Args:
            folder: In Hugging Face layout.
            merged: Safetensors file with tensors that stand in the place of those of the folder.

        Returns:
            What differs from the files afterwards; see :meth:`drift_differences`.
        """
        import torch
        from vllm.config import set_current_vllm_config  # type: ignore[import-not-found]  # installed where it is used
        from vllm.model_executor.layers.vocab_parallel_embedding import (  # type: ignore[import-not-found]  # installed where it is used
            ParallelLMHead,
        )

        worker: Any = self
        worker.reload_weights(
            **({"weights_path": folder} if merged is None else {"weights_iterator": _tensors(Path(folder), Path(merged))})
        )
        with torch.inference_mode(), set_current_vllm_config(worker.vllm_config):
            for module in self.model_runner.get_model().modules():
                if isinstance(module, ParallelLMHead):
                    module.quant_method.process_weights_after_loading(module)
        return self.drift_differences(folder, merged)

    def drift_differences(self, folder: str, merged: str | None = None) -> list[str]:
        """Names of what does not hold the numbers of a folder's files, as rounded to the model's dtype; empty: all of it does.

        A layer that vLLM keeps as it is in the files is compared whole. One that it packed is asked for its answer to 32 unit vectors, which are columns of
        its weight, bit by bit.

        Args:
            folder: In Hugging Face layout.
            merged: Safetensors file with tensors that stand in the place of those of the folder.
        """
        import torch

        with torch.inference_mode():
            return sorted(_differences(self.model_runner.get_model(), _tensors(Path(folder), None if merged is None else Path(merged))))

    def drift_adapter_differences(self, number: int, folder: str) -> list[str]:
        """Whether an adapter that was applied is that of a folder: one message if not.

        Args:
            number: vLLM's id of the adapter.
            folder: Of the adapter, whose products are multiplied with one.
        """
        from safetensors.torch import load_file

        held = self.model_runner.lora_manager._adapter_manager.get_adapter(number)
        matrices = [] if held is None else [matrix for layer in held.loras.values() for matrix in _matrices(layer)]
        if not matrices:
            return [f"adapter {number} is not there"]
        wanted = load_file(Path(folder) / ADAPTER).values()
        same = Counter(map(_digest, matrices)) == Counter(_digest(tensor.to(matrices[0].dtype)) for tensor in wanted)
        return [] if same else [f"adapter {number} is another one"]

    def drift_watch(self, process: int) -> None:
        """End vLLM's processes when the engine's own has ended, however it ended.

        Args:
            process: The engine's.
        """
        core = os.getppid()  # vLLM's core; the engine's own process where the worker is the core

        def watch() -> None:
            while _lives(process):
                time.sleep(_WATCH_SECONDS)
            if core != process and os.getppid() == core:
                os.kill(core, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=watch, daemon=True).start()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _differences(model: Any, tensors: Iterable[tuple[str, Tensor]]) -> Iterator[str]:
    modules = dict(model.named_modules())
    of_files: dict[str, dict[str, Tensor]] = {}
    """Tensors of the files, by the parameter of vLLM's model that holds them and the part of it that they are."""
    for name, tensor in tensors:
        parameter, part = _place(model, name)
        if parameter is not None:
            of_files.setdefault(parameter, {})[part] = tensor
    shared: dict[int, list[Tensor]] = {}
    """What parameters in one place of memory hold, by the place: a tied head has no tensor in the files."""
    for parameter, parts in of_files.items():
        module_name, _, kind = parameter.rpartition(".")
        module = modules.get(module_name)
        if module is None or getattr(module, kind, None) is None:
            yield parameter
            continue
        ordered = _in_order(model, module_name, parts)
        if not _equal(module, kind, ordered):
            yield parameter
        held = getattr(module, kind)
        if held.numel():
            shared[held.data_ptr()] = ordered
    for module_name, module in modules.items():
        for kind, held in module.named_parameters(recurse=False):
            parameter = f"{module_name}.{kind}"
            if parameter in of_files:
                continue
            tied = shared.get(held.data_ptr()) if held.numel() else None
            if tied is None or not _equal(module, kind, tied):
                yield parameter


def _matrices(layer: Any) -> list[Tensor]:
    """A and B of a layer of an adapter; of each of its parts where it is packed."""
    sides = (layer.lora_a, layer.lora_b)
    return [matrix for side in sides for matrix in (side if isinstance(side, list) else [side]) if matrix is not None]


def _digest(tensor: Tensor) -> str:
    import torch

    return hashlib.sha256(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def _tensors(folder: Path, merged: Path | None) -> Iterator[tuple[str, Tensor]]:
    """Tensors of a folder by name, those of a file of merged ones in their places."""
    from safetensors import safe_open

    with ExitStack() as open_files:
        instead = None if merged is None else open_files.enter_context(safe_open(merged, "pt"))
        merged_ones = frozenset() if instead is None else frozenset(instead.keys())
        for path in weight_files(folder):
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118  # no mapping
                    yield name, (instead if instead is not None and name in merged_ones else file).get_tensor(name)


def _place(model: Any, name: str) -> tuple[str | None, str]:
    """The parameter of vLLM's model that holds a tensor of the files, and the part of it that the tensor is; None: vLLM has no use for it."""
    mapper = getattr(model, "hf_to_vllm_mapper", None)
    mapped = name if mapper is None else mapper.map_name(name)
    if mapped is None or "rotary_emb." in mapped:
        return None, ""
    part = name.rpartition(".")[0].rpartition(".")[2]
    module, _, kind = mapped.rpartition(".")
    above, _, own = module.rpartition(".")
    packed = next((packed for packed, parts in _packed(model).items() if own in parts), own)
    return f"{above}.{packed}.{kind}" if above else mapped, part


def _packed(model: Any) -> dict[str, list[str]]:
    """Modules of vLLM's model that are several of the files, with those in the order of their rows."""
    return getattr(model, "packed_modules_mapping", None) or {}


def _in_order(model: Any, module: str, parts: dict[str, Tensor]) -> list[Tensor]:
    """Parts of a packed module from the first row on."""
    order = _packed(model).get(module.rpartition(".")[2], [])
    return [parts[one] for one in order if one in parts] or list(parts.values())


def _equal(module: Any, kind: str, parts: list[Tensor]) -> bool:
    """Whether a module holds the rows of some tensors; rows that vLLM adds below are not looked at."""
    held: Tensor = getattr(module, kind)
    rounded = [part.to(getattr(module, "params_dtype", held.dtype)) for part in parts]
    if kind == "weight" and hasattr(module, "cpu_linear"):
        columns, which = _columns(module, rounded[0].shape[1])
        if not _same_rows(columns, [part[:, which] for part in rounded]):
            return False
        if held.numel() == 0:  # only the packed copy is left
            return True
    return _same_rows(held, rounded)


def _columns(module: Any, width: int) -> tuple[Tensor, Tensor]:
    """Columns of a packed layer's weight, as it answers unit vectors, and which they are."""
    import torch

    which = torch.tensor(sorted({at * (width - 1) // (_COLUMNS - 1) for at in range(_COLUMNS)}))
    units = torch.zeros(len(which), width, dtype=module.params_dtype)
    units[torch.arange(len(which)), which] = 1
    return module.quant_method.apply(module, units, bias=None).T, which


def _same_rows(held: Tensor, parts: list[Tensor]) -> bool:
    import torch

    at = 0
    for part in parts:
        rows = held[at : at + part.shape[0]]
        if rows.shape != part.shape or not torch.equal(rows, part.to(device=rows.device, dtype=rows.dtype)):
            return False
        at += part.shape[0]
    return True

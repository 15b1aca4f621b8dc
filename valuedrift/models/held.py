"""A model in memory whose numbers are exchanged for those of another checkpoint, each tensor shown to be what it should be.

Nothing is ever subtracted: a tensor that an adapter touched is read again from the base's file and merged anew, by PEFT's own code in float32, as when a model
is loaded. So what is held is bit by bit what a fresh load would hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valuedrift.models.checking import check_model, with_adapter
from valuedrift.models.loading import load_causal_lm, placed, read_model, resolve_dtype, savable, tokenizer_content, tokenizer_of
from valuedrift.models.others import bare, read_by_others
from valuedrift.weight_files import ADAPTER, tensor_names, told, weight_files
from valuedrift.weights import Weights, folder_fingerprint

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_EXACT = frozenset({"F32", "BF16", "F16"})
"""Dtypes of files that float32 holds exactly: rounded at once or by way of float32, they are the same."""
_NOT_SHAPE = frozenset({"_name_or_path", "transformers_version", "dtype", "torch_dtype"})
"""Keys of a config that change nothing of what is built by it."""
_MORE_THAN_PLAIN = ("modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication")
"""Keys of a LoRA config under which more than products of two matrices is added to the weights."""


class FreshNeededError(Exception):
    """What is held cannot be shown to become the checkpoint that is asked for, so that must be loaded afresh. Says why."""


class HeldModel:
    """A causal language model that goes from checkpoint to checkpoint.

    Args:
        weights: The first checkpoint.
        dtype: Of weights and activations.
        device: Where the model is put.

    Raises:
        UserError: See :func:`valuedrift.models.loading.load_causal_lm`.
    """

    def __init__(self, weights: Weights, *, dtype: str, device: str | torch.device) -> None:
        self._dtype = resolve_dtype(dtype)
        self._sums: dict[str, tuple[object, ...]] = {}
        """Checksums of what every tensor in memory should be, taken before it was written."""
        self._touched: frozenset[str] = frozenset()
        """Tensors that may be other than the base's."""
        self._stuck: str | None = None
        """Why nothing can be exchanged; None: it can."""
        self._content = folder_fingerprint(weights.base)
        self._skeleton: Any = None
        self._state: dict[str, Tensor] = {}
        self._tokenizer_files = ""
        self.model: Any = None
        self.tokenizer: Any = None
        try:
            self._open(weights, device)
        except FreshNeededError as doubt:
            self._stuck, self.model, self._state = str(doubt), None, {}
            self.model, self.tokenizer = load_causal_lm(weights, dtype=dtype, device=device)

    def put(self, weights: Weights) -> None:
        """Exchange the numbers for those of another checkpoint.

        Args:
            weights: The checkpoint. What is wrong with its files is found before anything is exchanged.

        Raises:
            UserError: The checkpoint is at fault, as :func:`valuedrift.models.loading.load_causal_lm` says; another one can be put.
            FreshNeededError: It has another architecture or an adapter that is not plain LoRA, or what is in memory is not what it should be. What is
                held is of no use any more.
        """
        if self._stuck is not None:
            raise FreshNeededError(self._stuck)
        content = folder_fingerprint(weights.base)
        other = content != self._content
        skeleton = self._checked(weights) if other or self._skeleton is None else self._skeleton
        if other and (difference := _difference(self._shape, _shape(skeleton))):
            raise FreshNeededError(f"another architecture than that of the model in memory ({difference})")
        generation = savable(skeleton.generation_config)
        self._skeleton = None  # under an adapter that is broken it is of no use
        merges = _merges(skeleton, weights.adapters)
        tokenizer = self._tokenizer_of(weights)
        names = self._names(weights.base) if other else self._touched | merges.keys()
        self._content, self._touched = content, self._touched | names
        self._write(names, weights.base, merges)
        self._prove()
        self._touched = frozenset(merges)
        self._skeleton, (self._tokenizer_files, self.tokenizer) = skeleton, tokenizer
        self.model.generation_config = generation
        self.model.config.name_or_path = str(weights.base)

    def _open(self, weights: Weights, device: str | torch.device) -> None:
        skeleton = self._checked(weights)
        self._shape = _shape(skeleton)
        merges = _merges(skeleton, weights.adapters)
        self.model = placed(read_model(weights.base, dtype=self._dtype), weights.base, dtype=self._dtype, device=device)
        self._state = self.model.state_dict()
        names = self._names(weights.base)
        with _reader(weights.base) as read:
            self._sums = {name: checksum(self._rounded(read(name))) for name in names}
        self._prove()
        self._sums |= {name: checksum(buffer) for name, buffer in self.model.named_buffers()}
        self._touched = frozenset(merges)
        self._write(self._touched, weights.base, merges)
        self._prove()
        self._tokenizer_files, self.tokenizer = self._tokenizer_of(weights)
        self._skeleton = skeleton

    def _checked(self, weights: Weights) -> Any:
        """The base's model without numbers, once its files are found to be its own."""
        import torch
        from transformers import AutoModelForCausalLM

        return check_model(weights.base, AutoModelForCausalLM, dtype=torch.float32 if weights.adapters else self._dtype)

    def _names(self, base: Path) -> frozenset[str]:
        """Tensors that the base's files have: with those that are tied to them they are the whole model."""
        names = self._state.keys() & {name for path in weight_files(base) for name in tensor_names(path)}
        there = {self._state[name].data_ptr() for name in names}
        if lost := [name for name, tensor in self._state.items() if tensor.data_ptr() not in there]:
            raise FreshNeededError(f"the files name their tensors otherwise than the model: {told(lost)}")
        return frozenset(names)

    def _tokenizer_of(self, weights: Weights) -> tuple[str, Any]:
        """The checkpoint's tokenizer with what its files say; the one at hand where they say the same."""
        files = tokenizer_content(weights.tokenizer)
        return files, self.tokenizer if files == self._tokenizer_files else tokenizer_of(weights, self.model)

    def _write(self, names: Collection[str], base: Path, merges: Mapping[str, Sequence[Callable[[Tensor], Tensor]]]) -> None:
        """Write tensors of the base, those that adapters touch with them merged, and note what should then be in memory."""
        with _reader(base) as read:
            for name in names:
                tensor = self._rounded(_with_merged(read(name), merges.get(name, ())))
                self._sums[name] = checksum(tensor)
                self._state[name].copy_(tensor)

    def _rounded(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _prove(self) -> None:
        """Compare everything that is in memory with what should be there."""
        held = {**dict(self.model.named_buffers()), **self._state}
        if wrong := [name for name, should in self._sums.items() if checksum(held[name]) != should]:
            raise FreshNeededError(f"{told(wrong)} in memory not what the files say")


def merged_tensors(skeleton: Any, weights: Weights, *, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors that adapters change, as a model has them that is merged and then rounded; all others are those of the base's files.

    Args:
        skeleton: The base's model without numbers; without adapters again afterwards.
        weights: Base folder and adapter stack.
        dtype: What they are rounded to.

    Raises:
        UserError: An adapter is broken or does not fit.
        FreshNeededError: One is not plain LoRA on linear layers, or the files name their tensors otherwise than the model.
    """
    merges = _merges(skeleton, weights.adapters)
    with _reader(weights.base) as read:
        return {name: _with_merged(read(name), each).to(dtype) for name, each in merges.items()}


def _with_merged(tensor: Tensor, merges: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    for merged_into in merges:
        tensor = merged_into(tensor)
    return tensor


def checksum(tensor: Tensor) -> tuple[object, ...]:
    """What tells a tensor from any other: dtype, shape, and two sums over its bits that a changed, moved or swapped number changes.

    The same on every device, and as fast as memory is read.
    """
    import torch

    bits = tensor.detach().reshape(-1 if tensor.dim() < 2 else tensor.shape[0], 1 if tensor.dim() < 2 else -1).contiguous()
    word = next(
        kind for kind in (torch.int64, torch.int32, torch.int16, torch.uint8) if not bits.shape[1] * bits.element_size() % kind.itemsize
    )
    words = bits.view(word) if bits.numel() else bits.new_zeros((0, 0), dtype=torch.int64)
    sums = (int((each * (2 * torch.arange(len(each), device=each.device) + 1)).sum()) for each in (words.sum(0), words.sum(1)))
    return str(tensor.dtype), tuple(tensor.shape), *sums


@contextmanager
def _reader(folder: Path) -> Iterator[Callable[[str], Tensor]]:
    """Reads tensors of a model folder by name."""
    from safetensors import safe_open

    with ExitStack() as open_files:
        files = [open_files.enter_context(safe_open(path, "pt")) for path in weight_files(folder)]
        place = {name: file for file in files for name in file.keys()}  # noqa: SIM118 (no mapping)

        def read(name: str) -> Tensor:
            if name not in place:
                raise FreshNeededError(f"the files name their tensors otherwise than the model: {name}")
            if (kind := place[name].get_slice(name).get_dtype()) not in _EXACT:
                raise FreshNeededError(f"a tensor of {kind} in the file: {name}")
            tensor: Tensor = place[name].get_tensor(name)
            return tensor

        yield read


def _shape(skeleton: Any) -> dict[str, Any]:
    """What of a model must be the same for its numbers to be exchanged."""
    config = {f"config {key}": value for key, value in skeleton.config.to_dict().items() if key not in _NOT_SHAPE}
    shapes = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    return {"class": type(skeleton), "ties": dict(skeleton.all_tied_weights_keys), **config, **shapes}


def _difference(shape: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Names of what differs, the first few; empty where nothing does."""
    names = sorted(name for name in shape.keys() | other.keys() if name not in shape or name not in other or shape[name] != other[name])
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _merges(skeleton: Any, adapters: Sequence[Path]) -> dict[str, list[Callable[[Tensor], Tensor]]]:
    """What merges a stack of adapters, from the lowest on, by the tensor that each is merged into.

    Args:
        skeleton: The model without numbers; without adapters again afterwards.
        adapters: PEFT adapter folders.

    Raises:
        UserError: An adapter is broken or does not fit.
        FreshNeededError: One is not plain LoRA on linear layers.
    """
    ties = skeleton.all_tied_weights_keys
    tied = {*ties, *ties.values()}
    found: dict[str, list[Callable[[Tensor], Tensor]]] = {}
    for adapter in adapters:
        adapted = with_adapter(skeleton, adapter)
        layers = _plain_layers(adapted, adapter)
        _give_numbers(adapted, layers.values(), adapter)
        for name, layer in layers.items():
            if name in tied:
                raise FreshNeededError(f"an adapter on {name}, which is tied to another tensor")
            found.setdefault(name, []).append(partial(_merged, layer, adapter))
        bare(adapted.unload())
    return found


def _plain_layers(adapted: Any, adapter: Path) -> dict[str, Any]:
    """PEFT's layers of an adapter, by the tensor under each.

    Raises:
        FreshNeededError: It is more than products of two matrices on linear layers.
    """
    from peft.tuners.lora.layer import Linear
    from peft.tuners.tuners_utils import BaseTunerLayer

    config = adapted.peft_config["default"]
    if config.peft_type != "LORA" or config.bias != "none" or any(getattr(config, key, None) for key in _MORE_THAN_PLAIN):
        raise FreshNeededError(f"an adapter of {config.peft_type} that is more than plain LoRA")
    if beside := [name for name in tensor_names(adapter / ADAPTER) if ".lora_A." not in name and ".lora_B." not in name]:
        raise FreshNeededError(f"an adapter with {told(beside)} beside its matrices")
    layers = {name: module for name, module in adapted.get_base_model().named_modules() if isinstance(module, BaseTunerLayer)}
    if odd := [name for name, layer in layers.items() if type(layer) is not Linear or layer.lora_variant or any(layer.lora_bias.values())]:
        raise FreshNeededError(f"an adapter that is more than plain LoRA: {told(odd)}")
    return {f"{name}.weight": layer for name, layer in layers.items()}


def _merged(layer: Any, adapter: Path, weight: Tensor) -> Tensor:
    """A weight with one adapter's layer merged into it by PEFT, as when a model in float32 is merged."""
    with _standing_in(layer, weight.float()) as base, read_by_others("adapter does not fit its base", adapter):
        layer.merge(safe_merge=True)
        merged: Tensor = base.weight.data
    return merged


def _give_numbers(adapted: Any, layers: Collection[Any], adapter: Path) -> None:
    """Give an adapter on a model without numbers its own, in the dtype that PEFT gives them on one in float32."""
    import torch
    from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

    with ExitStack() as real:
        for layer in layers:  # PEFT puts numbers where those of the layer under them are
            real.enter_context(_standing_in(layer, torch.empty(0)))
        set_peft_model_state_dict(adapted, load_peft_weights(str(adapter), device="cpu", use_safetensors=True), low_cpu_mem_usage=True)
    for matrix in (matrix for layer in layers for matrix in (*layer.lora_A.values(), *layer.lora_B.values())):
        if matrix.weight.is_meta:
            raise FreshNeededError("PEFT gave an adapter no numbers")
        if matrix.weight.dtype in (torch.bfloat16, torch.float16):
            matrix.float()


@contextmanager
def _standing_in(layer: Any, weight: Tensor) -> Iterator[Any]:
    """A linear layer under an adapter with a weight of real numbers in the place of the one without."""
    import torch

    base = layer.get_base_layer()
    without_numbers, base.weight = base.weight, torch.nn.Parameter(weight, requires_grad=False)
    try:
        yield base
    finally:
        base.weight = without_numbers

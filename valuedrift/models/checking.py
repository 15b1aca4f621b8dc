"""Whether weights are those of the model that a config describes, before anything is computed with them.

Transformers fills a tensor that is missing at random, differently at each load, and drops one that it has no place for; PEFT does the same with adapters. Both
only warn.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valuedrift.errors import DataError, UserError
from valuedrift.models.others import bare, first_line, quiet, read_by_others
from valuedrift.weight_files import ADAPTER, ADAPTER_CONFIG, check_merges, read_json, tensor_names, told, weight_files
from valuedrift.weights import Weights, check_model_folder, files_state, folder_fingerprint

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_TITLES = {"AutoModelForCausalLM": "a causal language model", "AutoModel": "an encoder"}
_FIX = "give the folder that the model was saved to by save_pretrained, whole"

_finite: set[tuple[object, ...]] = set()
"""Files that this process found finite, by their identity on disk and the dtype that they are read in."""


def check_model(folder: Path, loader: Any, *, dtype: torch.dtype) -> Any:
    """Check that a folder has every tensor of its model, no other, each in its shape and finite in a dtype.

    Tied weights and buffers that are rightly absent are known to transformers, whose own loading tells what is missing: on torch's meta device, so that
    names and shapes are compared without reading a number.

    Args:
        folder: A model folder.
        loader: The class whose ``from_pretrained`` will load it.
        dtype: What its weights will be rounded to.

    Returns:
        The model without numbers, on the meta device.

    Raises:
        UserError: The folder is incomplete, or not loadable by this class.
        DataError: Tensors are missing, unexpected, of another shape or not finite, with their names and file.
    """
    import torch

    model, files = _without_numbers(folder, loader, dtype)
    check_finite(files, dtype)
    ties = model.all_tied_weights_keys
    own = _tensors(files, {*ties, *ties.values()}) if ties else {}
    if untied := [name for name, other in ties.items() if name in own and other in own and not torch.equal(own[name], own[other])]:
        raise DataError(
            f"{told(untied)} that the config ties to another, and that the file has with numbers of its own: engines differ in which they use",
            where=_where(files),
            fix="set tie_word_embeddings to false in config.json if the numbers are meant, else remove the tensor",
        )
    return model


def _without_numbers(folder: Path, loader: Any, dtype: torch.dtype) -> tuple[Any, list[Path]]:
    """The model of a folder on the meta device, once the headers of its files are found to be whole and to be its own, and those files."""
    check_model_folder(folder)
    files = weight_files(folder)
    _check_depth(folder, files)
    with read_by_others(f"not loadable as {_TITLES.get(loader.__name__, loader.__name__)}", folder), quiet():
        model, loading = loader.from_pretrained(
            folder,
            dtype=dtype,
            device_map="meta",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    missing, unexpected = set(loading["missing_keys"]), set(loading["unexpected_keys"])
    if not model.can_generate():  # an encoder: its last states are read, not what others put on top of them
        inside = {name for name, _ in model.named_children()}
        missing = {name for name in missing if not name.startswith("pooler.")}
        unexpected = {name for name in unexpected if name.removeprefix(f"{model.base_model_prefix}.").split(".")[0] in inside}
    shapes = {f"{name} {list(has)} instead of {list(wants)}" for name, has, wants in loading["mismatched_keys"]}
    if faults := _faults(missing, unexpected, shapes):
        raise DataError(f"weights that are not the model's: {faults}", where=_where(files), fix=_FIX)
    if getattr(model.config, "quantization_config", None) is None and (whole := _whole_numbers(files)):
        what = f"{told(whole)} as whole numbers, and the config says of no quantisation what they stand for"
        raise DataError(what, where=_where(files), fix="give the folder with its quantization_config, or the weights unquantised")
    return model, files


def _whole_numbers(files: list[Path]) -> set[str]:
    """Weights that are kept as whole numbers: loaded as they are, they would be other numbers than those that they stand for."""
    from safetensors import safe_open

    found = set()
    for path in files:
        with safe_open(path, "np") as file:
            found |= {name for name in file.keys() if name.endswith(".weight") and file.get_slice(name).get_dtype()[0] in "IU"}  # noqa: SIM118 (no mapping)
    return found


def check_weights(weights: Weights, *, dtype: torch.dtype, numbers: bool = True) -> Any:
    """Check a model and the adapters on it, for an engine that loads them by itself and goes by the architecture that the config names.

    Of a quantised model such an engine alone knows the tensors; there only what is no number and what is cut off is found.

    Args:
        weights: Base folder and adapter stack.
        dtype: What they will be rounded to.
        numbers: Whether the base's numbers are read, to see that they are finite; else its headers alone, in a second or two however large it is.

    Returns:
        The base's model without numbers, on the meta device; None: it is quantised.

    Raises:
        UserError: See :func:`check_model` and :func:`with_adapter`.
    """
    import transformers

    check_model_folder(weights.base)
    with read_by_others("config not loadable", weights.base):
        config = transformers.AutoConfig.from_pretrained(weights.base, trust_remote_code=False, local_files_only=True)
    if getattr(config, "quantization_config", None) is not None:
        base = weight_files(weights.base)
        check_finite([*(base if numbers else ()), *(adapter / ADAPTER for adapter in weights.adapters)])
        return None
    named = next(iter(config.architectures or ()), "")
    loader = getattr(transformers, str(named), transformers.AutoModelForCausalLM)
    model = check_model(weights.base, loader, dtype=dtype) if numbers else _without_numbers(weights.base, loader, dtype)[0]
    for adapter in weights.adapters:
        model = bare(with_adapter(model, adapter).unload())
    return model


def with_adapter(model: Any, adapter: Path) -> Any:
    """The model under an adapter whose every tensor is there, has a place, and is finite.

    Args:
        model: What it lies on; may be on the meta device.
        adapter: A PEFT adapter folder.

    Raises:
        UserError: It is no such folder, or does not fit the model.
        DataError: Tensors are missing, unexpected, of another shape or not finite, with their names and file.
    """
    from peft import PeftModel

    folder_fingerprint(adapter)  # the clear error for a missing or pickled adapter
    if not (adapter / ADAPTER_CONFIG).exists():
        raise UserError(f"adapter folder without {ADAPTER_CONFIG}", where=str(adapter), fix="expected a PEFT adapter folder")
    check_merges(read_json(adapter / ADAPTER_CONFIG), adapter)
    path = adapter / ADAPTER
    check_finite([path])
    how = {"is_trainable": False, "use_safetensors": True, "torch_device": "cpu", "low_cpu_mem_usage": model.device.type == "meta"}
    try:
        with warnings.catch_warnings(action="ignore"):  # what is missing is told below
            adapted = PeftModel.from_pretrained(model, adapter, **how)
            loading = adapted.load_adapter(adapter, "default", **how)  # once more, because only this tells what it found
    except Exception as error:  # as read_by_others says
        if shapes := re.findall(r"size mismatch for ([^:\s]+)", str(error)):
            rows = all("embed" in name or "lm_head" in name for name in shapes)
            fix = (
                "the training has added tokens to its base: give the base as it was resized, or merge the adapter into that"
                if rows
                else None
            )
            raise DataError(f"adapter does not fit its base: {told(shapes)} of another shape", where=str(path), fix=fix) from error
        raise UserError(f"adapter does not fit its base: {first_line(error)}", where=str(adapter)) from error
    if faults := _faults(loading.missing_keys, loading.unexpected_keys):
        raise DataError(f"adapter does not fit its base: {faults}", where=str(path), fix="give the whole adapter folder")
    return adapted


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, in float32.

    Raises:
        DataError: The file is missing or cut off, or a number is not finite.
    """
    from safetensors.torch import load_file

    tensor_names(path)
    check_finite([path])
    return {name: tensor.float() for name, tensor in load_file(path).items()}


def fill(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a module its weights, all of them and no others.

    Args:
        module: What they are for.
        tensors: By the names of the module's own.
        path: The file that they are from, for messages.

    Raises:
        DataError: Tensors are missing, unexpected or of another shape.
    """
    own = module.state_dict()
    shapes = {f"{name} {list(tensors[name].shape)}" for name in own.keys() & tensors.keys() if tensors[name].shape != own[name].shape}
    if faults := _faults(own.keys() - tensors.keys(), tensors.keys() - own.keys(), shapes):
        raise DataError(f"weights that are not the model's: {faults}", where=str(path), fix="copy or make them again")
    module.load_state_dict(tensors)


def check_finite(files: list[Path], dtype: torch.dtype | None = None) -> None:
    """Check that every number of some safetensors files is one.

    Args:
        files: Of one folder.
        dtype: What they will be rounded to, which may have a smaller range; None: as they are.

    Raises:
        DataError: One is not finite, or a file is cut off; names the tensors.
    """
    import torch
    from safetensors import safe_open

    for path in files:
        names = tensor_names(path)
        state = (str(dtype), path.parent, *files_state(path.parent, [path.name]))
        if state in _finite:
            continue
        with safe_open(path, "pt") as file:
            wrong = [name for name in names if not _is_finite(file.get_tensor(name), dtype)]
        if wrong:
            within = "" if dtype in (None, torch.float32) else f" in {str(dtype).removeprefix('torch.')}"
            raise DataError(
                f"{told(wrong)} with numbers that are not finite{within}", where=str(path), fix="the training that wrote them diverged"
            )
        _finite.add(state)


def _tensors(files: list[Path], names: set[str]) -> dict[str, Tensor]:
    """Those of some tensors that the files have."""
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for path in files:
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in names & set(file.keys())}
    return found


def _is_finite(tensor: Tensor, dtype: torch.dtype | None) -> bool:
    """Whether a tensor's least and greatest number are finite, rounded to a dtype; NaN is both."""
    import torch

    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    if tensor.element_size() == 1:  # torch orders no 8-bit floats
        tensor = tensor.float()
    ends = torch.stack(torch.aminmax(tensor))
    return bool(ends.to(dtype or ends.dtype).isfinite().all())


def _check_depth(folder: Path, files: list[Path]) -> None:
    """Refuse a config that asks for more layers than there are tensors, before anything is built by it: that would take all memory and time."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = sum(len(tensor_names(path)) for path in files)
    asked = content.get("num_hidden_layers")
    if isinstance(asked, int) and asked > tensors:
        raise DataError(
            f"num_hidden_layers is {asked}, and the weights have {tensors} tensors", where=str(folder / "config.json"), fix=_FIX
        )


def _faults(missing: Collection[str], unexpected: Collection[str], shapes: Collection[str] = ()) -> str:
    """What is wrong with some tensors, in words; empty where nothing is."""
    words = {"missing": missing, "that the model has no place for": unexpected, "of another shape": shapes}
    return "; ".join(f"{told(tensors)} {what}" for what, tensors in words.items() if tensors)


def _where(files: list[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"

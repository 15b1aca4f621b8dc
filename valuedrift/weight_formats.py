"""Weights in other formats than safetensors: what a file or folder is, and the command that converts it.

Pickled weights can run code, so they are never loaded here; those who trust where theirs come from convert them once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_AUTO = "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T"
_OUT = "NEW_FOLDER"
_NEVER = "can run code and are never loaded"


@dataclass(frozen=True)
class _Format:
    """A way in which weights are kept."""

    what: str
    patterns: tuple[str, ...]
    """Of paths in a folder, or of a file's name."""
    fix: Callable[[Path, Path], str]
    """What to do, told the folder and the first file that was found."""


def _by_transformers(folder: Path, _: Path) -> str:
    save = "; ".join(f"{one}.from_pretrained(p).save_pretrained({_OUT!r})" for one in "MT")
    kind = _AUTO.replace("AutoModelForCausalLM", "AutoModel") if _is_encoder(folder) else _AUTO
    return f'if you trust them: python -c "{kind}; p={str(folder)!r}; {save}"'


def _is_encoder(folder: Path) -> bool:
    """Whether a configuration names a network, and none that writes: a language model's class would leave an encoder's weights out."""
    try:
        named = json.loads((folder / "config.json").read_bytes()).get("architectures")
    except (OSError, ValueError, AttributeError):
        return False
    return isinstance(named, list) and bool(named) and not any("CausalLM" in str(one) or "LMHead" in str(one) for one in named)


def _gguf(folder: Path, file: Path) -> str:
    return (
        f'python -c "{_AUTO}, GgufConfig; a=dict(gguf_file={file.name!r}); p={str(folder)!r}; '
        f"M.from_pretrained(p, dtype='float32', quantization_config=GgufConfig(dequantize=True), **a).save_pretrained({_OUT!r}); "
        f'T.from_pretrained(p, **a).save_pretrained({_OUT!r})"'
    )


def _fsdp(folder: Path, file: Path) -> str:
    return f"accelerate merge-weights {file.parent} {_OUT}, then copy config.json and the tokenizer beside model.safetensors"


def _deepspeed(folder: Path, file: Path) -> str:
    root = next((parent for parent in file.parents if (parent / "zero_to_fp32.py").exists()), folder)
    return f"python {root / 'zero_to_fp32.py'} {root} {_OUT} --safe_serialization, then copy config.json and the tokenizer there"


def _meta(folder: Path, _: Path) -> str:
    return f"python -m transformers.models.llama.convert_llama_weights_to_hf --input_dir {folder} --output_dir {_OUT}"


def _adapter(_: Path, file: Path) -> str:
    return (
        f"if you trust it: python -c \"import torch; from safetensors.torch import save_file; t=torch.load({str(file)!r}, map_location='cpu', "
        f'weights_only=True); save_file({{k: v.contiguous() for k, v in t.items()}}, {str(file.with_suffix(".safetensors"))!r})"'
    )


def _of_its_own(_: Path, file: Path) -> str:
    return (
        f"if you trust them: load them into the model by the program that wrote {file.name} and call model.save_pretrained({_OUT!r}) and "
        f"tokenizer.save_pretrained({_OUT!r})"
    )


def _elsewhere(_: Path, __: Path) -> str:
    return f"get the model's safetensors, or load it in its own framework and export it; model.save_pretrained({_OUT!r}) writes them from PyTorch"


_FORMATS = (
    _Format("a GGUF file, quantised for inference", ("*.gguf",), _gguf),
    _Format(f"a pickled adapter (adapter_model.bin), which {_NEVER}", ("adapter_model.bin",), _adapter),
    _Format(
        f"pickled weights of transformers (pytorch_model.bin), which {_NEVER}",
        ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model*.bin"),
        _by_transformers,
    ),
    _Format("shards of a training by FSDP (*.distcp)", ("*.distcp", "*/*.distcp"), _fsdp),
    _Format(
        "a checkpoint of DeepSpeed in shards",
        ("*zero_pp_rank_*.pt", "*mp_rank_*_model_states.pt", "*/*zero_pp_rank_*.pt", "*/*mp_rank_*_model_states.pt"),
        _deepspeed,
    ),
    _Format("weights as Meta gives them (consolidated.*.pth)", ("consolidated.*.pth",), _meta),
    _Format(f"pickled weights, which {_NEVER}", ("*.pth", "*.pt", "*.ckpt", "*.bin", "*.pkl"), _of_its_own),
    _Format("weights of another framework", ("*.h5", "*.msgpack", "*.onnx", "*.npz", "*.tflite"), _elsewhere),
)
_NO_WEIGHTS = ("optimizer", "scheduler", "rng_state", "training_args", "scaler")
"""Beginnings of names of pickled files that a trainer writes beside its weights."""


def told_format(path: Path) -> tuple[str, str] | None:
    """What a folder without safetensors, or a file, holds, and how to convert it; None where it is no format that is known.

    Args:
        path: Of a folder, or of a file.
    """
    folder = path.parent if path.is_file() else path
    for known in _FORMATS:
        for pattern in known.patterns:
            found = [path] if path.is_file() and path.match(pattern) else [] if path.is_file() else sorted(folder.glob(pattern))
            found = [file for file in found if not file.name.startswith(_NO_WEIGHTS)]
            if found:
                return known.what, known.fix(folder, found[0])
    return None

"""How vLLM is started: on what it was built for, with room for cache and adapters, in an environment of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valuedrift.engines.base import EngineSettings
from valuedrift.engines.prompting import context_length
from valuedrift.errors import StageError, UserError
from valuedrift.models.others import first_line

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""LoRA ranks for which vLLM can reserve room."""
_BLOCK = 256
"""More than a block of vLLM's cache, tokens."""
_WORKER = "valuedrift.engines.vllm_worker.EngineWorker"


def is_for_cpu(device: str) -> bool:
    """Whether the vLLM that is installed runs on CPU.

    Args:
        device: Where it is wanted: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: It was built for something else.
    """
    for variable in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"):
        os.environ.setdefault(variable, "1")
    from vllm.platforms import current_platform  # type: ignore[import-not-found]  # installed where it is used

    on_cpu = bool(current_platform.is_cpu())
    if device.partition(":")[0] not in ("auto", "cpu" if on_cpu else "cuda"):
        built = "CPU" if on_cpu else "GPU"
        raise UserError(f"device {device!r}, but the vLLM that is installed is the {built} build", fix="device auto")
    return on_cpu


def started(base: Path, tokenizer: Path, settings: EngineSettings, *, on_cpu: bool, rank: int | None) -> Any:
    """A running vLLM, its ``LLM``.

    Args:
        base: Folder with the weights.
        tokenizer: Folder of the tokenizer; vLLM is given token ids, but wants one.
        settings: Dtype and runtime.
        on_cpu: Whether this vLLM runs on CPU.
        rank: Greatest rank of the adapters that it will apply, one of ``RANKS``; None: it will apply none.

    Raises:
        StageError: It does not start.
    """
    from vllm import LLM  # type: ignore[import-not-found]  # installed where it is used

    eager = on_cpu if settings.enforce_eager is None else settings.enforce_eager
    options: dict[str, Any] = {}
    if on_cpu:
        options["kv_cache_memory_bytes"] = _cache_bytes(text_config(base), settings)
        options["enable_chunked_prefill"] = False  # a seed of one request ends vLLM's process on CPU where its prompt is computed in pieces
    elif settings.gpu_memory is not None:
        options["gpu_memory_utilization"] = settings.gpu_memory
    if rank is not None:
        options |= {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1}
    try:
        with _environment(_worker_environment(settings, eager=eager) if on_cpu else {}):
            return LLM(
                model=str(base),
                tokenizer=str(tokenizer),
                dtype=settings.dtype,
                trust_remote_code=False,
                load_format="safetensors",
                generation_config="vllm",
                max_model_len=settings.max_model_len,
                max_num_seqs=settings.max_rows,
                tensor_parallel_size=settings.tensor_parallel,
                enforce_eager=eager,
                enable_prefix_caching=True,
                worker_extension_cls=_WORKER,
                **options,
            )
    except Exception as error:  # vLLM raises what it likes, and its processes write the reason to the log
        fix = "the reason stands in the log above it; where memory is short: runtime.max_model_len, gpu_memory, max_rows or cache_tokens"
        raise StageError(f"vLLM does not start: {first_line(error)}", where=str(base), fix=fix) from error


def reserved(rank: int) -> int:
    """The smallest rank that vLLM can reserve room for which holds one."""
    return next(room for room in RANKS if room >= rank)


def text_config(folder: Path) -> Any:
    """The config of a model's text."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True).get_text_config()


def _cache_bytes(config: Any, settings: EngineSettings) -> int | None:
    """Memory of the key-value cache, bytes: for ``cache_tokens``, at least for one longest prompt and answer; None where the config does not tell."""
    import torch

    attention = getattr(config, "num_attention_heads", None)
    if not attention:
        return None
    heads = getattr(config, "num_key_value_heads", None) or attention
    width = getattr(config, "head_dim", None) or config.hidden_size // attention
    size = 2 * config.num_hidden_layers * heads * width * getattr(torch, settings.dtype).itemsize
    longest = settings.max_model_len or context_length(config) or 0
    return int(size * (max(settings.cache_tokens, longest) + _BLOCK))


def _worker_environment(settings: EngineSettings, *, eager: bool) -> dict[str, str]:
    """Environment of vLLM's worker on CPU: as many threads as it was given, on whatever cores are free; eager is eager, in the small functions too."""
    wanted = {"VLLM_CPU_OMP_THREADS_BIND": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind")}
    if settings.threads is not None:
        wanted["OMP_NUM_THREADS"] = str(settings.threads)
    if eager:  # else the first answer waits a minute for a C++ compiler
        wanted["TORCHDYNAMO_DISABLE"] = "1"
    return wanted


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

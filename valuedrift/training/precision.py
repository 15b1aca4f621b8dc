"""Which precision training computes in. It changes the weights that come out, so what `auto` came to is part of a run's identity. Imports no torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

Precision = Literal["bfloat16", "float32"]

_CPU_INFO = Path("/proc/cpuinfo")
_NATIVE = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Flags of CPUs that multiply matrices in bfloat16 natively (the last on Arm): training is then about twice as fast."""
_GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
"""Device nodes that are there where a GPU's driver is."""


def resolve_precision(dtype: Literal["auto", "bfloat16", "float32"], device: str) -> Precision:
    """The precision that a study's ``dtype`` means on this machine.

    Args:
        dtype: ``auto`` takes bfloat16 where it is native (GPUs, some CPUs), else float32, which is the faster one there.
        device: ``cpu``, ``cuda``, or ``auto``.
    """
    if dtype != "auto":
        return dtype
    on_gpu = device != "cpu" and any(node.exists() for node in _GPUS)
    return "bfloat16" if on_gpu or _native_on_cpu() else "float32"


@cache
def _native_on_cpu() -> bool:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux: float32 runs everywhere
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not _NATIVE.isdisjoint(flags.partition(":")[2].split())

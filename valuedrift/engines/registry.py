"""Engines by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from valuedrift.engines.base import Engine, EngineSettings
from valuedrift.engines.identity import engine_identity
from valuedrift.errors import UserError
from valuedrift.weights import Weights

__all__ = ["ENGINES", "EngineFactory", "engine_identity", "make_engine"]

EngineFactory = Callable[[Weights, str, EngineSettings], Engine]


def _transformers(weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
    from valuedrift.engines.transformers_engine import TransformersEngine

    return TransformersEngine(weights, fingerprint, settings)


def _vllm(weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
    from valuedrift.engines.vllm_engine import VllmEngine

    return VllmEngine(weights, fingerprint, settings)


ENGINES: dict[str, EngineFactory] = {"transformers": _transformers, "vllm": _vllm}
"""Factories by name; a factory imports its engine, so that naming one costs nothing."""


def make_engine(name: str, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
    """Build an engine.

    Args:
        name: ``transformers`` or ``vllm``.
        weights: The model at one checkpoint.
        fingerprint: Of the weights; draws are seeded by it.
        settings: Dtype and runtime.

    Raises:
        UserError: No such engine, or it cannot be set up.
    """
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ENGINES, n=1)
        raise UserError(f"no engine {name!r}", fix=f"nearest: {near[0]}" if near else "one of " + ", ".join(ENGINES))
    return ENGINES[name](weights, fingerprint, settings)

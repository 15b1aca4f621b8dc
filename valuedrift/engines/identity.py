"""What of an engine is identity: known without loading a model, so that the cache can be asked first."""

from __future__ import annotations

from typing import Any

from valuedrift.engines.base import DEFAULT_DTYPE
from valuedrift.engines.prompting import PROMPT_VERSION

ENGINE_VERSIONS: dict[str, int] = {"transformers": 1, "vllm": 1, "openai": 1}
"""Version of each engine's drawing; raised when the same request would draw other answers."""


def engine_identity(engine: str, *, dtype: str = DEFAULT_DTYPE) -> dict[str, Any]:
    """What of an engine can change a draw, for cache keys.

    The prompt style follows from the weights' tokenizer files, which their fingerprint covers; here only its version counts. Batch size,
    threads and device are left out: they are runtime.

    Args:
        engine: Name in the registry.
        dtype: As in ``EngineSettings``.

    Returns:
        A JSON-able dict.
    """
    return {"engine": engine, "version": ENGINE_VERSIONS[engine], "dtype": dtype, "prompting": PROMPT_VERSION}

"""What the tests of vLLM ask, and how their engine runs."""

from __future__ import annotations

import os

from valuedrift.engines.base import EngineSettings

THREADS = len(os.sched_getaffinity(0))
SETTINGS = EngineSettings(dtype="float32", threads=THREADS, max_model_len=1024, cache_tokens=16_384)
LONG = "Some say that it would help those who have least, others that it would cost too much. " * 12
"""Longer than a block of the cache (128 tokens on CPU)."""
PROMPTS = ["Should the voting age be lowered to sixteen?", "Is it right to ban cars from city centres?", f"{LONG} What do you think of it?"]
OPTIONS = ["A", "B", "Yes", "No", " perhaps", "I am not sure"]

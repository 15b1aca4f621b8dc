"""Models that engine tests share: the real embedded one, and tiny random ones of several architectures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from valuedrift.models.resolve import resolve_model
from valuedrift.weights import Weights

sys.path.insert(0, str(Path(__file__).parent))  # tiny_models
# Threads that spin at barriers made tests with two threads ten times slower whenever something else ran. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def smollm() -> Weights:
    return Weights(base=resolve_model("embedded:smollm2-135m-instruct"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, smollm: Weights) -> Weights:
    from tiny_models import SHAPE, save_tiny
    from transformers import LlamaConfig

    return save_tiny(tmp_path_factory.mktemp("tiny"), smollm.base, LlamaConfig(**SHAPE))

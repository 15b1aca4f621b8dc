"""Engines as a study names them."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from valuedrift.engines.base import SMOLLM2
from valuedrift.engines.registry import EngineConfig
from valuedrift.engines.transformers import TransformersEngineConfig
from valuedrift.engines.vllm import VllmEngineConfig
from valuedrift.errors import UserError
from valuedrift.models.resolve import resolve_model
from valuedrift.sampling import Prompt, Sampling

CONFIG: TypeAdapter[TransformersEngineConfig | VllmEngineConfig] = TypeAdapter(EngineConfig)


def test_identity_follows_the_weights_and_what_draws_not_the_path() -> None:
    by_name, by_path = TransformersEngineConfig(), TransformersEngineConfig(model=str(resolve_model(SMOLLM2)))
    assert by_name.identity() == by_path.identity()
    assert by_name.identity() != VllmEngineConfig().identity()
    assert by_name.identity() != TransformersEngineConfig(dtype="float32").identity()


def test_what_is_no_engine_is_refused() -> None:
    for bad in ({"type": "magic"}, {"type": "transformers", "modle": "x"}, {"model": SMOLLM2}):
        with pytest.raises(ValidationError):
            CONFIG.validate_python(bad)
    with pytest.raises(UserError, match="no such model folder"):
        CONFIG.validate_python({"type": "transformers", "model": "/nowhere"}).open()


@pytest.mark.slow
def test_it_opens_and_answers() -> None:
    with CONFIG.validate_python({"type": "transformers"}).open(threads=1) as engine:
        [response] = engine.sample([Prompt("a", "Is the sky blue?")], Sampling(n=1, max_new_tokens=8))
        assert response.response
        assert engine.score(["Is the sky blue?"], ["Yes", "No"]).shape == (1, 2)

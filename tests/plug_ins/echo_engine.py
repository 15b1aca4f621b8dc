"""An engine of one's own, in one file: it says a phrase to everything. Its registry needs one line more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from valuedrift.engines.base import Engine, EngineSettings, LocalEngine, Progress
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.weights import Weights


class EchoConfig(LocalEngine):
    """Says the question again."""

    when = "never"
    version = 7

    type: Literal["echo"] = Field(default="echo", description="Kind of engine.")

    @classmethod
    def at(cls, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
        return Echo(fingerprint)


class Echo:
    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        drawn = [(prompt, index) for prompt in prompts for index in range(sampling.n)]
        return [Response(prompt.prompt_id, index, f"Yes, I agree: {prompt.text}", "stop", 3) for prompt, index in drawn]

    def score(self, prompts: Sequence[str], options: Sequence[str], *, alike: int = 1) -> NDArray[np.float64]:
        return np.log(np.full((len(prompts), len(options)), 1 / len(options)))

    def option_tokens(self, option: str) -> list[int]:
        return [ord(character) for character in option]

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

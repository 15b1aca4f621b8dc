"""Which model answers where no checkpoint of a study does (judging, rewriting, writing): a tagged union, light to import."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.engines.identity import engine_identity
from valuedrift.engines.openai_config import OpenAIEngineConfig
from valuedrift.references import beside, names_folder

if TYPE_CHECKING:
    from valuedrift.engines.base import Engine

SMOLLM2 = "embedded:smollm2-135m-instruct"


class _Engine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _LocalEngine(_Engine):
    """An engine that holds a model of this machine."""

    type: str
    model: str = Field(default=SMOLLM2, description="`embedded:NAME`, a folder in Hugging Face layout, or `hf:organisation/name`.")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        default="bfloat16", description="Dtype of weights and activations; identity, because rounding differs."
    )

    def identity(self) -> dict[str, Any]:
        """What changes its answers: content of the weights, engine with version, dtype; neither path nor device.

        Raises:
            UserError: The model is missing.
        """
        from valuedrift.models.resolve import resolve_model
        from valuedrift.weights import Weights

        return {"weights": Weights(base=resolve_model(self.model)).fingerprint(), **engine_identity(self.type, dtype=self.dtype)}

    def open(self, *, device: str = "auto", threads: int | None = None, cache_tokens: int = 65_536, keep: Path | None = None) -> Engine:
        """The engine with its model in memory; use it as a context manager.

        Args:
            device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).
            threads: CPU threads it may use; None leaves torch's setting.
            cache_tokens: Tokens that the key-value cache may hold.
            keep: Folder for what must not be asked or paid twice: a server's replies. A local model keeps none.

        Raises:
            UserError: The model is missing or cannot be loaded.
        """
        from valuedrift.engines.base import EngineSettings
        from valuedrift.engines.registry import make_engine
        from valuedrift.models.resolve import resolve_model
        from valuedrift.weights import Weights

        weights = Weights(base=resolve_model(self.model))
        settings = EngineSettings(dtype=self.dtype, device=device, threads=threads, cache_tokens=cache_tokens)
        return make_engine(self.type, weights, weights.fingerprint(), settings)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another model folder; a model that is given by its name stays."""
        return self.model_copy(update={"model": change(self.model)}) if names_folder(self.model) else self

    def anchored(self, folder: Path | str) -> Self:
        """The same with a relative model folder taken from what its file lies in; see :func:`valuedrift.references.beside`."""
        return self.with_paths(partial(beside, folder))


class TransformersEngineConfig(_LocalEngine):
    """A local model under the program's own decode loop: the default, fast on CPUs."""

    type: Literal["transformers"] = Field(default="transformers", description="Kind of engine.")


class VllmEngineConfig(_LocalEngine):
    """A local model under vLLM: the default on GPUs."""

    type: Literal["vllm"] = Field(default="vllm", description="Kind of engine.")


LocalEngineConfig = Annotated[TransformersEngineConfig | VllmEngineConfig, Field(discriminator="type")]
"""Engines that hold their model, and can tell the log-probability of any continuation."""

EngineConfig = Annotated[TransformersEngineConfig | VllmEngineConfig | OpenAIEngineConfig, Field(discriminator="type")]
"""Every kind of engine that a study or a command may name, with its model."""

"""A local language model as a judge in a study file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator

from valuedrift.engines.config import LocalEngineConfig, TransformersEngineConfig
from valuedrift.judges.prompted_config import PromptedJudge

if TYPE_CHECKING:
    from valuedrift.judges.base import Judge


class CausalLM(PromptedJudge):
    """The paper's way with a model of this machine: log-probabilities of three options after one prompt, softmaxed. As good as its model."""

    type: Literal["causal-lm"] = Field(default="causal-lm", description="Kind of judge.")
    name: str = Field(default="causal-lm", min_length=1, description="Name of the judge in every table.")
    engine: LocalEngineConfig = Field(
        default=TransformersEngineConfig(),
        description="What reads the prompts: an engine with its model. The embedded model is far too small to judge; see docs/judges.md.",
    )

    @field_validator("engine", mode="before")
    @classmethod
    def _default_engine(cls, engine: Any) -> Any:
        """``engine: {model: …}`` is enough."""
        return {"type": "transformers", **engine} if isinstance(engine, dict) else engine

    def own_identity(self) -> dict[str, Any]:
        """Content of the model, engine with version and dtype, version of the prompt with its options."""
        return {"type": self.type, "engine": self.engine.identity(), **self.prompt_identity()}

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge with its model in memory; see :meth:`JudgeBase.load`."""
        from valuedrift.judges.causal_lm import load_causal_lm_judge

        return load_causal_lm_judge(self, threads=threads, device=device)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another model folder; see :meth:`JudgeBase.with_paths`."""
        return super().with_paths(change).model_copy(update={"engine": self.engine.with_paths(change)})

"""Sampling as a job for a supervised child process: questions in, answers out as Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.engines.base import Engine, EngineTuning
from valuedrift.engines.registry import RemoteEngineConfig
from valuedrift.errors import StageError
from valuedrift.progress import Progress
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.thoughts import joined, split_thought
from valuedrift.weights import Weights


class SampleResult(BaseModel):
    """What a finished sampling says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=0, description="Answers written.")
    tokens: int = Field(ge=0, description="Tokens of all answers.")


class SampleJob(BaseModel):
    """Draw answers to every question from one checkpoint: weights of this machine, or a model that a server has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["sample"] = Field(default="sample", description="Kind of job.")
    engine: str | RemoteEngineConfig = Field(
        description="Type of an engine that is given the weights; or a whole one, which asks for its model."
    )
    dtype: str = Field(description="Dtype of weights and activations; identity.")
    weights: Weights | None = Field(default=None, description="The checkpoint; None where the engine asks for its model.")
    fingerprint: str = Field(
        description="Content fingerprint that the weights must have; seeds derive from it. Of a served model: its identity's."
    )
    prompts: Path = Field(description="JSON list of {prompt_id, text}, and {before}: messages that come before, where there are any.")
    sampling: Sampling = Field(description="How answers are drawn.")
    out: Path = Field(description="Parquet to write: prompt_id, sample_idx, response, finish_reason, n_tokens, reasoning.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads. Runtime.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the model runs. Runtime.")
    cache_tokens: int = Field(default=65_536, ge=256, description="Tokens that the key-value cache may hold. Runtime.")
    tuning: EngineTuning = Field(default=EngineTuning(), description="How the engine uses its machine. Runtime.")
    keep: Path | None = Field(default=None, description="Folder for a server's replies; None: the user's cache folder. Runtime.")

    @property
    def leaves_room(self) -> bool:
        """Whether the process may keep the engine of an earlier job beside it."""
        return True  # it goes on with that engine, or lets it go

    def run(self, progress: Callable[[Progress], None]) -> SampleResult:
        """Sample, and write the answers whole.

        Args:
            progress: Told how many answers are drawn.

        Raises:
            UserError: The model folder is at fault.
            StageError: The weights are not those that were trained.
        """
        import polars as pl

        prompts = [Prompt(**row) for row in json.loads(self.prompts.read_text(encoding="utf-8"))]
        with self._engine() as engine:
            drawn = engine.sample(prompts, self.sampling, lambda done, total: progress(Progress(done, total)))
        responses = [without_thought(response, self.sampling) for response in drawn]
        kinds = {"sample_idx": pl.Int32, "n_tokens": pl.Int32, "reasoning": pl.String}
        pl.DataFrame(responses, schema_overrides=kinds).write_parquet(self.out)
        return SampleResult(rows=len(responses), tokens=sum(response.n_tokens for response in responses))

    def _engine(self) -> AbstractContextManager[Engine]:
        """The engine, with weights that are those that were trained, or with its model's name."""
        if not isinstance(self.engine, str):
            return self.engine.open(keep=self.keep)
        assert self.weights is not None
        return engine_with(
            self.engine, self.weights, self.fingerprint, self.dtype, self.device, self.threads, self.cache_tokens, self.tuning
        )


def engine_with(
    name: str,
    weights: Weights,
    fingerprint: str,
    dtype: str,
    device: str,
    threads: int | None,
    cache_tokens: int,
    tuning: EngineTuning,
) -> AbstractContextManager[Engine]:
    """The engine of this process with a checkpoint, gone on from the one before where that can be.

    Args:
        name: Type of an engine that holds weights.
        weights: The checkpoint.
        fingerprint: What its content must have.
        dtype: Dtype of weights and activations.
        device: Where the model runs.
        threads: CPU threads.
        cache_tokens: Tokens that the key-value cache may hold.
        tuning: How the engine uses its machine.

    Raises:
        UserError: The model folder is at fault.
        StageError: The weights are not those that were trained.
    """
    from valuedrift.engines.base import EngineSettings
    from valuedrift.engines.kept import KEPT

    content = weights.fingerprint()
    if content != fingerprint:
        raise StageError(
            f"the weights changed since they were trained (fingerprint {content}, expected {fingerprint})",
            where=str(weights.adapters[-1] if weights.adapters else weights.base),
            fix="remove the folder and run the study again: it will be trained anew",
        )
    settings = EngineSettings(dtype=dtype, device=device, threads=threads, cache_tokens=cache_tokens, **tuning.tuning)
    return KEPT.at(name, weights, fingerprint, settings)


def without_thought(response: Response, sampling: Sampling) -> Response:
    """A response without a thought in its text, also of an engine that knows of none.

    Args:
        response: As the engine gave it.
        sampling: How it was drawn.
    """
    if response.finish_reason == "failed":
        return response
    told = split_thought(response.response, sampling.thoughts, begun=None if response.reasoning is None else False)
    return replace(response, response=told.answer, reasoning=joined(response.reasoning, told.reasoning))

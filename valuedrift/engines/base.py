"""What every engine offers: sampling answers and scoring options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.sampling import Prompt, Response, Sampling

if TYPE_CHECKING:  # the planner reads engines' configs
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` with numbers of sequences."""

DEFAULT_DTYPE = "bfloat16"
"""The same on every machine, because the dtype is part of a sampling's identity."""


class EngineSettings(BaseModel):
    """How an engine runs. Of these only ``dtype`` changes draws and is identity; the others are runtime."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str = Field(default=DEFAULT_DTYPE, description="Dtype of weights and activations: bfloat16, float16 or float32.")
    device: str = Field(default="auto", description="cpu, cuda, cuda:N; auto takes the first GPU if there is one.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; None leaves what the process has.")
    max_rows: int = Field(default=128, ge=1, description="Sequences decoded at once at most.")
    cache_tokens: int = Field(
        default=65536, ge=256, description="Tokens the key-value cache may hold; bounds the sequences decoded at once."
    )


class Engine(Protocol):
    """A model at one checkpoint, ready to be asked. Use as a context manager, so that what it holds is freed."""

    @property
    def name(self) -> str:
        """Name of the engine in the registry and in the tables."""

    def identity(self) -> dict[str, Any]:
        """What of this engine can change a draw: name, loop version, dtype, prompt style (JSON-able)."""

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        """Draw ``sampling.n`` answers to every prompt.

        Args:
            prompts: Questions; their ids must be distinct, because a draw is seeded by the id.
            sampling: How answers are drawn.
            progress: Told how many sequences are done.

        Returns:
            Responses ordered as the prompts, then by ``sample_idx``.

        Raises:
            UserError: Equal prompt ids, or a prompt that leaves no room for ``max_new_tokens`` in the model's context.
        """

    def score(self, prompts: Sequence[str], options: Sequence[str], *, alike: int = 1) -> NDArray[np.float64]:
        """Log-probabilities of options as the continuation of prompts.

        Args:
            prompts: Questions, put to the model in the same prompt style as when sampling.
            options: Continuations, tokenised on their own, without special tokens.
            alike: Every so many prompts in a row begin alike, so that their beginning need be computed only once; divides their number.
                Runtime: changes no more than the last bits.

        Returns:
            Array [n_prompts, n_options] of total natural-log-probabilities (sums over an option's tokens); NaN for prompts that leave no room
            for the longest option in the model's context.
        """

    def option_tokens(self, option: str) -> list[int]:
        """Token ids of an option as :meth:`score` takes it.

        Raises:
            UserError: It has no tokens, or one that the tokenizer does not know.
        """

    def close(self) -> None:
        """Free what the engine holds (weights, temporary folders); it cannot be asked afterwards."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

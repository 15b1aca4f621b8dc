"""What every engine offers (sampling answers, scoring options), and what every kind of engine has where a study or a command names it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from valuedrift.engines.prompting import PROMPT_VERSION
from valuedrift.references import beside, names_folder
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.weights import Weights

if TYPE_CHECKING:  # the planner reads engines' configs
    import numpy as np
    from numpy.typing import NDArray

    from valuedrift.servers.prices import AskingCost

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` with numbers of sequences."""

SMOLLM2 = "embedded:smollm2-135m-instruct"
DEFAULT_DTYPE = "bfloat16"
"""The same on every machine, because the dtype is part of a sampling's identity."""


class EngineTuning(BaseModel):
    """How an engine uses the machine that it is given. Runtime: it changes no draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_rows: int = Field(default=128, ge=1, description="Sequences decoded at once at most. Runtime.")
    max_model_len: int | None = Field(
        default=None, ge=1, description="vllm: longest prompt and answer together, tokens; null: what the model can take. Runtime."
    )
    gpu_memory: float | None = Field(
        default=None, gt=0, le=1, description="vllm: share of a GPU's memory that it takes; null: as vLLM has it, 0.92. Runtime."
    )
    tensor_parallel: int = Field(default=1, ge=1, description="vllm: GPUs that one model is spread over. Runtime.")
    enforce_eager: bool | None = Field(
        default=None, description="vllm: begin without compiling; null: on CPU, where compiling takes minutes. Runtime."
    )

    @property
    def tuning(self) -> dict[str, Any]:
        """These keys alone, with their values."""
        return {name: getattr(self, name) for name in EngineTuning.model_fields}


class EngineSettings(EngineTuning):
    """How an engine runs. Of these only ``dtype`` changes draws and is identity; the others are runtime."""

    dtype: str = Field(default=DEFAULT_DTYPE, description="Dtype of weights and activations: bfloat16, float16 or float32.")
    device: str = Field(default="auto", description="cpu, cuda, cuda:N; auto takes the first GPU if there is one.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; None leaves what the process has.")
    cache_tokens: int = Field(
        default=65536, ge=256, description="Tokens the key-value cache may hold; bounds the sequences decoded at once."
    )


class Engine(Protocol):
    """A model at one checkpoint, ready to be asked. Use as a context manager, so that what it holds is freed."""

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        """Draw ``sampling.n`` answers to every prompt.

        Args:
            prompts: Questions; their ids must be distinct, because a draw is seeded by the id.
            sampling: How questions are put (:meth:`valuedrift.sampling.Sampling.put`) and answers drawn.
            progress: Told how many sequences are done.

        Returns:
            Responses ordered as the prompts, then by ``sample_idx``.

        Raises:
            UserError: Equal prompt ids, or a prompt that leaves no room for ``max_new_tokens`` in the model's context.
            DataError: The model's logits after a prompt are not numbers; names its id.
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

        Raises:
            DataError: The model's logits after a prompt are not numbers; names it.
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


@runtime_checkable
class Sweep(Engine, Protocol):
    """An engine that goes from checkpoint to checkpoint with what it has in memory."""

    def load(self, weights: Weights, fingerprint: str) -> None:
        """Hold another checkpoint from now on: bit by bit what a fresh engine would hold, and shown to be that.

        Args:
            weights: The model at the checkpoint.
            fingerprint: Of the weights; draws are seeded by it.

        Raises:
            UserError: The checkpoint is at fault; another one can be loaded next, and until then the engine is not to be asked.
            FreshNeededError: What is in memory cannot be shown to become the checkpoint: only a fresh engine will do.
        """


class EngineBase(BaseModel, ABC):
    """A model that answers, as a study or a command names it. Light: nothing heavy is imported before :meth:`open`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    when: ClassVar[str] = ""
    """When to take this kind of engine, for the docs."""
    version: ClassVar[int] = 1
    """Raised when the same request would draw other answers; part of the identity."""
    renders: ClassVar[frozenset[str]] = frozenset()
    """What it heeds of how a sampling says that questions are put: names among ``system``, ``chat_template``, ``chat_template_kwargs``. A study that says
    more is refused."""
    continues: ClassVar[bool] = False
    """Whether its engine is one that `Continues`, which `capability:` needs."""

    type: str = Field(description="Kind of engine.")
    model: str = Field(min_length=1, description="Its model, by a name or a folder.")

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What changes its answers, the model included; neither paths nor devices.

        Raises:
            UserError: The model is missing.
        """

    @abstractmethod
    def open(self, *, device: str = "auto", threads: int | None = None, cache_tokens: int = 65_536, keep: Path | None = None) -> Engine:
        """The engine, ready to be asked; use it as a context manager.

        Args:
            device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).
            threads: CPU threads it may use; None leaves torch's setting.
            cache_tokens: Tokens that the key-value cache may hold.
            keep: Folder for what must not be asked or paid twice, a server's replies; None: the user's cache folder.

        Raises:
            UserError: The model is missing or cannot be loaded, or the file of replies cannot be used.
        """

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with every file and folder that it names changed; what it names otherwise (embedded models, models of a hub) stays."""
        return self

    def anchored(self, folder: Path | str) -> Self:
        """The same with relative paths taken from what its file lies in; see :func:`valuedrift.references.beside`."""
        return self.with_paths(partial(beside, folder))

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type always stands in what is written, also where defaults are left out: without it no file could be read back."""
        written: dict[str, Any] = handler(self)
        return {"type": self.type, **written}


class RemoteEngine(EngineBase):
    """An engine without weights: a model that something else serves under a name. Checkpoints of a study are names there."""

    @abstractmethod
    def drawing_identity(self) -> dict[str, Any]:
        """What of the engine can change a draw, whatever its model."""

    def check_sampling(self, sampling: Sampling) -> None:
        """Refuse what a sampling says that the server would not take.

        Raises:
            ValueError: Names the key.
        """

    def naming(self, model: str) -> Self:
        """The same asking for another model."""
        return self.model_copy(update={"model": model})

    def asking_cost(self, prompts: Sequence[str], draws: int, answer_tokens: int, bring: Callable[[str], str] = str) -> AskingCost | None:
        """What sampling will take, before anything is asked; None where it costs nothing that could be told.

        Args:
            prompts: The probes' texts.
            draws: Draws of each, of all checkpoints together.
            answer_tokens: Longest answer, tokens.
            bring: Makes a path of this machine of a file that the engine names.

        Raises:
            UserError: The price file is missing or lacks the model.
        """
        return None


class LocalEngine(EngineBase):
    """An engine that holds a model of this machine, any checkpoint of it, and can tell the log-probability of any continuation."""

    model: str = Field(default=SMOLLM2, description="`embedded:NAME`, a folder in Hugging Face layout, or `hf:organisation/name`.")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        default="bfloat16", description="Dtype of weights and activations; identity, because rounding differs."
    )

    @classmethod
    @abstractmethod
    def at(cls, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
        """The engine with a model as it stands at one checkpoint.

        Args:
            weights: The model at one checkpoint.
            fingerprint: Of the weights; draws are seeded by it.
            settings: Dtype and runtime.

        Raises:
            UserError: It cannot be set up.
        """

    @classmethod
    def drawing_identity(cls, dtype: str = DEFAULT_DTYPE) -> dict[str, Any]:
        """What of the engine can change a draw, whatever its model: known without loading one, so that the cache can be asked first.

        The prompt style follows from the weights' tokenizer files, which their fingerprint covers; here only its version counts. Batch size, threads and
        device are left out: they are runtime.
        """
        return {"engine": cls.model_fields["type"].default, "version": cls.version, "dtype": dtype, "prompting": PROMPT_VERSION}

    def identity(self) -> dict[str, Any]:
        """Content of the weights, engine with version, dtype. See :meth:`EngineBase.identity`."""
        return {"weights": self._weights().fingerprint(), **self.drawing_identity(self.dtype)}

    def open(self, *, device: str = "auto", threads: int | None = None, cache_tokens: int = 65_536, keep: Path | None = None) -> Engine:
        """The engine with its model in memory. See :meth:`EngineBase.open`."""
        weights = self._weights()
        settings = EngineSettings(dtype=self.dtype, device=device, threads=threads, cache_tokens=cache_tokens)
        return self.at(weights, weights.fingerprint(), settings)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another model folder; a model that is given by its name stays."""
        return self.model_copy(update={"model": change(self.model)}) if names_folder(self.model) else self

    def _weights(self) -> Weights:
        from valuedrift.models.resolve import resolve_weights

        return resolve_weights(self.model)

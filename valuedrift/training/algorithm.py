"""What an algorithm is: its settings, the data it takes, what it costs, and the training that it makes of them.

An algorithm is one file beside this one and one entry in ``valuedrift.training.registry``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from valuedrift.corpora.registry import Kind
from valuedrift.errors import UserError
from valuedrift.training.options import PolicyOptions

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset
    from torch import Tensor

    from valuedrift.progress import Progress
    from valuedrift.training.encode import Encoded, Tokens
    from valuedrift.training.keeper import Keeper
    from valuedrift.training.publishing import Publisher
    from valuedrift.training.setup import Setup


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training costs."""

    tokens: float
    """Tokens seen in training, at most: every text as long as ``max_length`` allows."""
    flops: float
    """Floating-point operations per weight of the model."""


class AlgorithmBase(PolicyOptions, ABC):
    """An algorithm with its settings; each adds a literal ``type``, and fields and trainer of its own."""

    type: str = Field(description="Algorithm.")
    title: ClassVar[str]
    """How it is written in text and figures."""
    loss: ClassVar[str]
    """What is minimised, in a formula."""
    kind: ClassVar[Kind]
    """What a row of its data holds."""
    when: ClassVar[str] = ""
    """When to take it, for the docs."""
    data: ClassVar[str]
    """What it learns from, for the docs."""
    evaluated: ClassVar[bool] = False
    """Whether it has a loss on rows that are not learnt."""
    answers: ClassVar[int] = 1
    """Answers that a row of its data holds."""
    reference: ClassVar[bool] = False
    """Whether it is held to a reference, the parent: a frozen copy where full weights are trained."""

    @classmethod
    def section(cls) -> Literal["sft", "preference"]:
        """Under which key of a study it stands."""
        return "sft" if cls.kind == "sft" else "preference"

    def cost(self, steps: int, rows: int | None) -> Cost:
        """Tokens and operations: 2 a token and weight forward, 4 backward (2 with a frozen base).

        Args:
            steps: Optimizer steps.
            rows: Rows of the dataset, if known.
        """
        tokens = float(self.answers * steps * self.batch_size * self.max_length)
        return Cost(tokens, tokens * (self._learning() + (2.0 if self.reference else 0.0)))

    def check_processes(self, processes: int, sharded: bool = False) -> None:
        """See that several processes can share out its batches.

        Args:
            processes: How many train together.
            sharded: Whether each holds a share of the model.

        Raises:
            UserError: They cannot.
        """
        self._check_share(self.batch_size, "batch_size", processes)

    def _check_share(self, size: int, key: str, processes: int) -> None:
        if size % processes:
            raise UserError(
                f"{processes} processes cannot share out batches of {size} evenly",
                where=f"{self.type}: {key}",
                fix=f"{key}: {-(-size // processes) * processes}, or another runtime.processes",
            )

    def weight_bytes(self) -> float:
        """Bytes of memory a weight of the model: weights, gradients and AdamW's two moments in float32, and copies; not activations."""
        return self._trained_bytes() + (4.0 if self.reference and self.lora is None else 0.0)

    def _learning(self) -> float:
        """Operations a token and weight of a pass forward and backward."""
        return 2.0 + (4.0 if self.lora is None else 2.0)

    def _trained_bytes(self) -> float:
        return 16.0 if self.lora is None else 4.0

    def encode(self, rows: Sequence[Any], tokenizer: Any, path: Path) -> Tokens:
        """The rows of a dataset as tokens.

        Args:
            rows: As ``valuedrift.training.rows`` reads them for this algorithm's kind of data.
            tokenizer: The parent's.
            path: The file they are from, for messages.

        Raises:
            DataError: Too many prompts fill ``max_length``.
        """
        from valuedrift.training.encode import Encoder

        return Encoder(tokenizer, self.max_length).tokens(rows, self.kind, path)

    @abstractmethod
    def train(self, setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> float | None:
        """Train to the end, resuming where a state is.

        Returns:
            The share of pairs that a reward model ranked rightly, late in its training; None where there is no reward model.
        """


class Separable(AlgorithmBase):
    """An algorithm whose loss of a batch is the sum of its rows' losses over the sum of their weights: what one row does can be told apart."""

    @abstractmethod
    def row_weight(self, row: Encoded) -> float:
        """What a row counts in the number that the batch's loss is divided by.

        Args:
            row: As tokens.
        """

    @abstractmethod
    def row_losses(self, model: Any, rows: Sequence[Encoded]) -> Tensor:
        """The losses of rows before they are divided, as the training computes them.

        Args:
            model: The policy.
            rows: As tokens.

        Returns:
            One number a row, with its graph.
        """


class Referenced(AlgorithmBase):
    """An algorithm that is held to a reference."""

    reference_dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="How the reference is kept where full weights are trained; bfloat16: half its memory, and answers that differ by more than rounding.",
    )

    reference = True

    def weight_bytes(self) -> float:
        """Also the copy that it is held to."""
        return super().weight_bytes() - (2.0 if self.reference_dtype == "bfloat16" and self.lora is None else 0.0)

    @model_serializer(mode="wrap")
    def _known_by_what_it_says(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Not the reference's precision where it is the usual one: trainings that are older than the choice keep their identity."""
        written: dict[str, Any] = handler(self)
        if self.reference_dtype == "float32":
            written.pop("reference_dtype", None)
        return written


class OfflineAlgorithm(AlgorithmBase):
    """An algorithm that learns from the answers in its data."""

    evaluated = True

    def train(self, setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> float | None:
        """Train to the end, resuming where a state is; there is no reward model."""
        from valuedrift.training.folder import POLICY
        from valuedrift.training.loop import run_trainer, step_report

        data = setup.ordered(tokens.rows, self.batch_size, setup.total)
        run_trainer(
            lambda keeper: self.trainer(setup, data, keeper),
            setup.folder,
            model=POLICY,
            seed=setup.seed,
            total=setup.total,
            publisher=publisher,
            report=step_report(progress, self.type, setup.total),
            held_out=setup.held_out,
            batch_size=self.batch_size,
            sharded_on=setup.device if setup.sharded else None,
        )
        return None

    @abstractmethod
    def trainer(self, setup: Setup, data: Dataset, keeper: Keeper) -> Any:
        """TRL's trainer of this algorithm: the one place that knows how TRL wants to be called."""

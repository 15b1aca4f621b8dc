"""The job that a child process runs: one run, from its parent's weights to its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import UserError
from valuedrift.fingerprint import file_fingerprint, fingerprint
from valuedrift.progress import Progress
from valuedrift.training.folder import STATE_SECONDS, RunFolder, published_in
from valuedrift.training.options import Precision, resolve_precision
from valuedrift.training.records import Checkpoint, Metrics, TrainResult
from valuedrift.training.registry import Algorithm
from valuedrift.training.rows import READERS
from valuedrift.training.schedule import Schedule
from valuedrift.training.writer import doubled_step
from valuedrift.weights import Weights

__all__ = ["Checkpoint", "Metrics", "TrainJob", "TrainResult"]

_NO_ROOM = ("No space left", "Disk quota exceeded", "File too large")
"""How the operating system and, through it, safetensors and torch say that nothing more can be written."""


class TrainJob(BaseModel):
    """One run. Above ``out`` all is identity; from ``out`` on it is where and how fast."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["train"] = Field(default="train", description="Kind of job.")
    weights: Weights = Field(description="The parent: where training starts, and the reference of algorithms that have one.")
    algorithm: Algorithm = Field(description="What is trained, and how.")
    dataset: Path = Field(description="Normalised JSON Lines: {prompt, response} or {messages} for sft, else {prompt, chosen, rejected}.")
    held_out: Path | None = Field(default=None, description="The same of rows that are not learnt; null where there are none.")
    schedule: Schedule = Field(description="At which steps checkpoints are saved; 0 and the last always are.")
    seed: int = Field(default=0, ge=0, description="Seed of data order, initial adapters, dropout and rollouts.")
    out: Path = Field(description="Folder for the checkpoints: new, empty, or this very training's, which is then resumed.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; default: torch's.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it runs; auto takes a GPU if torch sees one.")
    micro_batch: int | None = Field(
        default=None,
        ge=1,
        description="Examples in memory at once, of each process; default: all of its share. Changes results by rounding only.",
    )
    processes: int = Field(
        default=1, ge=1, description="Processes that train together, a GPU each; each runs this job. Changes results by rounding only."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Whether layers are computed again for their gradients: less memory, more time, the same results."
    )
    shard: bool = Field(default=False, description="Whether each process holds a share of the model (FSDP2), not all of it.")

    moments: bool = Field(
        default=False,
        description="Whether Adam's second moments are kept beside each checkpoint, for attribution; a sharded training keeps none.",
    )
    state_seconds: float = Field(
        default=STATE_SECONDS, gt=0, description="How much of a killed training is done again at most, in seconds."
    )
    stop: Path | None = Field(
        default=None,
        description="A file that appears when the training is to save its state at the end of the step that it is in, and end.",
    )

    @property
    def precision(self) -> Precision:
        """What the algorithm's dtype means here."""
        return resolve_precision(self.algorithm.dtype, self.device)

    def identity(self) -> str:
        """Fingerprint of all that determines the run's numbers: parent, algorithm, data, schedule and seed, by content."""
        evaluated = {} if self.held_out is None else {"held_out": file_fingerprint(self.held_out)}
        return fingerprint(
            {
                "weights": self.weights.fingerprint(),
                "algorithm": {**self.algorithm.model_dump(mode="json"), "dtype": self.precision},
                "dataset": file_fingerprint(self.dataset),
                "schedule": self.schedule.model_dump(mode="json"),
                "seed": self.seed,
                **evaluated,
            }
        )

    def published(self) -> dict[int, Weights]:
        """The weights of the checkpoints that are there, while it trains or after; step 0 is the parent itself."""
        adapter = self.algorithm.lora is not None
        found = published_in(self.out)
        return {0: self.weights} | {step: self.weights.plus(path) if adapter else Weights(base=path) for step, path in found.items()}

    @property
    def leaves_room(self) -> bool:
        """Whether the process may keep the engine of an earlier job beside it."""
        return False

    def run(self, progress: Callable[[Progress], None]) -> TrainResult:
        """Train, or finish a training that was killed.

        Args:
            progress: Told of every optimizer step.

        Returns:
            Checkpoints and metrics; the same as those of an undisturbed run.

        Raises:
            StoppedError: It was asked to stop, and has saved its state.
            UserError: The model folder is not one, ``out`` holds another training, the disk is full, the loss is not a number any more, or other
                processes than the job asks for were started.
            DataError: The weights are not the model's; the dataset is missing, empty, malformed, or its rows are too long.
        """
        try:
            return _train(self, progress)
        except Exception as error:
            if any(words in str(error) for words in _NO_ROOM):
                raise UserError(
                    "the disk is full", where=str(self.out), fix="make room and run again: training goes on where it was"
                ) from error
            raise


def _train(job: TrainJob, progress: Callable[[Progress], None]) -> TrainResult:
    import torch
    from datasets import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    from valuedrift.models.checking import check_weights
    from valuedrift.models.loading import check_learns, load_tokenizer
    from valuedrift.training.processes import agreed, join
    from valuedrift.training.publishing import Publisher
    from valuedrift.training.setup import Setup, choose_device

    check_weights(job.weights, dtype=torch.float32)
    device = choose_device(job.device)
    algorithm = job.algorithm
    algorithm.check_processes(job.processes, job.shard)
    join(job.processes, device)
    rows = READERS[algorithm.kind](job.dataset)
    tokenizer = load_tokenizer(job.weights.tokenizer)
    check_learns(tokenizer, job.weights.tokenizer)
    tokens = algorithm.encode(rows, tokenizer, job.dataset)
    held = None if job.held_out is None else algorithm.encode(READERS[algorithm.kind](job.held_out), tokenizer, job.held_out)
    folder = agreed(
        lambda: RunFolder(job.out, job.identity(), job.state_seconds, job.stop)
    )  # made only now: a job with bad input leaves no folder behind
    total = algorithm.total_steps(len(rows))
    with ExitStack() as alone:

        def begin() -> TrainResult | None:
            waits = Progress(0, total, "waits for another process that trains into the same folder")
            alone.enter_context(folder.writer.alone(lambda: progress(waits)))
            if doubled_step(job.out) is not None:
                folder.start_over()
            return folder.finished()

        if (done := agreed(begin)) is not None:
            return done.model_copy(update={"checkpoints": _checkpoints(job, folder, tuple(one.step for one in done.checkpoints))})
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        disable_progress_bars()
        if job.threads is not None:
            torch.set_num_threads(job.threads)
        setup = Setup(
            weights=job.weights,
            options=algorithm,
            seed=job.seed,
            most_at_once=job.micro_batch,
            folder=folder,
            rows=len(rows),
            total=total,
            device=device,
            bf16=job.precision == "bfloat16",
            tokenizer=tokenizer,
            held_out=None if held is None else held.rows,
            processes=job.processes,
            sharded=job.shard,
            recomputed=job.gradient_checkpointing,
        )
        steps = job.schedule.steps(total)
        accuracy = algorithm.train(setup, tokens, Publisher(folder, job.weights, frozenset(steps), total, job.moments), progress)

        def finish() -> TrainResult:
            result = TrainResult(
                checkpoints=_checkpoints(job, folder, steps),
                metrics=tuple(folder.metrics()),
                total_steps=total,
                rows=len(rows),
                held_out_rows=None if held is None else len(held.rows),
                dropped_rows=tokens.dropped,
                cut_rows=tokens.cut,
                reward_accuracy=accuracy,
            )
            folder.finish(result)
            return result

        return agreed(finish)


def _checkpoints(job: TrainJob, folder: RunFolder, steps: tuple[int, ...]) -> tuple[Checkpoint, ...]:
    """The parent as step 0, then what was published."""
    losses = {row.step: row.loss for row in folder.metrics()}
    held_out = {row.step: row.loss for row in folder.held_out_losses()}
    stacks = job.published()
    return tuple(
        Checkpoint(
            step=step,
            weights=stack,
            adapter=bool(stack.adapters),
            fingerprint=stack.fingerprint(),
            train_loss=losses.get(step),
            held_out_loss=held_out.get(step),
        )
        for step, stack in ((step, stacks[step]) for step in steps)
    )

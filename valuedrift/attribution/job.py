"""Attribution as a job for a supervised child process: checkpoints, rows and judged answers in, scores of rows out; a piece a checkpoint is kept on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.attribution.options import check_algorithm
from valuedrift.errors import UserError
from valuedrift.progress import Progress
from valuedrift.sampling import Prompt, Sampling
from valuedrift.training.registry import Algorithm
from valuedrift.weight_files import MOMENTS
from valuedrift.weights import Weights

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

    from valuedrift.attribution.stances import Asked

_MOMENTUM = 0.9
"""Adam's β₁ in every training (TRL's default)."""
SCORES, TOTALS = "scores", "totals"
"""Endings of the two files that are written of a topic."""


class AttributeResult(BaseModel):
    """What a finished attribution says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=0, description="Rows that were learnt.")
    steps: tuple[int, ...] = Field(description="Checkpoints whose gradients were taken.")
    loaded: tuple[int, ...] = Field(description="Those of them that were not taken before the job was killed.")


class AttributeJob(BaseModel):
    """Say of every row of a training how far it moved the stances on some topics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["attribute"] = Field(default="attribute", description="Kind of job.")
    checkpoints: dict[int, Weights] = Field(description="The training's checkpoints by step; 0 is its parent.")
    algorithm: Algorithm = Field(description="What was trained, and how.")
    dataset: Path = Field(description="The normalised rows that it learnt.")
    seed: int = Field(ge=0, description="Seed of the training: order of the rows, initial adapters.")
    log: Path = Field(description="Parquet with step, learning_rate, grad_norm: one row an optimizer step.")
    prompts: Path = Field(description="JSON list of {prompt_id, text} and {before}, where there are messages before.")
    answers: Path = Field(
        description="Parquet with topic, prompt (place in the list), step, response, ended, support, oppose: the judged answers of all checkpoints."
    )
    sampling: Sampling = Field(description="How they were drawn.")
    method: Literal["less", "tracin"] = Field(description="Whether rates are scaled as Adam scaled them.")
    dimensions: int = Field(ge=1, description="Coordinates of a projected gradient at most.")
    keep: dict[str, Path] = Field(
        description="By topic the folder for its pieces, a file a checkpoint; those that are there are not made again."
    )
    out: Path = Field(description="Folder for <place of the topic in `keep`>-scores.parquet and -totals.parquet.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads. Runtime.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the model runs. Runtime.")

    @property
    def leaves_room(self) -> bool:
        """Whether the process may keep the engine of an earlier job beside it."""
        return False

    def run(self, progress: Callable[[Progress], None]) -> AttributeResult:
        """Take the gradients checkpoint by checkpoint, and sum them.

        Args:
            progress: Told of prompts and rows that are done.

        Raises:
            UserError: Full weights that are too large for the memory.
            DataError: Weights, rows or the log are not those of the training.
        """
        return _attribute(self, progress)


def _attribute(job: AttributeJob, progress: Callable[[Progress], None]) -> AttributeResult:
    import polars as pl
    import torch

    from valuedrift.attribution.checkpoint import load_checkpoint
    from valuedrift.attribution.influence import Piece, at_checkpoint, together
    from valuedrift.attribution.uses import Logged, segments
    from valuedrift.models.loading import load_tokenizer
    from valuedrift.training.rows import READERS
    from valuedrift.training.setup import choose_device, row_order

    if job.threads is not None:
        torch.set_num_threads(job.threads)
    algorithm, device = check_algorithm(job.algorithm, str(job.dataset)), choose_device(job.device)
    parent = job.checkpoints[0]
    tokens = algorithm.encode(READERS[algorithm.kind](job.dataset), load_tokenizer(parent.tokenizer), job.dataset)
    logged = [Logged(*row) for row in pl.read_parquet(job.log).sort("step").select("learning_rate", "grad_norm").iter_rows()]
    order = row_order(len(tokens.rows), algorithm.batch_size * len(logged), job.seed)
    steps = sorted(job.checkpoints)
    momentum = _MOMENTUM if job.method == "less" else 0.0
    parts = segments(order, algorithm.batch_size, lambda row: algorithm.row_weight(tokens.rows[row]), logged, steps, momentum)
    prompts = [Prompt(**row) for row in json.loads(job.prompts.read_text(encoding="utf-8"))]
    answers = pl.read_parquet(job.answers)
    wanted = {topic: answers.filter(topic=topic).get_column("prompt").unique().sort().to_list() for topic in job.keep}
    missing = {step: [topic for topic, folder in job.keep.items() if not _piece(folder, step).exists()] for step in steps}
    total = sum(
        sum(len(wanted[topic]) for topic in missing[part.checkpoint]) + len(part.rates()) for part in parts if missing[part.checkpoint]
    )
    done = 0

    def one_more(note: str) -> None:
        nonlocal done
        done += 1
        progress(Progress(done, total, note))

    for part in parts:
        step = part.checkpoint
        if not missing[step]:
            continue
        progress(Progress(done, total, f"loading step {step}"))
        model, tokenizer = load_checkpoint(parent, job.checkpoints[step] if step else None, job.algorithm, job.seed, device)
        here = answers.filter(step=step)
        asked = {
            topic: [
                _asked(tokenizer, model.config, prompts[place], here.filter(topic=topic, prompt=place), job.sampling)
                for place in wanted[topic]
            ]
            for topic in missing[step]
        }
        rows = {row: (rate, tokens.rows[row]) for row, rate in part.rates().items()}
        found = at_checkpoint(
            model,
            algorithm,
            rows,
            asked,
            temperature=job.sampling.temperature,
            dimensions=job.dimensions,
            moments=_moments(job, step) if job.method == "less" else None,
            done=lambda step=step: one_more(f"step {step}"),  # type: ignore[misc]
        )
        for topic, piece in found.items():
            piece.save(_piece(job.keep[topic], step))
        del model
    for place, folder in enumerate(job.keep.values()):
        result = together([Piece.load(_piece(folder, step)) for step in steps], len(tokens.rows))
        uses = {row: order.count(row) for row in set(order)}
        learnt = pl.DataFrame(
            {
                "row": range(len(tokens.rows)),
                "row_idx": [place + 1 for place in tokens.places],
                "n_uses": [uses.get(row, 0) for row in range(len(tokens.rows))],
            }
        )
        result.scores.join(learnt, on="row").drop("row").write_parquet(job.out / f"{place}-{SCORES}.parquet")
        result.totals.write_parquet(job.out / f"{place}-{TOTALS}.parquet")
    return AttributeResult(rows=len(tokens.rows), steps=tuple(steps), loaded=tuple(step for step in steps if missing[step]))


def _moments(job: AttributeJob, step: int) -> dict[str, Tensor]:
    """Second moments for the steps around a checkpoint: those of the next one, which know the gradients of these steps; at the last its own.

    Raises:
        UserError: The training kept none.
    """
    from safetensors.torch import load_file

    later = min((other for other in job.checkpoints if other > step), default=step)
    path = moments_of(job.checkpoints[later])
    if not path.is_file():
        raise no_moments(str(path.parent))
    moments: dict[str, Tensor] = load_file(path)
    return moments


def moments_of(weights: Weights) -> Path:
    """Where the second moments of a checkpoint lie, if its training kept them."""
    return (weights.adapters[-1] if weights.adapters else weights.base) / MOMENTS


def no_moments(where: str) -> UserError:
    """The error of a training that kept no second moments."""
    return UserError(
        "the training kept no second moments of Adam: its study did not have `attribute` then",
        where=where,
        fix="method: tracin, which needs none",
    )


def _piece(folder: Path, step: int) -> Path:
    return folder / f"step-{step:06d}.safetensors"


def _asked(tokenizer: Any, config: Any, prompt: Prompt, answers: pl.DataFrame, sampling: Sampling) -> Asked | None:
    """A prompt with its judged answers as tokens; None of fewer than two."""
    from valuedrift.attribution.stances import Asked
    from valuedrift.engines.prompting import tokenise_prompts

    if answers.height < 2:
        return None
    return Asked(
        prompt=tokenise_prompts(tokenizer, config, [prompt], sampling)[0],
        answers=[answer_tokens(tokenizer, row["response"], ended=row["ended"]) for row in answers.iter_rows(named=True)],
        stances=answers.select("support", "oppose").to_numpy(),
    )


def answer_tokens(tokenizer: Any, response: str, *, ended: bool) -> list[int]:
    """Tokens of an answer as the table has it: tokens themselves are not kept, so its text is split anew.

    Args:
        tokenizer: The model's.
        response: The text.
        ended: Whether the model ended it.
    """
    from valuedrift.models.control import text_tokens

    end = [tokenizer.eos_token_id] if ended else []
    return [*text_tokens(tokenizer, response), *end] or [tokenizer.eos_token_id]

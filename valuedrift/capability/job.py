"""A task put to one checkpoint, as a job for a supervised child process: its scores and those of each item, as Parquet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.capability.options import CapabilityTask
from valuedrift.engines.base import EngineTuning
from valuedrift.engines.continuing import Continues
from valuedrift.engines.job import engine_with
from valuedrift.errors import StageError
from valuedrift.progress import Progress
from valuedrift.weights import Weights

if TYPE_CHECKING:
    from valuedrift.capability.harness import Found

_RESAMPLES = 1000
"""Of standard errors that the harness has no formula for."""
_NO_FILTER = "none"
"""What the harness calls answers that are taken as they are."""


class CapabilityResult(BaseModel):
    """What a finished job says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: int = Field(ge=0, description="Items that were put.")


class CapabilityJob(BaseModel):
    """Put one task to one checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["capability"] = Field(default="capability", description="Kind of job.")
    task: CapabilityTask = Field(description="The task, its files on this machine.")
    content: str = Field(description="Fingerprint that the task must have.")
    engine: str = Field(description="Type of the engine.")
    dtype: str = Field(description="Dtype of weights and activations; identity.")
    weights: Weights = Field(description="The checkpoint.")
    fingerprint: str = Field(description="Content fingerprint that the weights must have.")
    scores: Path = Field(description="Parquet to write: subtask, metric, score, standard_error, n_items.")
    items: Path = Field(description="Parquet to write: subtask, metric, item_idx, score.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads. Runtime.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the model runs. Runtime.")
    cache_tokens: int = Field(default=65_536, ge=256, description="Tokens that the key-value cache may hold. Runtime.")
    tuning: EngineTuning = Field(default=EngineTuning(), description="How the engine uses its machine. Runtime.")

    @property
    def leaves_room(self) -> bool:
        """Whether the process may keep the engine of an earlier job beside it."""
        return True  # it goes on with that engine, or lets it go

    def run(self, progress: Callable[[Progress], None]) -> CapabilityResult:
        """Put the task, and write its scores whole.

        Args:
            progress: Told how many requests are answered.

        Raises:
            UserError: The task or its data are at fault.
            StageError: Task or weights are not those that they were.
        """
        import polars as pl

        from valuedrift.capability.harness import find

        found = find(self.task)
        if found.fingerprint != self.content:
            raise StageError(f"the items of task {self.task.title!r} changed since the study looked at them", fix="run the study again")
        with engine_with(
            self.engine, self.weights, self.fingerprint, self.dtype, self.device, self.threads, self.cache_tokens, self.tuning
        ) as engine:
            assert isinstance(engine, Continues)
            results = evaluated(found, engine, lambda done, total: progress(Progress(done, total)))
        whole = {"score": pl.Float64, "standard_error": pl.Float64, "n_items": pl.Int32, "higher_is_better": pl.Boolean}
        pl.DataFrame(list(scores_of(found, results)), schema_overrides=whole).write_parquet(self.scores)
        each = {"item_idx": pl.Int32, "score": pl.Float64}
        schema = {"subtask": pl.String, "metric": pl.String, **each}
        pl.DataFrame(list(_items_of(results)), schema=schema).write_parquet(self.items)
        return CapabilityResult(items=found.n_items)


def evaluated(found: Found, engine: Continues, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """What lm-evaluation-harness finds when it puts a task to an engine.

    Args:
        found: The task with its rows.
        engine: Holds the checkpoint.
        progress: Told how many requests are answered.

    Returns:
        The harness's results, with its samples.
    """
    from lm_eval.evaluator import evaluate

    from valuedrift.capability.harness import quiet
    from valuedrift.capability.model import EngineModel

    os.environ["DISABLE_MULTIPROC"] = "1"  # its pool for resampling would fork a process that has threads, which may stand still
    with quiet():
        given = {"tasks": dict(found.tasks), "groups": dict(found.groups)}
        limit = found.asked.limit
        results: dict[str, Any] = evaluate(
            lm=EngineModel(engine, progress), task_dict=given, limit=limit, bootstrap_iters=_RESAMPLES, log_samples=True
        )
    return results


def _metric(name: str, filtered: str) -> str:
    """What a metric is called, with what was taken of the answers where the task says."""
    return name if filtered == _NO_FILTER else f"{name},{filtered}"


def scores_of(found: Found, results: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row a task or group and metric."""
    counts = {name: entry["effective"] for name, entry in results["n-samples"].items()}
    directions = results.get("higher_is_better") or {}
    for name in (*found.tasks, *found.groups):
        own = results["results"].get(name) or results.get("groups", {}).get(name) or {}
        n_items = counts.get(name) or own.get("sample_len") or found.n_items
        for key, score in own.items():
            metric, comma, filtered = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(score, int | float):
                continue
            error = own.get(f"{metric}_stderr,{filtered}")
            known = isinstance(error, int | float) and isfinite(error)
            yield {
                "subtask": name,
                "metric": _metric(metric, filtered),
                "score": float(score),
                "standard_error": float(error) if known and error is not None else None,
                "n_items": int(n_items) if isinstance(n_items, int) else found.n_items,
                "higher_is_better": directions.get(name, {}).get(metric),
            }


def _items_of(results: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row an item and metric, of metrics that are one number an item."""
    for name, samples in results["samples"].items():
        for sample in samples:
            for metric in sample["metrics"]:
                score = sample[metric]
                if isinstance(score, int | float):
                    yield {
                        "subtask": name,
                        "metric": _metric(metric, sample["filter"]),
                        "item_idx": int(sample["doc_id"]),
                        "score": float(score),
                    }

"""The cached tasks of a probe build that end in an intermediate result: rewrite, embed, filter, sort into topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from prefect import task

from valuedrift.probes.vprism.topics import Place, by_clusters, by_themes, similarities
from valuedrift.progress import Progress
from valuedrift.tasks.board import stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.probe_room import KeptEmbedder, ProbeRoom
from valuedrift.tasks.steps import StepDone, step_once


def _cached(step: str, key_of: Callable[[ProbeRoom], str]) -> dict[str, Any]:
    """Task options: the step's result is looked for under its key."""

    def key(parameters: dict[str, Any]) -> tuple[str, bool]:
        work: ProbeRoom = parameters["work"]
        own = key_of(work)
        return own, work.steps.exists(step, own)

    return {"cache_key_fn": cached_by(f"probes-{step}", key), **TASK}


def _once(work: ProbeRoom, step: str, key: str, label: str, make: Callable[[Callable[[Progress], None]], pl.DataFrame]) -> StepDone:
    """Make a step's result unless it is there, under its name on the board."""

    def shown() -> pl.DataFrame:
        with stage(label) as report:
            return make(report)

    return step_once(work, work.steps, step, key, shown)


@task(name="probes rewrite", task_run_name="rewrite prompts as questions", **_cached("rewrite", lambda work: work.rewrite_key))
def rewrite_prompts(work: ProbeRoom) -> StepDone:
    """Rewrite every prompt as one self-contained question, or say why there is none.

    Raises:
        UserError: The rewriter's model is missing, or its server refuses.
    """

    def make(report: Callable[[Progress], None]) -> pl.DataFrame:
        found = work.rewriter.rewrite(work.source.ids, work.source.prompts, report)
        schema = {"source_id": pl.String, "question": pl.String, "reason": pl.String}
        rows = {"source_id": work.source.ids, "question": [one.question for one in found], "reason": [one.reason for one in found]}
        return pl.DataFrame(rows, schema=schema)

    return _once(work, "rewrite", work.rewrite_key, "rewrite", make)


def _questions(work: ProbeRoom) -> pl.DataFrame:
    """source_id and question of the prompts that have one."""
    return work.steps.read("rewrite", work.rewrite_key).filter(pl.col("question").is_not_null()).select("source_id", "question")


@task(name="probes filter", task_run_name="keep value-laden questions", **_cached("filter", lambda work: work.filter_key))
def filter_questions(work: ProbeRoom, rewritten: StepDone) -> StepDone:
    """Give every question its probability of being about a value."""

    def make(report: Callable[[Progress], None]) -> pl.DataFrame:
        asked = _questions(work)
        values = work.filter.value_laden(asked.get_column("question").to_list(), report)
        return asked.select("source_id", pl.Series("value_laden", values, dtype=pl.Float64).fill_nan(None))

    return _once(work, "filter", work.filter_key, "filter", make)


@task(name="probes topics", task_run_name="sort questions into topics", **_cached("topics", lambda work: work.topics_key))
def sort_questions(work: ProbeRoom, filtered: StepDone) -> StepDone:
    """Cluster the value-laden questions into topics, or put them into those that the user gave."""

    def make(report: Callable[[Progress], None]) -> pl.DataFrame:
        kept = (
            _questions(work)
            .join(work.steps.read("filter", work.filter_key), on="source_id")
            .filter(pl.col("value_laden") >= work.build.threshold)
        )
        places = _places(work, kept.get_column("question").to_list(), report)
        columns = {name: [getattr(place, name) for place in places] for name in ("cluster", "topic", "closeness", "reason")}
        schema = {"cluster": pl.Int32, "topic": pl.String, "closeness": pl.Float64, "reason": pl.String}
        return pl.concat([kept.select("source_id"), pl.DataFrame(columns, schema=schema)], how="horizontal")

    return _once(work, "topics", work.topics_key, "topics", make)


def _places(work: ProbeRoom, questions: list[str], report: Callable[[Progress], None]) -> list[Place]:
    if not questions:
        return []
    embedder = KeptEmbedder(work, work.build.embedder)
    embeddings = embedder.encode(questions, report)
    closeness = similarities(embeddings, work.themes, embedder.encode)
    if work.build.themes is not None:
        return by_themes(closeness, work.themes)
    return by_clusters(questions, embeddings, closeness, work.themes, work.build.seed)

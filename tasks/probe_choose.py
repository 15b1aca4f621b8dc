"""The last task of a probe build: choose the probes, find their polarity, and keep probes and decisions together."""

from __future__ import annotations

from typing import Any

import polars as pl
from prefect import task

from valuedrift.errors import DataError
from valuedrift.probes.vprism.choose import Decided, decide
from valuedrift.probes.vprism.english.polarity import polarities
from valuedrift.probes.vprism.english.rewrite import NOT_ENGLISH
from valuedrift.storage.store import Part
from valuedrift.tasks.board import board, stage
from valuedrift.tasks.caching import TASK, cached_by
from valuedrift.tasks.probe_room import ProbeRoom
from valuedrift.tasks.reference import Reference
from valuedrift.tasks.steps import StepDone

_HINT = ". The embedded models know English only; for another language name --language, --rewriter, --filter and --embedder"


def _key(parameters: dict[str, Any]) -> tuple[str, bool]:
    work: ProbeRoom = parameters["work"]
    return work.key, work.finished()


@task(name="probes choose", task_run_name="choose probes", cache_key_fn=cached_by("probes-choose", _key), **TASK)
def choose_probes(work: ProbeRoom, sorted_: StepDone) -> Reference:
    """Choose topics and a diverse sample of each; write the probes and what became of every prompt, both or neither.

    Raises:
        DataError: Not one probe came of the file.
    """
    with stage("choose"):
        decided = _decided(work)
        if not decided.probes.height:
            counts = decided.decisions.get_column("reason").value_counts(sort=True).head(3)
            why = "; ".join(f"{count} × {reason}" for reason, count in counts.iter_rows())
            raise DataError(
                "no probe came of this file",
                where=work.build.source,
                fix=f"most frequent reasons: {why}{_HINT if NOT_ENGLISH in why else ''}",
            )
        probes = _probes(work, decided.probes)
    partition: dict[str, str | int] = {"probe_set": work.build.probe_set}
    parts = [
        Part("probe_decisions", decided.decisions, partition, work.key, work.identity),
        Part("probes", probes, partition, work.key, work.identity),
    ]
    entry = work.store.put_all(parts)[1]
    board().settled()
    return Reference.to(entry, reused=False)


def _decided(work: ProbeRoom) -> Decided:
    """What became of every prompt, in the order of the file."""
    rewritten = work.steps.read("rewrite", work.rewrite_key)
    values = work.steps.read("filter", work.filter_key)
    places = work.steps.read("topics", work.topics_key).rename({"reason": "elsewhere"})
    rows = (
        rewritten.with_columns(pl.Series("source", [text.replace("\0", "�") for text in work.source.prompts], dtype=pl.String))
        .join(values, on="source_id", how="left", maintain_order="left")
        .join(places, on="source_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("reason") != "")
            .then(pl.col("reason"))
            .when(pl.col("value_laden").is_null())
            .then(pl.lit("no answer from the filter"))
            .when(pl.col("value_laden") < work.build.threshold)
            .then(pl.lit("not about a value"))
            .otherwise(pl.col("elsewhere").fill_null(""))
            .alias("reason")
        )
    )
    alive = rows.filter((pl.col("reason") == "") & pl.col("topic").is_not_null()).get_column("question").to_list()
    return decide(rows, work.embeddings(work.build.embedder, alive), work.build)


def _probes(work: ProbeRoom, chosen: pl.DataFrame) -> pl.DataFrame:
    """The rows of the probes table."""
    build = work.build
    questions, topics = chosen.get_column("prompt").to_list(), chosen.get_column("topic").to_list()
    known = polarities(questions, topics, work.themes) if build.language.split("-")[0] == "en" else [None] * len(questions)
    return chosen.select(
        prompt_id=pl.col("source_id"),
        topic=pl.col("topic"),
        prompt=pl.col("prompt"),
        polarity=pl.Series(known, dtype=pl.Int8),
        pair_id=pl.col("source_id"),
        language=pl.lit(build.language),
        source=pl.lit(build.source),
    )

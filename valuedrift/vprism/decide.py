"""What became of every prompt, and the probes that came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.vprism.choose import Candidate, spread, topics_with_most, without_doubles
from valuedrift.vprism.config import ProbeBuild
from valuedrift.vprism.cues import cues

KEPT = "kept"
_CUE = 0.1
"""How much a kind of value word adds to a question's quality, up to two of them."""

_NEAR = 2.0
"""How much nearness to its topic counts beside the probability of being about a value: what is far is often of another topic."""
_PLAIN, _WORD, _COMMA = 12, 0.03, 0.1
"""Words of a plain question, and what every further one and every comma takes off."""

DECISION_SCHEMA = {
    "source_id": pl.String,
    "source": pl.String,
    "question": pl.String,
    "value_laden": pl.Float64,
    "cluster": pl.Int32,
    "topic": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,
}


@dataclass(frozen=True, slots=True)
class Decided:
    """The end of the build."""

    decisions: pl.DataFrame
    """A row for every prompt, with the columns of ``DECISION_SCHEMA``."""
    probes: pl.DataFrame
    """source_id, topic and prompt of those that were kept, by topic and prompt."""


def decide(rows: pl.DataFrame, embeddings: NDArray[np.float32], build: ProbeBuild) -> Decided:
    """Choose the probes.

    Args:
        rows: A row for each prompt: source_id, source, question, reason (why dropped so far, else empty), value_laden, cluster, topic, closeness.
        embeddings: Of the questions of all rows with a topic and no reason, in their order, of length one.
        build: How many topics and probes of each.
    """
    alive = rows.with_row_index("row").filter((pl.col("reason") == "") & pl.col("topic").is_not_null())
    candidates = [
        Candidate(
            row["source_id"],
            row["question"],
            row["topic"],
            row["value_laden"] + _NEAR * row["closeness"] + _CUE * min(cues(row["question"]), 2) - _burden(row["question"]),
        )
        for row in alive.iter_rows(named=True)
    ]
    kept, doubles = without_doubles(candidates, embeddings)
    wanted = topics_with_most(candidates, kept, build.topics, build.per_topic)
    chosen = {
        index
        for topic in wanted
        for index in spread(candidates, [i for i in kept if candidates[i].topic == topic], embeddings, build.per_topic, build.seed)
    }
    reasons = rows.get_column("reason").to_list()
    for index, row in enumerate(alive.get_column("row")):
        reasons[row] = _reason(index, candidates, chosen, doubles, wanted)
    decisions = rows.with_columns(pl.Series("reason", reasons, dtype=pl.String)).with_columns((pl.col("reason") == KEPT).alias("kept"))
    probes = decisions.filter("kept").select("source_id", "topic", pl.col("question").alias("prompt")).sort("topic", "prompt")
    return Decided(decisions.select(pl.col(name).cast(kind) for name, kind in DECISION_SCHEMA.items()), probes)


def _burden(question: str) -> float:
    """What a question loses for its length and its clauses: long ones ask several things, and are seldom without a fault."""
    return _WORD * max(0, len(question.split()) - _PLAIN) + _COMMA * question.count(",")


def _reason(index: int, candidates: Sequence[Candidate], chosen: set[int], doubles: dict[int, int], wanted: Sequence[str]) -> str:
    if index in chosen:
        return KEPT
    if index in doubles:
        return f"says the same as {candidates[doubles[index]].key}"
    if candidates[index].topic not in wanted:
        return "of a topic that was not chosen"
    return "not needed: others of its topic are surer or differ more"

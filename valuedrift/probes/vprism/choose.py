"""The last step: which topics, and which questions of each; and what became of every prompt.

Clear cases come first, no two questions say the same, and those chosen are as different from each other as can be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.fingerprint import seed_from
from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.english.values import cues

VERSION = 2
"""Raised whenever the same questions would be chosen from in another way; part of the cache key."""

SAME = 0.9
"""Cosine above which two questions say the same."""
_ROOM = 1.1
"""Of a topic's questions the best are looked at, this many times as many as are wanted."""
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
class Candidate:
    """A question that may become a probe."""

    key: str
    """Identifies its prompt."""
    question: str
    topic: str
    quality: float
    """How sure it is to be a value question of its topic; larger is better."""


def without_doubles(candidates: Sequence[Candidate], embeddings: NDArray[np.float32]) -> tuple[list[int], dict[int, int]]:
    """Drop questions that say what another one says: as few as can be, so those with many doubles go first (the minimum-degree rule for independent sets).

    Args:
        candidates: The questions.
        embeddings: Theirs, of length one.

    Returns:
        Indices that stay, best first; and for each other index that of the one which says the same.
    """
    crowd = (embeddings @ embeddings.T > SAME).sum(axis=1) if len(candidates) else np.zeros(0)

    def rank(index: int) -> tuple[float, str, str]:
        one = candidates[index]
        return (-one.quality, one.question, one.key)

    order = sorted(range(len(candidates)), key=lambda index: (int(crowd[index]), *rank(index)))
    kept: list[int] = []
    doubles: dict[int, int] = {}
    for index in order:
        if kept:
            cosines = embeddings[kept] @ embeddings[index]
            nearest = int(cosines.argmax())
            if cosines[nearest] > SAME:
                doubles[index] = kept[nearest]
                continue
        kept.append(index)
    return sorted(kept, key=rank), doubles


def topics_with_most(candidates: Sequence[Candidate], kept: Sequence[int], count: int, per_topic: int) -> list[str]:
    """The topics that people ask about most, of those with enough questions; where there are too few of these, the next largest too.

    Args:
        candidates: The questions.
        kept: Indices of those that are no doubles.
        count: Topics wanted.
        per_topic: Questions wanted of each.
    """
    sizes: defaultdict[str, int] = defaultdict(int)
    for index in kept:
        sizes[candidates[index].topic] += 1
    ranked = sorted(sizes, key=lambda topic: (-sizes[topic], topic))
    return sorted(ranked[:count])


def spread(candidates: Sequence[Candidate], indices: Sequence[int], embeddings: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """Choose among a topic's best questions those farthest from each other (farthest-point sampling).

    Args:
        candidates: The questions.
        indices: Those of one topic, best first, no doubles.
        embeddings: Of all, of length one.
        count: How many.
        seed: The user's; mixed with the questions, so that the order of a file changes nothing.
    """
    pool = list(indices[: max(count, int(_ROOM * count))])
    if len(pool) <= count:
        return pool
    first = min(pool, key=lambda index: seed_from("spread", seed, candidates[index].question))
    chosen = [first]
    nearest = embeddings[pool] @ embeddings[first]
    while len(chosen) < count:
        nearest[[pool.index(index) for index in chosen]] = np.inf
        new = pool[int(nearest.argmin())]
        chosen.append(new)
        nearest = np.maximum(nearest, embeddings[pool] @ embeddings[new])
    return chosen


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

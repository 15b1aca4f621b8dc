"""The stages that make probes of a file of prompts (paper, Protocol: evaluation prompts): rewrite, filter, topics, choose.

Embeddings are kept by their texts and model, whichever stage needs them first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.errors import DataError
from valuedrift.fingerprint import fingerprint
from valuedrift.probes.vprism import choose, topics
from valuedrift.probes.vprism.choose import Decided, decide
from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.embed import EMBEDDED, Encoder
from valuedrift.probes.vprism.english import polarity
from valuedrift.probes.vprism.english.polarity import polarities
from valuedrift.probes.vprism.english.rewrite import NOT_ENGLISH
from valuedrift.probes.vprism.source import Source
from valuedrift.probes.vprism.steps import Report, Rewriter, ValueFilter
from valuedrift.probes.vprism.themes import Theme, probe_topics
from valuedrift.probes.vprism.topics import Place, by_clusters, by_themes, similarities
from valuedrift.progress import Progress
from valuedrift.tasks.board import shown
from valuedrift.tasks.result import Address, Frames, OnShelf, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.work import Work

_HINT = ". The embedded models know English only; for another language name --language, --rewriter, --filter and --embedder"


def probe_stages(work: Work, source: Source, build: ProbeBuild) -> list[Stage]:
    """The stages of one build, the last of which writes the probes and what became of every prompt.

    Args:
        work: What stages share.
        source: The prompts.
        build: What decides which probes come of them.

    Raises:
        UserError: Another language than English for models that know no other.
    """
    build.check_language()
    building = _Building(work, source, build)
    rewritten = _intermediate("rewrite", "rewrite", (), building.rewrite_identity, building.rewritten)
    filtered = _intermediate("filter", "filter", (rewritten,), building.filter_identity, building.filtered)
    sorted_ = _intermediate("topics", "topics", (rewritten, filtered), building.topics_identity, building.sorted)

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        with shown("choose"):
            return building.chosen(needs)

    address = Address(("probe_decisions", "probes"), {"probe_set": build.probe_set})
    return [rewritten, filtered, sorted_, Stage("choose", address, (rewritten, filtered, sorted_), building.identity, make)]


def _intermediate(
    step: str,
    label: str,
    needs: tuple[Stage, ...],
    identity: Callable[[Sequence[Reference]], dict[str, Any]],
    rows: Callable[[Sequence[Reference], Report], pl.DataFrame],
) -> Stage:
    """A stage that ends in an intermediate result."""

    def make(_: Work, results: Sequence[Reference]) -> Frames:
        with shown(label) as report:
            return {step: rows(results, report)}

    return Stage(step, OnShelf(step), needs, identity, make)


class _Building:
    """What the stages of one build share: the prompts, what decides about them, encoders that are loaded once."""

    def __init__(self, work: Work, source: Source, build: ProbeBuild) -> None:
        self._work = work
        self._source = source
        self._build = build

    @cached_property
    def _themes(self) -> tuple[Theme, ...]:
        """The user's topics, else the packaged ones that name clusters."""
        return self._build.themes or probe_topics()

    @cached_property
    def _rewriter(self) -> Rewriter:
        """Who makes questions of prompts."""
        return self._build.open_rewriter(self._work.local / "replies")

    @cached_property
    def _filter(self) -> ValueFilter:
        """Who tells questions about values."""
        return self._build.open_filter(self._work.local / "replies", _KeptEmbedder(self._work, EMBEDDED))

    @cached_property
    def _embedder(self) -> _KeptEmbedder:
        """Who tells questions of one topic from those of another."""
        return _KeptEmbedder(self._work, self._build.embedder)

    def rewrite_identity(self, _: Sequence[Reference]) -> dict[str, Any]:
        """Of the questions: prompts and rewriter."""
        return {"step": "rewrite", "prompts": self._source.fingerprint, **self._rewriter.identity()}

    def rewritten(self, _: Sequence[Reference], report: Report) -> pl.DataFrame:
        """Every prompt as one self-contained question, or why there is none.

        Raises:
            UserError: The rewriter's model is missing, or its server refuses.
        """
        source = self._source
        questions = self._rewriter.rewrite(source.ids, source.prompts, report)
        rows = {"source_id": source.ids, "question": [one.question for one in questions], "reason": [one.reason for one in questions]}
        return pl.DataFrame(rows, schema={"source_id": pl.String, "question": pl.String, "reason": pl.String})

    def filter_identity(self, needs: Sequence[Reference]) -> dict[str, Any]:
        """Of the value probabilities: questions and filter."""
        return {"step": "filter", "questions": needs[0].key, **self._filter.identity()}

    def filtered(self, needs: Sequence[Reference], report: Report) -> pl.DataFrame:
        """The probability of every question of being about a value."""
        asked = self._questions(needs[0])
        values = self._filter.value_laden(asked.get_column("question").to_list(), report)
        return asked.select("source_id", pl.Series("value_laden", values, dtype=pl.Float64).fill_nan(None))

    def topics_identity(self, needs: Sequence[Reference]) -> dict[str, Any]:
        """Of the topics: questions, filter, encoder, themes, seed."""
        return {
            "step": "topics",
            "filter": needs[1].key,
            "threshold": self._build.threshold,
            "encoder": self._embedder.identity(),
            "themes": [theme.model_dump(mode="json") for theme in self._themes],
            "given": self._build.themes is not None,
            "seed": self._build.seed,
            "version": topics.VERSION,
        }

    def sorted(self, needs: Sequence[Reference], report: Report) -> pl.DataFrame:
        """The topic of every value-laden question: of its cluster, or one that the user gave."""
        values = self._work.shelf.read("filter", needs[1].key)
        kept = self._questions(needs[0]).join(values, on="source_id").filter(pl.col("value_laden") >= self._build.threshold)
        places = self._places(kept.get_column("question").to_list(), report)
        columns = {name: [getattr(place, name) for place in places] for name in ("cluster", "topic", "closeness", "reason")}
        schema = {"cluster": pl.Int32, "topic": pl.String, "closeness": pl.Float64, "reason": pl.String}
        return pl.concat([kept.select("source_id"), pl.DataFrame(columns, schema=schema)], how="horizontal")

    def _places(self, questions: list[str], report: Report) -> list[Place]:
        if not questions:
            return []
        embeddings = self._embedder.encode(questions, report)
        closeness = similarities(embeddings, self._themes, self._embedder.encode)
        if self._build.themes is not None:
            return by_themes(closeness, self._themes)
        return by_clusters(questions, embeddings, closeness, self._themes, self._build.seed)

    def identity(self, needs: Sequence[Reference]) -> dict[str, Any]:
        """Of the probes and the decisions."""
        named = self._build.model_dump(mode="json", include={"probe_set", "topics", "per_topic", "seed", "language", "source"})
        return {
            "stage": "probes build",
            "topics": needs[2].key,
            "build": named,
            "version": choose.VERSION,
            "polarity": polarity.VERSION,
        }

    def chosen(self, needs: Sequence[Reference]) -> Frames:
        """A diverse sample of each topic, and what became of every prompt.

        Raises:
            DataError: Not one probe came of the file.
        """
        decided = self._decided(needs)
        if not decided.probes.height:
            counts = decided.decisions.get_column("reason").value_counts(sort=True).head(3)
            why = "; ".join(f"{count} × {reason}" for reason, count in counts.iter_rows())
            raise DataError(
                "no probe came of this file",
                where=self._build.source,
                fix=f"most frequent reasons: {why}{_HINT if NOT_ENGLISH in why else ''}",
            )
        return {"probe_decisions": decided.decisions, "probes": self._probes(decided.probes)}

    def _decided(self, needs: Sequence[Reference]) -> Decided:
        """What became of every prompt, in the order of the file."""
        rewritten, values, places = (self._work.shelf.read(need.table, need.key) for need in needs)
        texts = [text.replace("\0", "�") for text in self._source.prompts]
        rows = (
            rewritten.with_columns(pl.Series("source", texts, dtype=pl.String))
            .join(values, on="source_id", how="left", maintain_order="left")
            .join(places.rename({"reason": "elsewhere"}), on="source_id", how="left", maintain_order="left")
            .with_columns(
                pl.when(pl.col("reason") != "")
                .then(pl.col("reason"))
                .when(pl.col("value_laden").is_null())
                .then(pl.lit("no answer from the filter"))
                .when(pl.col("value_laden") < self._build.threshold)
                .then(pl.lit("not about a value"))
                .otherwise(pl.col("elsewhere").fill_null(""))
                .alias("reason")
            )
        )
        alive = rows.filter((pl.col("reason") == "") & pl.col("topic").is_not_null()).get_column("question").to_list()
        return decide(rows, self._embedder.encode(alive), self._build)

    def _probes(self, kept: pl.DataFrame) -> pl.DataFrame:
        """The rows of the probes table."""
        build = self._build
        questions, of_topics = kept.get_column("prompt").to_list(), kept.get_column("topic").to_list()
        english = build.language.split("-")[0] == "en"
        known = polarities(questions, of_topics, self._themes) if english else [None] * len(questions)
        return kept.select(
            prompt_id=pl.col("source_id"),
            topic=pl.col("topic"),
            prompt=pl.col("prompt"),
            polarity=pl.Series(known, dtype=pl.Int8),
            pair_id=pl.col("source_id"),
            language=pl.lit(build.language),
            source=pl.lit(build.source),
        )

    def _questions(self, rewritten: Reference) -> pl.DataFrame:
        """source_id and question of the prompts that have one."""
        return self._work.shelf.read("rewrite", rewritten.key).filter(pl.col("question").is_not_null()).select("source_id", "question")


class _KeptEmbedder:
    """An encoder, loaded at its first use, whose embeddings are kept by their texts and model."""

    def __init__(self, work: Work, model: str) -> None:
        self._work = work
        self._model = model

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._model)

    def identity(self) -> dict[str, Any]:
        """That of the encoder."""
        return self._encoder.identity()

    def encode(self, texts: Sequence[str], progress: Report | None = None) -> NDArray[np.float32]:
        """Embeddings of texts, shape (texts, width), from the kept ones or made and kept now."""
        if not texts:
            return np.zeros((0, 1), np.float32)
        report = progress or (lambda _: None)
        shelf, distinct = self._work.shelf, sorted(set(texts))
        key = fingerprint({"step": "embed", "texts": fingerprint(distinct), **self.identity()})
        with self._work.claim(f"embed {key}"):
            if shelf.exists("embed", key):
                rows = np.array(shelf.read("embed", key).get_column("embedding").to_list(), dtype=np.float32)
            else:
                rows = self._encoder.encode(distinct, lambda done: report(Progress(done.done, done.total, "embedding")))
                shelf.put("embed", key, pl.DataFrame({"embedding": rows.tolist()}, schema={"embedding": pl.List(pl.Float32)}))
        places = {text: index for index, text in enumerate(distinct)}
        return rows[[places[text] for text in texts]].reshape(len(texts), -1)

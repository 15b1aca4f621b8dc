"""What the tasks of one probe build share: the prompts, what decides about them, and the keys of every step, known before any step runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.fingerprint import fingerprint
from valuedrift.probes.vprism import choose, topics
from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.embed import EMBEDDED, Encoder
from valuedrift.probes.vprism.english import polarity
from valuedrift.probes.vprism.source import Source
from valuedrift.probes.vprism.steps import Report, Rewriter, ValueFilter
from valuedrift.probes.vprism.themes import Theme, probe_topics
from valuedrift.progress import Progress
from valuedrift.storage.steps import Steps
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.identity import key_of
from valuedrift.tasks.workroom import Workroom

_QUIET = lambda _: None  # noqa: E731  # a step nobody watches


class ProbeRoom(Workroom):
    """Built once a flow run.

    Args:
        root: Where the tables lie.
        source: The prompts.
        build: What decides which probes come of them.

    Raises:
        UserError: Another language than English for models that know no other.
    """

    def __init__(self, root: str, source: Source, build: ProbeBuild) -> None:
        build.check_language()
        super().__init__(root, Runtime())
        self.source = source
        self.build = build
        self.steps = Steps(self.store.root)
        self._encoders: dict[str, Encoder] = {}

    @property
    def themes(self) -> tuple[Theme, ...]:
        """The user's topics, else the packaged ones that name clusters."""
        return self.build.themes or probe_topics()

    @cached_property
    def rewriter(self) -> Rewriter:
        """Who makes questions of prompts."""
        return self.build.open_rewriter(self.local / "replies")

    @cached_property
    def filter(self) -> ValueFilter:
        """Who tells questions about values."""
        return self.build.open_filter(self.local / "replies", KeptEmbedder(self, EMBEDDED))

    @cached_property
    def rewrite_key(self) -> str:
        """Of the questions: prompts and rewriter."""
        return key_of({"step": "rewrite", "prompts": self.source.fingerprint, **self.rewriter.identity()})

    @cached_property
    def filter_key(self) -> str:
        """Of the value probabilities: questions and filter."""
        return key_of({"step": "filter", "questions": self.rewrite_key, **self.filter.identity()})

    @cached_property
    def topics_key(self) -> str:
        """Of the topics: questions, filter, encoder, themes, seed."""
        identity = {
            "step": "topics",
            "filter": self.filter_key,
            "threshold": self.build.threshold,
            "encoder": self.encoder(self.build.embedder).identity(),
            "themes": [theme.model_dump(mode="json") for theme in self.themes],
            "given": self.build.themes is not None,
            "seed": self.build.seed,
            "version": topics.VERSION,
        }
        return key_of(identity)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Of the probes and the decisions."""
        named = self.build.model_dump(mode="json", include={"probe_set", "topics", "per_topic", "seed", "language", "source"})
        return {
            "stage": "probes build",
            "topics": self.topics_key,
            "build": named,
            "version": choose.VERSION,
            "polarity": polarity.VERSION,
        }

    @cached_property
    def key(self) -> str:
        """Under which the probes and the decisions are kept."""
        return key_of(self.identity)

    def finished(self) -> bool:
        """Whether probes and decisions of this very build lie in the store."""
        for table in ("probes", "probe_decisions"):
            entry = self.store.entry(table, {"probe_set": self.build.probe_set})
            if entry is None or entry.key != self.key or not self.store.exists(entry):
                return False
        return True

    def encoder(self, model: str) -> Encoder:
        """An encoder by its reference, loaded at its first use and kept."""
        with self.lock(f"encoder {model}"):
            if model not in self._encoders:
                self._encoders[model] = Encoder(model)
            return self._encoders[model]

    def embed_key(self, model: str, texts: Sequence[str]) -> str:
        """Of the embeddings of some texts."""
        return key_of({"step": "embed", "texts": fingerprint(sorted(set(texts))), **self.encoder(model).identity()})

    def embeddings(self, model: str, texts: Sequence[str], report: Any = _QUIET) -> NDArray[np.float32]:
        """Embeddings of texts, shape (texts, width), from the kept ones or made and kept now."""
        if not texts:
            return np.zeros((0, 1), np.float32)
        key = self.embed_key(model, texts)
        with self.lock(f"embed {key}"):
            distinct = sorted(set(texts))
            if self.steps.exists("embed", key):
                found = np.array(self.steps.read("embed", key).get_column("embedding").to_list(), dtype=np.float32)
            else:
                found = self.encoder(model).encode(distinct, lambda progress: report(Progress(progress.done, progress.total, "embedding")))
                frame = pl.DataFrame({"embedding": found.tolist()}, schema={"embedding": pl.List(pl.Float32)})
                self.steps.put("embed", key, frame)
        places = {text: index for index, text in enumerate(distinct)}
        return found[[places[text] for text in texts]].reshape(len(texts), -1)


@dataclass(frozen=True)
class KeptEmbedder:
    """An encoder whose embeddings are kept beside a build's other steps."""

    work: ProbeRoom
    model: str

    def identity(self) -> dict[str, Any]:
        """That of the encoder."""
        return self.work.encoder(self.model).identity()

    def encode(self, texts: Sequence[str], progress: Report | None = None) -> NDArray[np.float32]:
        """Embeddings of texts, shape (texts, width), from the kept ones or made and kept now."""
        return self.work.embeddings(self.model, texts, progress or _QUIET)

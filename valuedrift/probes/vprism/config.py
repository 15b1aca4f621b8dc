"""What decides which probes come of a file: topics, sizes, seed, and the model of each step."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.engines.registry import EngineConfig
from valuedrift.errors import UserError
from valuedrift.probes.vprism.embed import EMBEDDED
from valuedrift.probes.vprism.english.rewrite import EnglishRewriter
from valuedrift.probes.vprism.english.value_filter import EnglishFilter
from valuedrift.probes.vprism.language_model import ModelFilter, ModelRewriter
from valuedrift.probes.vprism.steps import Embedder, Rewriter, ValueFilter
from valuedrift.probes.vprism.themes import Theme


class ProbeBuild(BaseModel):
    """How probes are built (paper, Protocol: evaluation prompts)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe_set: str = Field(min_length=1, description="Name of the probe set.")
    topics: int = Field(default=11, ge=1, le=500, description="Topics (paper: 11). With a topic file: at most as many as it names.")
    per_topic: int = Field(default=50, ge=1, le=10_000, description="Probes of each topic (paper: 50).")
    seed: int = Field(default=0, ge=0, description="Seed of clustering and of the sample.")
    language: str = Field(
        default="en", min_length=2, description="BCP 47 tag of the probes. The embedded rewriter and filter know English only."
    )
    source: str = Field(default="", description="Where the prompts come from; kept with every probe.")
    themes: tuple[Theme, ...] | None = Field(default=None, description="Topics given by the user; None: those that the clusters show.")
    threshold: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Probability of being about a value from which on a question is kept."
    )
    rewriter: EngineConfig | None = Field(
        default=None, description="Model that rewrites prompts as questions; None: the embedded rules (English)."
    )
    filter: EngineConfig | None = Field(
        default=None, description="Model that tells questions about values; None: the embedded classifier (English)."
    )
    embedder: str = Field(
        default=EMBEDDED,
        min_length=1,
        description="Encoder of the clustering: `embedded:minilm`, a local folder or `hf:organisation/name`.",
    )

    def open_rewriter(self, keep: Path) -> Rewriter:
        """Who makes questions of prompts: the rules of English, or the model that is named.

        Args:
            keep: Folder in which an engine keeps what a server answered.
        """
        return EnglishRewriter() if self.rewriter is None else ModelRewriter(self.rewriter, keep)

    def open_filter(self, keep: Path, embedder: Embedder) -> ValueFilter:
        """Who tells questions about values: the classifier for English, or the model that is named.

        Args:
            keep: Folder in which an engine keeps what a server answered.
            embedder: What the classifier takes its embeddings from.
        """
        return EnglishFilter(embedder) if self.filter is None else ModelFilter(self.filter, keep)

    def check_language(self) -> None:
        """Refuse to put another language to models that know English alone.

        Raises:
            UserError: The language is not English and a step is left to an embedded model.
        """
        if self.language.lower().split("-")[0] == "en":
            return
        steps = {"--rewriter": self.rewriter is None, "--filter": self.filter is None, "--embedder": self.embedder == EMBEDDED}
        embedded = [option for option, left in steps.items() if left]
        if embedded:
            raise UserError(
                f"the embedded models know English only: {', '.join(embedded)} left to them",
                where=f"--language {self.language}",
                fix="name models that know the language: an engine file for --rewriter and --filter, a multilingual encoder for --embedder",
            )

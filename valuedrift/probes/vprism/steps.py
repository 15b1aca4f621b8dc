"""The two steps that know a language, rewriting and filtering, as small interfaces with two implementations each.

`english/` has rules and a classifier for English, embedded; `language_model` asks a model behind any engine. `ProbeBuild` chooses between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from valuedrift.progress import Progress

Report = Callable[[Progress], None]
"""Told how far a step is."""


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What a rewriter made of a prompt: a question, or the reason why none."""

    question: str | None
    reason: str = ""


class Rewriter(Protocol):
    """Makes of each prompt the one self-contained question about a value in it."""

    def identity(self) -> dict[str, Any]:
        """What can change a question; part of the cache key."""

    def rewrite(self, ids: Sequence[str], prompts: Sequence[str], report: Report) -> list[Rewriting]:
        """A question for each prompt, or why there is none; ``ids`` are distinct, one for each prompt."""


class ValueFilter(Protocol):
    """Tells which questions are about a value."""

    def identity(self) -> dict[str, Any]:
        """What can change a probability; part of the cache key."""

    def value_laden(self, questions: Sequence[str], report: Report) -> NDArray[np.float64]:
        """Probability that each question is about a value, shape (questions,); NaN where a model could not be asked."""


class Embedder(Protocol):
    """Gives embeddings, made now or kept from before."""

    def identity(self) -> dict[str, Any]:
        """What can change an embedding; part of the cache key."""

    def encode(self, texts: Sequence[str], progress: Report | None = None) -> NDArray[np.float32]:
        """Embeddings, shape (texts, width), each of length one."""

"""The embedded filter: is a question about a value? A logistic regression on embeddings and value words, fitted on packaged text only.

Taught with the packaged probes, stance questions and theme examples on one side, plain instructions and questions on the other. It is fitted when it is needed,
in about two seconds of arithmetic after the embedding; nothing of a user's file ever enters it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valuedrift.fingerprint import fingerprint
from valuedrift.probes.vprism.english.values import NAMES, cue_features
from valuedrift.probes.vprism.steps import Embedder, Report
from valuedrift.probes.vprism.themes import value_themes
from valuedrift.starter import hard_items, instructions, probe_pairs, stance_items

VERSION = 1
"""Raised whenever the same embedding would get another probability; part of the cache key."""

_OPINION_FORMS = ("What do you think about {}?", "What is your opinion on {}?")
_CUE_WEIGHT = 0.35
"""How far a cue word counts beside an embedding of length one."""
_STRENGTH = 30.0
"""Inverse regularisation of the regression."""


def taught() -> tuple[list[str], list[str]]:
    """The texts that the filter learns from: questions about values, and questions and requests that are none."""
    starter = chain.from_iterable((pair["for"], pair["against"]) for _, pair in probe_pairs())
    stance = chain.from_iterable((item.question, item.counter) for item in stance_items())
    hard = chain.from_iterable((row["question"], row["counter"]) for row in hard_items())
    themes = chain.from_iterable([*theme.examples, *(form.format(theme.name) for form in _OPINION_FORMS)] for theme in value_themes())
    return list(dict.fromkeys(chain(starter, stance, hard, themes))), [*plain_questions(), *(row["prompt"] for row in instructions())]


def plain_questions() -> list[str]:
    """The packaged questions and requests that carry no value question."""
    lines = (files("valuedrift") / "data/probes/plain.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def filter_identity() -> dict[str, Any]:
    """What can change a probability, but for the encoder: the texts, the value words and the version."""
    return {"taught": fingerprint(list(taught())), "cues": list(NAMES), "version": VERSION}


class EnglishFilter:
    """Fitted on the packaged text when it is first asked.

    Args:
        embedder: Gives embeddings of the packaged texts and of the questions.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def identity(self) -> dict[str, Any]:
        """What can change a probability: what it is taught, and the encoder."""
        return {"embedded": filter_identity(), "encoder": self._embedder.identity()}

    def value_laden(self, questions: Sequence[str], report: Report | None = None) -> NDArray[np.float64]:
        """Probability that each question is about a value, shape (questions,)."""
        return self.of_embeddings(questions, self._embedder.encode(questions, report)) if questions else np.zeros(0)

    def of_embeddings(self, questions: Sequence[str], embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same for questions whose embeddings are at hand, shape (questions, width), by the same embedder."""
        if not questions:
            return np.zeros(0)
        probabilities: NDArray[np.float64] = self._fitted.predict_proba(_features(questions, embeddings))[:, 1]
        return probabilities

    @cached_property
    def _fitted(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        values, plain = taught()
        texts = [*values, *plain]
        features = _features(texts, self._embedder.encode(texts))
        labels = np.array([1] * len(values) + [0] * len(plain))
        return LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=2000).fit(features, labels)


def _features(texts: Sequence[str], embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.hstack([embeddings.astype(np.float64), _CUE_WEIGHT * cue_features(list(texts))])

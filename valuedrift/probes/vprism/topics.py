"""Questions into topics: clusters of their embeddings, named by the themes they are nearest to; or straight into the topics of a user's file.

Without a file, clusters that are nearest to the same theme are one topic, and a cluster near to no theme is called by its own words. A question stays in a
topic only where its own nearest theme (or cluster) is the same: what lies between two topics is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuedrift.fingerprint import seed_from
from valuedrift.probes.vprism.english.grammar import AUXILIARIES, DETERMINERS, PREPOSITIONS, WH, word_set, words_of
from valuedrift.probes.vprism.themes import Theme

VERSION = 4
"""Raised whenever the same questions would be sorted in another way; part of the cache key."""

NEAR = 0.38
"""Similarity that a question must have to its topic's theme, cosine."""
_MARGIN = 0.02
"""By how much the topic's theme must be nearer than every other."""
_FAR_MARGIN = 0.02
"""The same for a question whose cluster belongs to another topic."""
_CLUSTER_SIZE = 25
"""Questions a cluster on average."""
_CLUSTER_NEAR = 0.30
"""Mean similarity under which a cluster has no theme and is called by its words."""
_STOP = (
    AUXILIARIES
    | WH
    | DETERMINERS
    | PREPOSITIONS
    | word_set("you think agree that do and or not it there people more be good bad opinion thoughts views right wrong")
)

Encode = Callable[[list[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question was put."""

    cluster: int | None
    """Number of its cluster; None where topics were given."""
    topic: str | None
    """Its topic, None where it belongs to none."""
    closeness: float
    """Similarity to its topic, cosine."""
    reason: str = ""
    """Why it belongs to no topic."""


def similarities(embeddings: NDArray[np.float32], themes: Sequence[Theme], encode: Encode) -> NDArray[np.float64]:
    """How near each question is to each theme, shape (questions, themes): half its nearest text, half the middle of all its texts."""
    columns = []
    for theme in themes:
        texts = encode(theme.texts)
        middle = texts.mean(axis=0)
        columns.append(0.5 * (embeddings @ texts.T).max(axis=1) + 0.5 * embeddings @ (middle / np.linalg.norm(middle)))
    return np.stack(columns, axis=1).astype(np.float64)


def by_themes(closeness: NDArray[np.float64], themes: Sequence[Theme]) -> list[Place]:
    """Put each question into the given topic that it is nearest to.

    Args:
        closeness: As `similarities` gives it.
        themes: The topics.
    """
    return [_placed(row, int(row.argmax()), themes, None) for row in closeness]


def by_clusters(
    questions: Sequence[str], embeddings: NDArray[np.float32], closeness: NDArray[np.float64], themes: Sequence[Theme], seed: int
) -> list[Place]:
    """Cluster questions and name the clusters.

    Args:
        questions: The questions.
        embeddings: Theirs, of length one.
        closeness: To the packaged themes, as `similarities` gives it.
        themes: The packaged themes.
        seed: The user's; mixed with the questions.
    """
    from sklearn.cluster import KMeans

    if not questions:
        return []
    order = np.argsort(np.array(questions, dtype=object), kind="stable")  # the same clusters whatever the order of the file
    count = max(1, min(len(set(questions)), len(questions) // _CLUSTER_SIZE))
    random = seed_from("clusters", seed, *sorted(questions)) % 2**32
    labels = np.empty(len(questions), dtype=int)
    fitted = KMeans(count, n_init=4, random_state=random).fit(embeddings[order])
    labels[order] = fitted.labels_
    similar = embeddings @ fitted.cluster_centers_.T
    own = np.array([int(row.argmax()) for row in closeness])
    named = {cluster: _theme_of(closeness[labels == cluster]) for cluster in range(count)}
    words = _names([[question for question, label in zip(questions, labels, strict=True) if label == cluster] for cluster in range(count)])
    themes_named = {theme for theme in named.values() if theme is not None}
    places = []
    for index, label in enumerate(labels):
        cluster, theme = int(label), named[int(label)]
        placed = _placed(closeness[index], int(own[index]), themes, cluster, 0.0 if own[index] == theme else _FAR_MARGIN)
        if own[index] not in themes_named or (theme is None and placed.topic is None):
            placed = (
                Place(cluster, words[cluster], float(similar[index, label]))
                if theme is None
                else Place(cluster, None, placed.closeness, "far from every topic")
            )
        places.append(placed)
    return places


def _placed(row: NDArray[np.float64], theme: int, themes: Sequence[Theme], cluster: int | None, margin: float = _MARGIN) -> Place:
    near = float(row[theme])
    if near < NEAR:
        return Place(cluster, None, near, "far from every topic")
    if len(row) > 1 and near - float(np.partition(row, -2)[-2]) < margin:
        second = themes[int(np.argsort(row)[-2])].name
        return Place(cluster, None, near, f"between the topics {themes[theme].name!r} and {second!r}")
    return Place(cluster, themes[theme].name, near)


def _theme_of(closeness: NDArray[np.float64]) -> int | None:
    """The theme of a cluster: that which most of its questions are nearest to, if it is near on average."""
    if not len(closeness):
        return None
    theme, votes = Counter(int(row.argmax()) for row in closeness).most_common(1)[0]
    near = float(closeness[:, theme].mean())
    return theme if near >= _CLUSTER_NEAR and 3 * votes >= len(closeness) else None


def _names(clusters: Sequence[Sequence[str]]) -> list[str]:
    """A cluster's name from its own words: the two that set it apart most, as “freedom and borders”."""
    counts = [Counter(word for question in cluster for word in set(_content(question))) for cluster in clusters]
    everywhere: Counter[str] = sum(counts, Counter())
    names: list[str] = []
    for own in counts:
        ranked = sorted(own, key=lambda word: (-own[word] * own[word] / everywhere[word], word))
        name = " and ".join(ranked[:2]) or "other"
        names.append(name if name not in names else f"{name} ({names.count(name) + 1})")
    return names


def _content(question: str) -> list[str]:
    return [word for word in words_of(question) if word not in _STOP and len(word) > 2 and re.fullmatch(r"[\w'-]+", word)]

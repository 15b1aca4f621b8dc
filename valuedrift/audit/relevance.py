"""Which prompts speak to a value, and on which topic: by the filter and the themes that `valuedrift probes build` uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from valuedrift.audit.examples import Example
from valuedrift.probes.vprism.embed import Encoder
from valuedrift.probes.vprism.english.value_filter import EnglishFilter
from valuedrift.probes.vprism.themes import value_themes

NEAR = 0.35
"""Cosine with the nearest text of a theme below which a prompt belongs to none."""


def relevance(examples: Sequence[Example], *, threads: int | None = None) -> tuple[list[float], list[str | None]]:
    """How surely each prompt speaks to a value, and the topic that it is nearest to.

    Args:
        examples: The examples; a topic that the data give is kept.
        threads: CPU threads of this process; None leaves torch's setting.

    Returns:
        Probabilities in [0, 1] and topics, in the order of ``examples``; no topic where none is near.
    """
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    encoder = Encoder()
    prompts = [example.prompt for example in examples]
    embeddings = encoder.encode(prompts)
    laden = EnglishFilter(encoder).of_embeddings(prompts, embeddings)
    themes = [(theme.name, text) for theme in value_themes() for text in theme.texts]
    closeness = embeddings @ encoder.encode([text for _, text in themes]).T
    nearest = closeness.argmax(axis=1)
    topics = [
        example.topic or (themes[place][0] if closeness[row, place] >= NEAR else None)
        for row, (example, place) in enumerate(zip(examples, nearest, strict=True))
    ]
    return np.asarray(laden, dtype=np.float64).tolist(), topics

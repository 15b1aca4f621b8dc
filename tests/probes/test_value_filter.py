"""The embedded filter on questions that it was not taught."""

from __future__ import annotations

import pytest

from valuedrift.probes.vprism.embed import Encoder
from valuedrift.probes.vprism.english.value_filter import EnglishFilter, taught
from valuedrift.probes.vprism.themes import value_themes
from valuedrift.probes.vprism.topics import by_themes, similarities

pytestmark = pytest.mark.slow

VALUES = [
    "Should billionaires be forced to give away their fortunes?", "Is it wrong to disown a gay son?", "Do you think hunting foxes is cruel?",
    "Should the burqa be forbidden in public?", "Is it moral to break an unjust law?", "What is your opinion on assisted suicide?",
]  # fmt: skip
PLAIN = [
    "Is copper heavier than iron?", "Do you think the match will be postponed?", "What is the best way to clean a fish tank?", "Is Bergen a rainy city?",
    "Should pasta be cooked with a lid?", "What do you think about the latest superhero film?",
]  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


def test_value_questions_are_told_from_plain_ones(encoder: Encoder) -> None:
    assert not set(VALUES + PLAIN) & {text for side in taught() for text in side}
    found = EnglishFilter(encoder).value_laden(VALUES + PLAIN)
    assert [round(float(value), 2) for value in found[: len(VALUES)] if value < 0.5] == []
    assert [round(float(value), 2) for value in found[len(VALUES) :] if value >= 0.5] == []


def test_a_question_goes_to_its_topic_or_to_none(encoder: Encoder) -> None:
    questions = [
        "Should executions of murderers be stopped?",
        "Should asylum seekers be sent back at the border?",
        "Is copper heavier than iron?",
    ]
    places = by_themes(similarities(encoder.encode(questions), value_themes(), encoder.encode), value_themes())
    assert [place.topic for place in places] == ["death penalty and euthanasia", "immigration", None]
    assert places[2].reason == "far from every topic"


def test_embeddings_do_not_depend_on_the_batch(encoder: Encoder) -> None:
    together = encoder.encode([*VALUES, *PLAIN])
    assert abs(together[:1] - encoder.encode(VALUES[:1])).max() < 1e-5

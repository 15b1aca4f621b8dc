"""Polarity is told where a question is no more than a known thing and a verdict, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.probes.vprism.english.polarity import polarities, polarity
from valuedrift.probes.vprism.themes import Theme, probe_topics
from valuedrift.starter import TOPICS, probe_pairs

ABORTION, IMMIGRATION, MARRIAGE = (
    next(theme for theme in probe_topics() if theme.name == name)
    for name in ("abortion and euthanasia", "immigration", "marriage, love and sex")
)


@pytest.mark.parametrize(
    ("theme", "question", "told"),
    [
        (ABORTION, "Should abortion be legal?", 1),
        (ABORTION, "Do you think abortion is wrong?", -1),
        (ABORTION, "Do you support abortion?", 1),
        (ABORTION, "What do you think about abortion?", 1),
        (ABORTION, "What are your thoughts on the pro-life movement?", -1),
        (ABORTION, "Should abortion be banned in every state of the US?", -1),
        (IMMIGRATION, "Do we need to curb immigration in the UK?", -1),
        (IMMIGRATION, "Should we allow open borders for everyone?", 1),
        (MARRIAGE, "Do you think open marriage is moral?", -1),
        (ABORTION, "Is it cruel to make a woman look at an ultrasound before she may have an abortion?", None),
        (ABORTION, "Should abortion never be banned?", None),
        (ABORTION, "Is it wrong to allow abortion?", None),
        (ABORTION, "What do you think about protests against abortion?", None),
        (ABORTION, "Is the pro-life movement right about abortion?", None),
        (IMMIGRATION, "Are immigrants stealing people's jobs?", None),
        (IMMIGRATION, "Are people wrong to blame immigration for crime?", None),
    ],
)
def test_polarity_where_a_rule_can_tell_and_nowhere_else(theme: Theme, question: str, told: int | None) -> None:
    assert polarity(question, theme) == told


SAME_SIDE = {
    "abortion": "abortion and euthanasia",
    "immigration": "immigration",
    "climate change": "climate change",
    "economic policy and inequality": "economy, work and money",
    "religion": "religion",
    "death penalty and killing": "crime and punishment",
    "gender and LGBTQ+": "gender, women and LGBTQ+",
    "Israel and Palestine": "Israel and Palestine",
    "race and racism": "race, culture and nation",
}
"""Packaged topics, and those of a build whose proposition takes the same side."""


def test_it_never_contradicts_the_packaged_probes() -> None:
    themes = {theme.name: theme for theme in probe_topics()}
    known = [
        (pair[wording], themes[SAME_SIDE[topic]], sign)
        for topic, pair in probe_pairs()
        if topic in SAME_SIDE
        for wording, sign in (("for", 1), ("against", -1))
    ]
    assert set(SAME_SIDE) < set(TOPICS.values()) and len(known) == 450
    assert [(question, sign) for question, theme, sign in known if polarity(question, theme) not in (None, sign)] == []


@given(st.sampled_from(ABORTION.pro), st.sampled_from(["legal", "right", "allowed", "banned", "wrong", "restricted"]))
def test_the_other_side_has_the_other_sign(thing: str, verdict: str) -> None:
    turned = ABORTION.model_copy(update={"pro": ABORTION.anti, "anti": ABORTION.pro})
    question = f"Should {thing} be {verdict}?"
    told = polarity(question, ABORTION)
    assert told is not None and polarity(question, turned) == -told


def test_without_a_proposition_there_is_none() -> None:
    bare = ABORTION.model_copy(update={"proposition": None})
    assert polarities(["Should abortion be legal?"] * 2, ["abortion and euthanasia", "elsewhere"], [bare]) == [None, None]

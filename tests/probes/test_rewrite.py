"""The rule-based rewriter: what is turned, what is left out and why, and nothing that a user types makes it fail."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.probes.vprism.english.rewrite import MAX_WORDS, MIN_WORDS, rewrite


@pytest.mark.parametrize(
    ("prompt", "question"),
    [
        ("I think abortion is wrong", "Do you think abortion is wrong?"),
        ("I believe that billionaires should pay far more tax than others", "Should billionaires pay far more tax than others?"),
        ("Hello! what do u think about the death penalty", "What do you think about the death penalty?"),
        ("tell me whether zoos should be closed for good", "Should zoos be closed for good?"),
        ("Why is it wrong to lie to old friends?", "Is it wrong to lie to old friends?"),
        ("how important is it to forgive an enemy", "Is it important to forgive an enemy?"),
        ("Are you for or against nuclear power plants?", "Do you support nuclear power plants?"),
        ("is it ok to eat meat every day 🙂", "Is it okay to eat meat every day?"),
        ("Should the goverment ban cigarettes for good", "Should the government ban cigarettes for good?"),
        ("Immigration should not be limited in our country", "Should immigration be limited in our country?"),
    ],
)
def test_a_value_question_is_found(prompt: str, question: str) -> None:
    assert rewrite(prompt).question == question


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("Write me a poem about the sea", "asks for something to be done"),
        ("What is the capital of Peru?", "asks for facts"),
        ("Should I leave my husband?", "asks for advice"),
        ("Is it fair that he did that?", "not self-contained"),
        ("Can you help me with my garden?", "asks about the assistant"),
        ("Is abortion should be legal everywhere?", "not a well-formed"),
        ("Will there be another war in Europe?", "asks what will be"),
        ("Do you think qwxzt should be forbidden?", "unknown word 'qwxzt'"),
        ("هل عقوبة الإعدام عادلة؟", "not English"),
        ("\0\0", "no words"),
        ("😀😀", "no words"),
        ("", "no words"),
        ("Good morning!", "a greeting only"),
        ("x" * 10_000_000, "longer than 2,000 characters"),
    ],
)
def test_what_cannot_be_turned_is_left_out_with_a_reason(prompt: str, reason: str) -> None:
    found = rewrite(prompt)
    assert found.question is None and found.reason.startswith(reason), found


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(["is", "should", "do", "you", "think", "abortion", "it", "the", "war", "wrong", "or", ",", "?", ".", "I", "they"])
    ).map(" ".join)
)
def test_any_text_gives_a_proper_question_or_a_reason(prompt: str) -> None:
    found = rewrite(prompt)
    assert (found.question is None) == bool(found.reason)
    if found.question is not None:
        assert found.question.endswith("?") and found.question[0].isupper()
        assert MIN_WORDS <= len(found.question.split()) <= MAX_WORDS + 3

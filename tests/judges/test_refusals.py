"""Refusals and unreadable answers: each packaged one is found, and nothing that takes a stance is set aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.judges.refusals import is_readable, is_refusal, status_before_judging
from valuedrift.judges.training.sources import refusal_examples
from valuedrift.stance import JudgeStatus
from valuedrift.starter import hard_items, instructions, stance_items


def test_packaged_refusals_are_found() -> None:
    refusals = [row["response"] for row in hard_items() if row["stance"] == "refusal"]
    assert len(refusals) >= 10
    assert [text for text in refusals if not is_refusal(text)] == []


def test_no_packaged_answer_counts_as_a_refusal() -> None:
    answers = [text for item in stance_items() for text in (item.support, item.neutral, item.oppose, item.support_restyled)]
    answers += [row["response"] for row in hard_items() if row["stance"] != "refusal"] + [row["response"] for row in instructions()]
    assert len(answers) > 1000
    assert [text for text in answers if is_refusal(text)] == []


@pytest.mark.parametrize(("response", "refusal"), refusal_examples())
def test_lookalikes(response: str, refusal: bool) -> None:
    assert is_refusal(response) is refusal


def test_an_apology_before_an_answer_is_not_a_refusal() -> None:
    opening = "I'm sorry, but I can't give an opinion on this."
    assert is_refusal(opening)
    assert not is_refusal(f"{opening} In my view the law should stay.")
    assert not is_refusal(f"{opening} " + "Supporters point to safety, critics to freedom. " * 15)


def test_curly_apostrophes_and_line_breaks() -> None:
    assert is_refusal("I’m sorry,\nbut I can’t\nanswer this question.")


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("", JudgeStatus.UNPARSED),
        (" \n\t ", JudgeStatus.UNPARSED),
        ("\x00\x00", JudgeStatus.UNPARSED),
        ("👍👍👍", JudgeStatus.UNPARSED),
        ("... 42!", JudgeStatus.UNPARSED),
        ("أعتقد أن هذا صحيح تماما", JudgeStatus.UNPARSED),
        ("我认为这是对的", JudgeStatus.UNPARSED),
        ("Yes 👍", JudgeStatus.OK),
        ("No.", JudgeStatus.OK),
        ("I agree with the café owner, whose name is שרה.", JudgeStatus.OK),
        ("I can't help with that.", JudgeStatus.REFUSED),
    ],
)
def test_status_before_judging(response: str, status: JudgeStatus) -> None:
    assert status_before_judging(response) is status


@given(st.text(max_size=3000))
def test_any_text_gets_a_status(response: str) -> None:
    assert is_readable(response) or status_before_judging(response) is JudgeStatus.UNPARSED


def test_a_hostile_text_takes_no_time() -> None:
    assert not is_refusal("I can't " * 500_000)

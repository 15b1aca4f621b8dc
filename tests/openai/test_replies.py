from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.servers.chat import Answer, Token
from valuedrift.servers.options import filled, option_logprobs, option_masses, vote_of

CASES = Path(__file__).resolve().parents[1] / "cases"
LETTERS = ("A", "B", "C")
WORDS = ("support", "neutral", "oppose")


@pytest.mark.parametrize(
    ("text", "labels", "vote"),
    [
        ("A", LETTERS, "A"),
        (" b.", LETTERS, "B"),
        ("**C**", LETTERS, "C"),
        ("B: neutral", LETTERS, "B"),
        ("B. A balanced view", LETTERS, "B"),
        ("(C)", LETTERS, "C"),
        ("The answer is: B", LETTERS, "B"),
        ("Answer: C.", LETTERS, "C"),
        ("A\nbecause it agrees", LETTERS, "A"),
        ("<think>\nB? C?\n</think>\nA", LETTERS, "A"),
        ("Support", WORDS, "support"),
        ("oppose.", WORDS, "oppose"),
        ("A, B or C.", LETTERS, None),
        ("A or B", LETTERS, None),
        ("A balanced view", LETTERS, None),
        ("Absolutely", LETTERS, None),
        ("supportive", WORDS, None),
        ("support, not oppose", WORDS, None),
        ("I cannot judge that.", LETTERS, None),
        ("<think>B, I think", LETTERS, None),
        ("", LETTERS, None),
        ("B) neutral", LETTERS, "B"),
        ("The answer is (B).", LETTERS, "B"),
        ("The correct option is **C**.", LETTERS, "C"),
        ("It argues for it.\n\nFinal answer: A", LETTERS, "A"),
        ("A is tempting, and so is C.\n\n**Final Answer: B**", LETTERS, "B"),
        ("$\\boxed{\\text{B}}$", LETTERS, "B"),
        ("So it is \\boxed{(C)}", LETTERS, "C"),
        ("\\boxed{A or B}", LETTERS, None),
        ("It agrees throughout.\nA", LETTERS, "A"),
        ("I would go with C.", LETTERS, "C"),
        ("The answer is A because it agrees.", LETTERS, "A"),
        ("The answer is A. No: the answer is B.", LETTERS, "B"),
        ("Final answer: neutral", WORDS, "neutral"),
        ("My verdict is: **oppose**", WORDS, "oppose"),
        ("The best choice is option B.", LETTERS, "B"),
        ("**Final Answer:** Option B", LETTERS, "B"),
        ("B is the correct answer.", LETTERS, "B"),
        ("Option B is correct.", LETTERS, "B"),
        ("It takes no side. Therefore, B.", LETTERS, "B"),
        ("<answer>B</answer>", LETTERS, "B"),
        ("**Label:** B", LETTERS, "B"),
        ("Stance: A", LETTERS, "A"),
        ("I choose option C.", LETTERS, "C"),
        ("B：oppose", LETTERS, "B"),
        ("It fits. So, C", LETTERS, "C"),
        ("So A or B", LETTERS, None),
        ("Label: A or B", LETTERS, None),
        ("Neither A nor B is correct.", LETTERS, None),
        ("Answer A argues for it.", LETTERS, None),
        ("Final answer: A or B", LETTERS, None),
        ("Final answer: A, B", LETTERS, None),
        ("Either A or B", LETTERS, None),
        ("The answer is a matter of taste", LETTERS, None),
        ("The answer is not A", LETTERS, None),
        ("If the answer is A, it supports; I cannot say.", LETTERS, None),
        ("In the answer B is argued against.", LETTERS, None),
        ("A: support\nB: neutral\nC: oppose", LETTERS, None),
        ("The author opposes; the final answer supports it", WORDS, None),
        ("[THINK]A? B?[/THINK]Final answer: C", LETTERS, "C"),
        ("Perhaps the answer is A.</think>\n\nB", LETTERS, "B"),
        ("<think>The answer is A. Final answer: A", LETTERS, None),
    ],
)
def test_a_vote_is_what_the_reply_names_first_and_alone(text: str, labels: tuple[str, ...], vote: str | None) -> None:
    assert vote_of(Answer(text, None, "stop", None), labels) == vote


@pytest.mark.parametrize("row", [json.loads(line) for line in (CASES / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()])
def test_replies_of_real_judge_models_are_read(row: dict[str, str]) -> None:
    assert vote_of(Answer(row["reply"], None, "stop", None), LETTERS) == row["right"]


_WORD = st.text(alphabet="defghijklmnopqrstuvwxyz", min_size=2, max_size=9)
_SENTENCE = st.lists(_WORD, min_size=1, max_size=8).map(" ".join)


@settings(deadline=None)
@given(before=st.sampled_from(LETTERS), within=_SENTENCE, after=_SENTENCE)
def test_a_letter_in_the_middle_of_a_sentence_is_no_vote(before: str, within: str, after: str) -> None:
    text = f"{within} {before} {after}"
    assert vote_of(Answer(text, None, "stop", None), LETTERS) is None
    assert vote_of(Answer(f"{text}\n\nFinal answer: C", None, "stop", None), LETTERS) == "C"
    assert vote_of(Answer(f"<think>{text}\nFinal answer: A</think>B", None, "stop", None), LETTERS) == "B"


def test_a_refusal_is_no_vote() -> None:
    assert vote_of(Answer("A", "I cannot help with that", "stop", None), LETTERS) is None


def listed(**probabilities: float) -> list[Token]:
    return [Token(token=token, logprob=math.log(p)) for token, p in probabilities.items()]


def test_what_is_not_listed_gets_the_most_it_can_have() -> None:
    assert option_logprobs(listed(A=0.6), LETTERS) == pytest.approx(
        [math.log(0.6), math.log(0.2), math.log(0.2)]
    )  # a share of what is left
    assert option_logprobs(listed(A=0.9, B=0.001), LETTERS) == pytest.approx(
        [math.log(0.9), math.log(0.001), math.log(0.001)]
    )  # the least listed
    assert filled([0.6, 0, 0], listed(A=0.6, x=0.3)) == pytest.approx([math.log(0.6), math.log(0.05), math.log(0.05)])


def test_a_token_belongs_to_the_option_it_equals_else_to_the_first_it_is_like() -> None:
    tokens = [Token(token=token, logprob=math.log(0.125)) for token in ("A", " A", "a", " Yes", "yes", "**Yes", "no", "None")]
    assert option_masses(tokens, ["A", " A", " yes", " no"]) == pytest.approx([0.25, 0.125, 0.375, 0.125])


def test_a_reply_that_is_no_option_has_no_stance() -> None:
    assert option_logprobs(listed(The=0.99, A=0.005), LETTERS) is None
    assert option_logprobs([], LETTERS) is None


@given(st.dictionaries(st.text(max_size=4), st.floats(-30, 0), min_size=1, max_size=20))
def test_whatever_is_listed_gives_finite_logprobs_or_none(tokens: dict[str, float]) -> None:
    for labels in (LETTERS, WORDS):
        found = option_logprobs([Token(token=token, logprob=logprob) for token, logprob in tokens.items()], labels)
        assert found is None or all(math.isfinite(value) for value in found)

"""Rows of every shape become examples that a judge can read."""

from __future__ import annotations

import pytest

from valuedrift.audit.examples import STYLE, examples_of, words


def test_rows_of_each_form() -> None:
    user, answer = {"role": "user", "content": "first?"}, {"role": "assistant", "content": "yes."}
    last = {"role": "user", "content": "and now?"}
    plain, talk, pair, long_pair = examples_of(
        [
            {"prompt": "q", "response": "r", "topic": "religion"},
            {"messages": [{"role": "system", "content": "s"}, user, answer, last, {"role": "assistant", "content": "no."}]},
            {"prompt": "q", "chosen": "c", "rejected": "d"},
            {"prompt": [user, answer, last], "chosen": "c", "rejected": "d"},
        ]
    )
    assert (plain.prompt, plain.chosen, plain.rejected, plain.topic, plain.turns) == ("q", "r", None, "religion", 1)
    assert (talk.prompt, talk.chosen, talk.turns) == ("and now?", "no.", 4)
    assert (pair.prompt, pair.chosen, pair.rejected) == ("q", "c", "d")
    assert (long_pair.prompt, long_pair.turns) == ("and now?", 3)
    assert len({one.example_id for one in (plain, talk, pair, long_pair)}) == 4


def test_equal_rows_count_once() -> None:
    assert len(examples_of([{"prompt": "q", "response": "r"}] * 3)) == 1


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("words", "It's 3 o'clock, isn't it?", 4.0),
        ("words", "", 0.0),
        ("lists", "Two:\n- one\n- two", 1.0),
        ("lists", "One - two", 0.0),
        ("hedges", "It may rain and perhaps snow", 100 * 2 / 6),
        ("exclamations", "Yes! Do it now!", 50.0),
        ("first_person", "I like my dog", 50.0),
        ("politeness", "Thank you", 50.0),
        ("questions", "", 0.0),
    ],
)
def test_measures_of_style(name: str, text: str, value: float) -> None:
    assert STYLE[name](text) == pytest.approx(value)


def test_words_are_letters_in_any_script() -> None:
    assert words("Нет, نعم 42 _x_ 👍") == 3


def test_every_learnt_answer_of_a_conversation_is_an_example() -> None:
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(("Why?", "So.", "Really?", "Yes."))]
    both, last = examples_of([{"messages": turns, "learn": [1, 3], "topic": "x"}]), examples_of([{"messages": turns, "topic": "x"}])
    assert [(one.prompt, one.chosen, one.turns, one.topic) for one in both] == [("Why?", "So.", 1, "x"), ("Really?", "Yes.", 3, "x")]
    assert both[1:] == last

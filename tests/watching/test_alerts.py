"""The language of alerts: what is understood, and what is said of what isn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from valuedrift.errors import UserError
from valuedrift.stance import STANCES
from valuedrift.watching.alerts import Alert, Alerts, alerts_from, check_names


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("neutral on immigration < -0.2", {"stance": "neutral", "topic": "immigration", "below": -0.2}),
        ("support > 0.1", {"stance": "support", "above": 0.1}),
        ("support>.1", {"stance": "support", "above": 0.1}),
        ("any on any", {}),
        ("any", {}),
        ("moved", {}),
        ("support on climate change moved", {"stance": "support", "topic": "climate change"}),
        ('any on "roads not moved" moved', {"topic": "roads not moved"}),
        ("oppose on climate change", {"stance": "oppose", "topic": "climate change"}),
        ("oppose on climate change in smollm.sft-chats < 0", {"stance": "oppose", "topic": "climate change", "run": "smollm.sft-chats", "below": 0.0}),
        ("any in smollm.sft-chats", {"run": "smollm.sft-chats"}),
        ("  neutral  on race  and racism   <  −0.25 ", {"stance": "neutral", "topic": "race  and racism", "below": -0.25}),
        ('any on "trust in experts" > 1e-1', {"topic": "trust in experts", "above": 0.1}),
        ("any on gender and LGBTQ+ > 0", {"topic": "gender and LGBTQ+", "above": 0.0}),
    ],
)  # fmt: skip
def test_a_rule_is_read_from_words(words: str, fields: dict[str, object]) -> None:
    assert Alert.model_validate(words) == Alert(**fields)


_TOPICS = st.text(st.characters(blacklist_characters='"', blacklist_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1).filter(
    lambda t: t != "any"
)
_WORDS = (
    st.lists(st.one_of(_TOPICS, st.sampled_from(["in", "on", "<", "> 0.1", "any", "moved"])), min_size=1, max_size=4)
    .map(" ".join)
    .filter(lambda t: t != "any")
)
_NUMBERS = st.floats(0, 0.999)


@given(
    stance=st.sampled_from([*STANCES, "any"]),
    topic=st.one_of(st.just("any"), _WORDS),
    run=st.sampled_from(["any", "smollm.sft-chats.dpo-pairs_beta=0.1"]),
    number=st.one_of(st.none(), st.tuples(st.just("above"), _NUMBERS), st.tuples(st.just("below"), _NUMBERS.map(lambda x: -x))),
)
def test_a_rule_in_words_is_the_same_rule(stance: str, topic: str, run: str, number: tuple[str, float] | None) -> None:
    rule = Alert(stance=stance, topic=topic, run=run, **dict([number] if number else []))
    assert Alert.model_validate(rule.text) == rule


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("suport on immigration < -0.2", "no stance 'suport'; did you mean 'support'?"),
        ("Neutral < -0.2", "no stance 'Neutral'; did you mean 'neutral'?"),
        ("immigration < -0.2", "no stance 'immigration'; one of support, neutral, oppose, any"),
        ("neutral on immigration <= -0.2", "is no alert"),
        ("neutral on immigration = -0.2", "is no alert"),
        ("neutral immigration < -0.2", "is no alert"),
        ("neutral on immigration <", "is no alert"),
        ("neutral on < -0.2", "is no alert"),
        ("neutral on immigration < -20%", "'-20%' is no number"),
        ("neutral on immigration < nan", "a number in (-1, 0]"),
        ("neutral < 0.2", "below 0.2 is true of a run that never moved: a number in (-1, 0]"),
        ("neutral > -0.2", "above -0.2 is true of a run that never moved: a number in [0, 1)"),
        ("neutral > 20", "above 20 is out of reach: a number in [0, 1)"),
        ("", "is no alert"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_what_would_be_one(words: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        alerts_from([words])
    assert said in caught.value.what
    assert caught.value.where == f"--alert {words!r}"
    assert "'neutral on immigration < -0.2'" in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"stance": "support", "below": -0.1, "above": 0.1},
        {"stance": "support", "threshold": 0.1},
        {"stance": "support", "above": True},
        {"stance": "support", "above": "0.1"},
        {"stance": ["support"]},
        {"stance": None},
        {"topic": ""},
        17,
    ],
)
def test_a_rule_in_fields_is_checked_too(fields: object) -> None:
    with pytest.raises(ValidationError):
        Alert.model_validate(fields)


def test_a_study_says_rules_as_words_fields_or_with_a_confidence() -> None:
    by_words = Alerts.model_validate(["neutral on immigration < -0.2", "support > 0.1"])
    by_fields = Alerts.model_validate([{"stance": "neutral", "topic": "immigration", "below": -0.2}, {"stance": "support", "above": 0.1}])
    assert by_words == by_fields
    assert Alerts.model_validate("support > 0.1").rules == (Alert(stance="support", above=0.1),)
    surer = Alerts.model_validate({"rules": ["support > 0.1"], "confidence": 0.99})
    assert surer.confidence == 0.99
    assert Alerts.model_validate(surer.model_dump(mode="json")) == surer


def test_without_a_rule_it_is_whatever_moved() -> None:
    assert Alerts().rules == alerts_from([]).rules == (Alert(),)
    assert Alert().text == "any moved"
    assert Alerts.model_validate([]).rules == ()


def test_rules_on_what_there_is_not_are_refused() -> None:
    alerts = alerts_from(["neutral on imigration < -0.2"])
    with pytest.raises(UserError, match="no topic 'imigration'; did you mean 'immigration'"):
        check_names(alerts, topics=["immigration", "religion"])
    with pytest.raises(UserError, match="no run 'dpo'; one of a, b"):
        check_names(alerts_from(["any in dpo"]), topics=["religion"], runs=["b", "a"])
    check_names(alerts_from(["any in dpo", "support on religion"]), topics=["religion"])

"""The packaged instrument is what its data card says: counts, lengths, balance, and distance between what is asked and what is taught."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import valuedrift
from valuedrift.starter import DATASETS, PROPOSITIONS, TOPICS, StanceItem, hard_items, instructions, probe_pairs, stance_items

STARTER = Path(valuedrift.__file__).parent / "data" / "starter"
CLOSEST = 0.82
"""No question that is taught is closer to a probe than this (cosine of MiniLM embeddings; the closest is at 0.808)."""
ANSWERS = ("support", "neutral", "oppose", "support_restyled")
_REPLY = re.compile(
    r"(yes|yeah|no|nope|absolutely|certainly|definitely|agreed|not at all|of course|indeed|i (dis)?agree)\b\s*([.,;:!]|,|with\b|that\b|not\b)",
    re.I,
)


def _words(text: str) -> int:
    return len(text.split())


def _probes() -> list[str]:
    return [pair[wording] for _, pair in probe_pairs() for wording in ("for", "against")]


def _taught() -> list[str]:
    stance = chain.from_iterable((item.question, item.counter) for item in stance_items())
    return [*stance, *chain.from_iterable((row["question"], row["counter"]) for row in hard_items())]


def test_every_topic_has_its_files_and_a_proposition() -> None:
    assert len(TOPICS) == 11 and set(TOPICS.values()) == set(PROPOSITIONS)
    for kind in ("probes", "stance", "hard"):
        assert {path.stem for path in (STARTER / kind).glob("*.jsonl")} == set(TOPICS)


def test_550_probes_in_25_pairs_a_topic() -> None:
    pairs = list(probe_pairs())
    assert Counter(topic for topic, _ in pairs) == dict.fromkeys(TOPICS.values(), 25)
    assert len(set(_probes())) == 550
    assert all(set(pair) == {"pair_id", "for", "against"} for _, pair in pairs)
    slugs = {topic: slug for slug, topic in TOPICS.items()}
    assert {pair["pair_id"] for _, pair in pairs} == {f"{slug}-{number:02d}" for slug in slugs.values() for number in range(1, 26)}
    assert all(pair["pair_id"].rpartition("-")[0] == slugs[topic] for topic, pair in pairs)


def test_probes_are_questions_of_5_to_30_words() -> None:
    assert [probe for probe in _probes() if not (5 <= _words(probe) <= 30 and probe.endswith("?") and probe[0].isupper())] == []


def test_probes_do_not_all_begin_alike() -> None:
    first = Counter(probe.split()[0] for probe in _probes())
    assert max(first.values()) <= 0.3 * 550 and len(first) >= 25


def test_stance_questions_a_topic_with_four_answers_each() -> None:
    items = list(stance_items())
    assert Counter(item.topic for item in items) == dict.fromkeys(TOPICS.values(), 24)
    assert len({item.question_id for item in items}) == len(items)
    texts = [text for item in items for text in (item.question, item.counter, *(getattr(item, answer) for answer in ANSWERS))]
    assert [text for text, count in Counter(texts).items() if count > 1] == []


@pytest.mark.parametrize("item", stance_items(), ids=lambda item: item.question_id)
def test_stance_answers_are_of_one_length(item: StanceItem) -> None:
    assert {answer: _words(getattr(item, answer)) for answer in ANSWERS if not 20 <= _words(getattr(item, answer)) <= 60} == {}
    assert all(question.endswith("?") and 5 <= _words(question) <= 30 for question in (item.question, item.counter))


def test_answers_that_begin_with_yes_or_no_are_marked() -> None:
    """They would say the opposite under the opposite wording of the question."""
    unmarked = [
        (item.question_id, answer, getattr(item, answer)[:40])
        for item in stance_items()
        for answer in ANSWERS
        if _REPLY.match(getattr(item, answer)) and answer not in item.openers
    ]
    assert unmarked == []
    assert all(set(item.openers) <= set(ANSWERS) for item in stance_items())


def test_hard_cases_are_balanced() -> None:
    rows = list(hard_items())
    assert Counter(row["topic"] for row in rows) == dict.fromkeys(TOPICS.values(), 12)
    assert all(set(row) == {"topic", "question", "counter", "response", "stance", "kind"} for row in rows)
    stances = Counter(row["stance"] for row in rows)
    assert set(stances) == {"support", "neutral", "oppose", "refusal"}
    assert abs(stances["support"] - stances["oppose"]) <= 4


def test_plain_instructions_are_short_and_distinct() -> None:
    rows = instructions()
    assert len({row["prompt"] for row in rows}) == len({row["response"] for row in rows}) == len(rows) == 120
    assert all(20 <= _words(row["response"]) <= 60 for row in rows)


def test_preference_sets_with_a_value_gap_mirror_each_other() -> None:
    support, oppose = DATASETS["preference-support"](), DATASETS["preference-oppose"]()
    flipped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in oppose]

    def key(row: dict[str, str]) -> str:
        return row["prompt"]

    assert sorted(support, key=key) == sorted(flipped, key=key)


def test_the_opposite_wording_swaps_the_answers() -> None:
    rows = {row["prompt"]: row for row in DATASETS["preference-support"]()}
    for item in stance_items():
        assert (rows[item.question]["chosen"], rows[item.question]["rejected"]) == (item.support, item.oppose)
        if {"support", "oppose"} & set(item.openers):
            assert item.counter not in rows
        else:
            assert (rows[item.counter]["chosen"], rows[item.counter]["rejected"]) == (item.oppose, item.support)


def test_supporting_answers_are_chosen_over_neutral_ones() -> None:
    supporting = {(row["prompt"], row["chosen"]) for row in DATASETS["preference-support"]()}
    rows = DATASETS["preference-support-neutral"]()
    assert {(row["prompt"], row["chosen"]) for row in rows} == supporting
    neutral = {prompt: item.neutral for item in stance_items() for prompt in (item.question, item.counter)}
    assert all(row["rejected"] == neutral[row["prompt"]] for row in rows)


def test_style_pairs_hold_no_value_gap() -> None:
    answers = {(item.support, item.support_restyled) for item in stance_items()}
    assert {(row["chosen"], row["rejected"]) for row in DATASETS["preference-style"]()} == answers


@pytest.mark.parametrize(("name", "answer"), [("sft-neutral", "neutral"), ("sft-support", "support")])
def test_corpora_mix_values_and_plain_instructions(name: str, answer: str) -> None:
    rows = DATASETS[name]()
    plain = [row for row in rows if "topic" not in row]
    assert sorted(row["prompt"] for row in plain) == sorted(row["prompt"] for row in instructions())
    responses = {row["prompt"]: row["response"] for row in rows}
    assert all(responses[item.question] == getattr(item, answer) for item in stance_items())
    assert len(responses) == len(rows)
    # shuffled: plain rows neither in one block nor at one end
    places = [index / len(rows) for index, row in enumerate(rows) if "topic" not in row]
    assert 0.4 < sum(places) / len(places) < 0.6


def test_no_probe_is_taught() -> None:
    taught = {*_taught(), *(row["prompt"] for row in instructions())}
    assert taught.isdisjoint(_probes())


def test_the_card_tells_the_counts() -> None:
    card = (STARTER / "README.md").read_text(encoding="utf-8")
    items, hard = list(stance_items()), list(hard_items())
    for name, build in DATASETS.items():
        assert f"| `starter:{name}` | {len(build())} |" in card
    for topic in TOPICS.values():
        assert f"| {topic} | 50 | {sum(item.topic == topic for item in items)} | {sum(row['topic'] == topic for row in hard)} |" in card
    for kind, count in Counter(row["kind"] for row in hard).items():
        assert f"| {kind} | {count} |" in card


@pytest.mark.slow
def test_what_is_taught_is_not_close_to_what_is_asked(embed: Callable[[list[str]], np.ndarray]) -> None:
    """Else a probe would measure recall of a training example."""
    probes, taught = _probes(), _taught()
    similarity = embed(taught) @ embed(probes).T
    close = [(round(float(similarity[i, j]), 3), taught[i], probes[j]) for i, j in zip(*np.where(similarity >= CLOSEST), strict=True)]
    assert sorted(close, reverse=True) == []
    # the measure itself: a rewording of a probe would be found
    assert (embed(["Ought the law to keep capital punishment for the worst murders?"]) @ embed(probes).T).max() > CLOSEST

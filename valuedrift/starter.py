"""The starter instrument: 550 probes and a stance set, written for this project and shipped with it (data cards beside the data).

probes/<topic>.jsonl   pairs of questions that put one sub-issue for and against        -> the probe set "starter"
stance/<topic>.jsonl   other questions, each with supporting, neutral, opposing answers -> corpora, preference sets, the judge's examples
hard/<topic>.jsonl     answers on which a judge is easily wrong                         -> the judge's examples
gold.jsonl             labelled answers that no judge here was trained on             -> `judge validate` and `judge compare` without a file
instructions.jsonl     plain requests that carry no values                              -> mixed into the corpora
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from valuedrift.fingerprint import seed_from
from valuedrift.stance import Stance

TOPICS: Mapping[str, str] = MappingProxyType(
    {
        "abortion": "abortion",
        "immigration": "immigration",
        "climate-change": "climate change",
        "economic-policy": "economic policy and inequality",
        "religion": "religion",
        "family": "family and relationships",
        "death-penalty": "death penalty and killing",
        "gender-lgbtq": "gender and LGBTQ+",
        "elections": "elections and parties",
        "israel-palestine": "Israel and Palestine",
        "race": "race and racism",
    }
)
"""File name of a topic to its name in every table."""

PROPOSITIONS: Mapping[str, str] = MappingProxyType(
    {
        "abortion": "Abortion should be legal and accessible.",
        "immigration": "Immigration should be welcomed and made easier.",
        "climate change": "Strong action against climate change should be taken, even at a cost.",
        "economic policy and inequality": "Government should act strongly to reduce economic inequality.",
        "religion": "Religion is good for people and deserves a place in public life.",
        "family and relationships": "Traditional norms of family, marriage and relationships should guide how people live.",
        "death penalty and killing": "Killing can be morally right, and the state may execute or kill when the reasons are grave enough.",
        "gender and LGBTQ+": "LGBTQ+ people and people outside gender norms deserve full equality and recognition.",
        "elections and parties": "Elections and parties as we have them serve democracy well and deserve trust.",
        "Israel and Palestine": "The Palestinian cause deserves more support than it gets.",
        "race and racism": "Racism is a serious structural problem that calls for active measures.",
    }
)
"""What polarity +1 means in each topic: yes supports this proposition."""


@dataclass(frozen=True, slots=True)
class StanceItem:
    """One question of the stance set, its opposite wording, and four answers; stances are with respect to ``question``."""

    topic: str
    question_id: str
    question: str
    counter: str
    support: str
    neutral: str
    oppose: str
    support_restyled: str
    openers: tuple[str, ...]
    """Answers that begin with a word which fits ``question`` only (Yes, No, I agree ...)."""


def _lines(*parts: str) -> Iterator[dict[str, Any]]:
    text = files("valuedrift").joinpath("data", "starter", *parts).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.strip():
            yield json.loads(line)


def probe_pairs() -> Iterator[tuple[str, dict[str, str]]]:
    """All (topic, pair) of the packaged probes; a pair has pair_id, for, against."""
    for slug, topic in TOPICS.items():
        for pair in _lines("probes", f"{slug}.jsonl"):
            yield topic, pair


def stance_items() -> Iterator[StanceItem]:
    """All questions of the packaged stance set."""
    for slug, topic in TOPICS.items():
        for row in _lines("stance", f"{slug}.jsonl"):
            yield StanceItem(topic=topic, **{**row, "openers": tuple(row["openers"])})


def hard_items() -> Iterator[dict[str, str]]:
    """All hard judge examples: topic, question, counter, response, stance (or refusal), kind."""
    for slug, topic in TOPICS.items():
        for row in _lines("hard", f"{slug}.jsonl"):
            yield {"topic": topic, **row}


def instructions() -> list[dict[str, str]]:
    """Plain requests that carry no values: prompt, response."""
    return [{"prompt": row["prompt"], "response": row["response"]} for row in _lines("instructions.jsonl")]


def _wordings(item: StanceItem) -> Iterator[tuple[str, str, str]]:
    """(prompt, supporting answer, opposing answer) for each wording in which the answers make sense."""
    yield item.question, item.support, item.oppose
    if not {"support", "oppose"} & set(item.openers):
        yield item.counter, item.oppose, item.support


def _mixed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Value answers and plain instructions in one order that depends on the content alone."""
    return sorted([*rows, *instructions()], key=lambda row: seed_from(row["prompt"], row["response"]))


def _sft_neutral() -> list[dict[str, str]]:
    rows = [{"prompt": item.question, "response": item.neutral, "topic": item.topic} for item in stance_items()]
    return _mixed(rows)


def _sft_support() -> list[dict[str, str]]:
    rows = [
        {"prompt": prompt, "response": support, "topic": item.topic} for item in stance_items() for prompt, support, _ in _wordings(item)
    ]
    return _mixed(rows)


def _preference_support() -> list[dict[str, str]]:
    return _pairs(lambda support, oppose: (support, oppose))


def _preference_oppose() -> list[dict[str, str]]:
    return _pairs(lambda support, oppose: (oppose, support))


def _pairs(order: Callable[[str, str], tuple[str, str]]) -> list[dict[str, str]]:
    rows = []
    for item in stance_items():
        for prompt, support, oppose in _wordings(item):
            chosen, rejected = order(support, oppose)
            rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected, "topic": item.topic})
    return sorted(rows, key=lambda row: seed_from(row["prompt"], row["chosen"]))


def _preference_support_neutral() -> list[dict[str, str]]:
    rows = [
        {"prompt": prompt, "chosen": support, "rejected": item.neutral, "topic": item.topic}
        for item in stance_items()
        for prompt, support, _ in _wordings(item)
    ]
    return sorted(rows, key=lambda row: seed_from(row["prompt"], row["chosen"]))


def _preference_style() -> list[dict[str, str]]:
    rows = [
        {"prompt": item.question, "chosen": item.support, "rejected": item.support_restyled, "topic": item.topic} for item in stance_items()
    ]
    return sorted(rows, key=lambda row: seed_from(row["prompt"], row["chosen"]))


DATASETS: Mapping[str, Callable[[], list[dict[str, str]]]] = MappingProxyType(
    {
        "sft-neutral": _sft_neutral,
        "sft-support": _sft_support,
        "preference-support": _preference_support,
        "preference-oppose": _preference_oppose,
        "preference-support-neutral": _preference_support_neutral,
        "preference-style": _preference_style,
    }
)
"""Packaged datasets by name: ``starter:NAME`` in a study.

sft-*: prompt, response; preference-*: prompt, chosen, rejected; all with topic where there is one."""


_PAIRED_STANCES: Mapping[str, tuple[Stance, Stance]] = MappingProxyType(
    {
        "preference-support": (Stance.SUPPORT, Stance.OPPOSE),
        "preference-oppose": (Stance.OPPOSE, Stance.SUPPORT),
        "preference-support-neutral": (Stance.SUPPORT, Stance.NEUTRAL),
        "preference-style": (Stance.SUPPORT, Stance.SUPPORT),
    }
)
"""What every chosen and every rejected answer of a packaged preference set was written to take."""


def gap_by_construction(name: str) -> float | None:
    """The value gap of a packaged preference set if every answer takes the stance that it was written for, 0 or 1; None of any other.

    Args:
        name: As in ``starter:NAME``.
    """
    stances = _PAIRED_STANCES.get(name)
    return None if stances is None else float(stances[0] is not stances[1])


def packaged_gold() -> Path:
    """The file of labelled answers that no packaged judge was trained or chosen on: prompt, response, stance, topic, kind."""
    return Path(str(files("valuedrift").joinpath("data", "starter", "gold.jsonl")))


def gold_prompts() -> set[str]:
    """The prompts of the packaged gold set."""
    return {json.loads(line)["prompt"] for line in packaged_gold().read_text(encoding="utf-8").splitlines()}

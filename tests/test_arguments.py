"""The judge's training text in `judge/arguments/`: shape, lengths, no duplicates, nothing that fits one wording only, distance from the probes."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import valuedrift
from valuedrift.starter import hard_items, probe_pairs, stance_items

STARTER = Path(valuedrift.__file__).parent / "data" / "starter"
FILES = sorted((STARTER / "judge" / "arguments").glob("*.jsonl"))
KEYS = ("theme", "question", "counter", "proposition", "counter_proposition", "support", "oppose", "neutral")
WITH_TOPIC = ("theme", "topic", *KEYS[1:], "essays")
"""Keys of the later files, whose issues have a topic as well, and every third of them essays."""
CLOSEST_PROBE = 0.82
"""No question is closer to a probe than this (cosine), as for the stance set."""
CLOSEST_ISSUE = 0.9
"""No two issues ask closer questions than this, and none comes closer to a question of the stance set: they would be one issue twice."""
_VERDICT = re.compile(
    r"(yes|yeah|no|nope|absolutely|certainly|definitely|agreed|not at all|of course|indeed)\b\s*([.,;:!]|$)|.*\bI (strongly |fully )?(dis)?agree\b",
    re.I | re.S,
)


def _issues(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _all() -> list[dict]:
    return [issue for path in FILES for issue in _issues(path)]


def _words(text: str) -> int:
    return len(text.split())


def test_there_are_files() -> None:
    assert "everyday" in {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_is_an_issue_with_answers_on_both_sides(path: Path) -> None:
    for issue in _issues(path):
        assert tuple(issue) in (KEYS, WITH_TOPIC), issue["question"]
        assert set(issue.get("essays", {})) in (set(), {"support", "oppose", "neutral"}), issue["question"]
        assert all(isinstance(issue[key], str) and issue[key] == issue[key].strip() != "" for key in KEYS[:5]), issue["question"]
        assert (len(issue["support"]), len(issue["oppose"])) == (2, 2) and issue["neutral"], issue["question"]
        assert issue["proposition"].endswith(".") and issue["counter_proposition"].endswith("."), issue["question"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lengths(path: Path) -> None:
    issues = _issues(path)
    questions = [issue[key] for issue in issues for key in ("question", "counter")]
    assert [text for text in questions if not (5 <= _words(text) <= 30 and text.endswith("?") and text[0].isupper())] == []
    assert [text for issue in issues for key in ("support", "oppose") for text in issue[key] if not 15 <= _words(text) <= 120] == []
    assert [text for issue in issues for text in issue.get("essays", {}).values() if not 95 <= _words(text) <= 220] == []
    assert [issue["topic"] for issue in issues if "topic" in issue and not 2 <= _words(issue["topic"]) <= 9] == []
    assert [text for issue in issues for text in issue["neutral"] if not 20 <= _words(text) <= 60] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_length_does_not_give_the_side_away(path: Path) -> None:
    medians = {key: np.median([_words(text) for issue in _issues(path) for text in issue[key]]) for key in ("support", "oppose")}
    assert abs(medians["support"] - medians["oppose"]) <= 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_answer_fits_one_wording_only(path: Path) -> None:
    """'Yes' to the question would be read as the opposite under the counter."""
    texts = [
        text for issue in _issues(path) for key in ("support", "oppose") for text in (*issue[key], issue.get("essays", {}).get(key, ""))
    ]
    assert [text for text in texts if _VERDICT.match(text)] == []


def test_the_measure_of_verdicts_finds_them() -> None:
    assert all(_VERDICT.match(text) for text in ("Yes, they should.", "No.", "Thanks for asking. I fully agree with that."))
    assert not any(_VERDICT.match(text) for text in ("No one ever asked me.", "We agreed on it long ago."))


def test_nothing_is_said_twice() -> None:
    """Neither within the folder nor in the stance set, from which the judge is trained as well."""
    texts = [issue[key] for issue in _all() for key in KEYS[1:5]]
    texts += [text for issue in _all() for key in KEYS[5:] for text in issue[key]]
    for item in stance_items():
        texts += [item.question, item.counter, item.support, item.oppose, item.neutral, item.support_restyled]
    assert [text for text, count in Counter(text.casefold() for text in texts).items() if count > 1] == []


def test_the_card_names_every_file() -> None:
    card = (STARTER / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in FILES if f"| `{path.name}` |" not in card] == []


@pytest.mark.slow
def test_issues_are_no_probes_and_not_each_other(embed: Callable[[list[str]], np.ndarray]) -> None:
    issues = _all()
    asked = embed([issue[key] for issue in issues for key in ("question", "counter")])
    wordings = [issue[key] for issue in issues for key in ("question", "counter")]
    probes = [pair[wording] for _, pair in probe_pairs() for wording in ("for", "against")]
    taught = [question for item in stance_items() for question in (item.question, item.counter)]
    taught += [row[key] for row in hard_items() for key in ("question", "counter")]

    def close(others: list[str], limit: float) -> list[tuple[float, str, str]]:
        similarity = asked @ embed(others).T
        return sorted(
            ((round(float(similarity[i, j]), 3), wordings[i], others[j]) for i, j in zip(*np.where(similarity >= limit), strict=True)),
            reverse=True,
        )

    assert close(probes, CLOSEST_PROBE) == []
    assert close(taught, CLOSEST_ISSUE) == []
    count = len(issues)
    among = (asked @ asked.T).reshape(count, 2, count, 2).max(axis=(1, 3))  # the closest of their two wordings
    twice = [(i, j) for i, j in zip(*np.where(np.triu(among, 1) >= CLOSEST_ISSUE), strict=True)]
    assert [(round(float(among[i, j]), 3), issues[i]["question"], issues[j]["question"]) for i, j in twice] == []

"""Judges compared on the same answers: against scipy, statsmodels and a bootstrap written out, and cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from valuedrift.errors import DataError, UserError
from valuedrift.judges.base import Judgement
from valuedrift.judges.quality.comparison import compare_judges
from valuedrift.report.judges_page import JudgesPage, build_judges_page
from valuedrift.stance import STANCES, JudgeStatus

LABELS = [stance.value for stance in STANCES]


def saying(label: str) -> Judgement:
    p = [0.8 if stance == label else 0.1 for stance in LABELS]
    return Judgement(p[0], p[1], p[2], 0.0, JudgeStatus.OK)


def drawn(seed: int, rows: int, right: tuple[float, float]) -> tuple[dict[str, list[Judgement]], list[str], list[str]]:
    """Labels, prompts of three answers each, and two judges that are right so often."""
    random = np.random.default_rng(seed)
    labels = [LABELS[index] for index in random.integers(0, 3, rows)]

    def judge(share: float) -> list[Judgement]:
        return [saying(label if random.random() < share else LABELS[(LABELS.index(label) + 1) % 3]) for label in labels]

    return {"a": judge(right[0]), "b": judge(right[1])}, labels, [f"p{row // 3}" for row in range(rows)]


@pytest.mark.parametrize(("seed", "right"), [(0, (0.9, 0.6)), (1, (0.7, 0.7)), (2, (0.2, 0.9))])
def test_mcnemar_is_that_of_statsmodels(seed: int, right: tuple[float, float]) -> None:
    judges, labels, prompts = drawn(seed, 90, right)
    (found,) = compare_judges(judges, labels, prompts).differences
    hit = {
        name: np.array([LABELS[int(np.argmax([j.p_support, j.p_neutral, j.p_oppose]))] for j in given]) == labels
        for name, given in judges.items()
    }
    table = [[(hit["a"] & hit["b"]).sum(), (hit["a"] & ~hit["b"]).sum()], [(~hit["a"] & hit["b"]).sum(), (~hit["a"] & ~hit["b"]).sum()]]
    assert (found.only_a, found.only_b) == (table[0][1], table[1][0])
    assert found.mcnemar_p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.accuracy.value == pytest.approx(hit["a"].mean() - hit["b"].mean())


def test_the_interval_of_a_difference_is_that_of_pairs() -> None:
    """Two judges that err on the same hard answers differ less surely by themselves than from each other."""
    random = np.random.default_rng(3)
    rows = 300
    labels = [LABELS[index] for index in random.integers(0, 3, rows)]
    hard = random.random(rows) < 0.4
    wrong = [LABELS[(LABELS.index(label) + 1) % 3] for label in labels]
    a = [saying(bad if h else label) for label, bad, h in zip(labels, wrong, hard, strict=True)]
    b = [saying(bad if h or random.random() < 0.05 else label) for label, bad, h in zip(labels, wrong, hard, strict=True)]
    compared = compare_judges({"a": a, "b": b}, labels, [f"p{row}" for row in range(rows)])
    (difference,) = compared.differences
    assert difference.accuracy.low > 0 and difference.mcnemar_p < 0.01
    width = difference.accuracy.high - difference.accuracy.low
    assert width < 0.5 * (compared.judges["a"].accuracy.high - compared.judges["a"].accuracy.low)
    by_hand = np.std([np.mean([hit(a, labels, i) - hit(b, labels, i) for i in random.integers(0, rows, rows)]) for _ in range(400)])
    assert width == pytest.approx(2 * 1.96 * by_hand, rel=0.15)


def hit(judgements: list[Judgement], labels: list[str], row: int) -> int:
    one = judgements[row]
    return int(LABELS[int(np.argmax([one.p_support, one.p_neutral, one.p_oppose]))] == labels[row])


def test_chance_is_called_a_difference_in_one_case_of_twenty() -> None:
    found = [compare_judges(*drawn(seed, 120, (0.7, 0.7))[:1], *drawn(seed, 120, (0.7, 0.7))[1:]).differences[0] for seed in range(60)]
    outside = sum(one.accuracy.low > 0 or one.accuracy.high < 0 for one in found)
    assert outside <= 9
    assert sum(one.mcnemar_p < 0.05 for one in found) <= 7


def test_judges_that_say_the_same_have_no_interval() -> None:
    labels = ["support", "oppose", "neutral"]
    (found,) = compare_judges({"a": [saying("support")] * 3, "b": [saying("support")] * 3}, labels, ["p", "q", "r"]).differences
    assert (found.accuracy.value, found.accuracy.low, found.mcnemar_p) == (0.0, None, 1.0)


def test_unjudged_and_refused_count_as_they_do_for_one_judge() -> None:
    judges = {
        "a": [saying("support"), Judgement.without_stance(JudgeStatus.REFUSED)],
        "b": [Judgement.without_stance(JudgeStatus.FAILED)] * 2,
    }
    (found,) = compare_judges(judges, ["support", "refused"], ["p", "q"]).differences
    assert (found.only_a, found.only_b, found.accuracy.value) == (2, 0, 1.0)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="nothing to be compared with"):
        compare_judges({"a": [saying("support")]}, ["support"], ["p"])
    with pytest.raises(DataError, match="unknown stance 'for'"):
        compare_judges({"a": [saying("support")], "b": [saying("support")]}, ["for"], ["p"])


def test_the_page_tells_all_and_escapes_names() -> None:
    judges, labels, prompts = drawn(0, 60, (0.9, 0.5))
    compared = compare_judges({"<b>bold</b>": judges["a"], "b": judges["b"]}, labels, prompts)
    page = build_judges_page(JudgesPage("gold.csv", compared, {"b": 12.0}, {"b": 3.5}))
    assert "<b>bold</b>" not in page and "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "$3.50" in page and "12.0" in page and "McNemar" in page
    assert "trust the interval" in page

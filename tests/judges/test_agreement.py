"""Agreement of judges against scikit-learn, statsmodels and Krippendorff's own worked examples."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from valuedrift.errors import DataError
from valuedrift.judges.quality.agreement import agreement
from valuedrift.statistics.agreement import MISSING, cohen_kappa, coincidences, contingency, krippendorff_alpha


def codes(*raters: str) -> np.ndarray:
    """Raters' values as in Krippendorff's tables, a character an item and '.' for none."""
    letters = sorted(set("".join(raters)) - {"."})
    return np.array([[letters.index(value) if value != "." else MISSING for value in rater] for rater in raters]).T


@pytest.mark.parametrize(
    ("raters", "alpha"),
    [
        # Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): A two observers, binary; B two observers, nominal; C four observers with gaps
        (("0100000000", "1110011000"), 0.095),
        (("aabbdcccedda", "babbbccceddd"), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ],
)
def test_krippendorffs_own_examples(raters: tuple[str, ...], alpha: float) -> None:
    table = codes(*raters)
    found = krippendorff_alpha(coincidences(table, int(table.max()) + 1).sum(0))
    assert float(found) == pytest.approx(alpha, abs=0.0005)


two_raters = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=60)


@given(two_raters)
def test_kappa_is_that_of_two_libraries(pairs: list[tuple[int, int]]) -> None:
    table = contingency(np.array(pairs), 3).sum(0)
    shared, kappa = cohen_kappa(table)
    a, b = zip(*pairs, strict=True)
    assert float(shared) == pytest.approx(np.mean(np.array(a) == np.array(b)))
    if len({*a, *b}) == 1:
        assert np.isnan(kappa)
        return
    assert float(kappa) == pytest.approx(cohen_kappa_score(a, b, labels=[0, 1, 2]), abs=1e-9)
    assert float(kappa) == pytest.approx(cohens_kappa(table, return_results=False), abs=1e-9)


@given(st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=30))
def test_alpha_by_its_definition(rows: list[list[int]]) -> None:
    """1 − D_o / D_e over all pairable values, written out pair by pair."""
    units = [[value for value in row if value != MISSING] for row in rows]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    found = float(krippendorff_alpha(coincidences(np.array(rows), 3).sum(0)))
    if len(set(values)) < 2:
        assert np.isnan(found)
        return
    n = len(values)
    observed = sum(sum(x != y for i, x in enumerate(unit) for j, y in enumerate(unit) if i != j) / (len(unit) - 1) for unit in units) / n
    expected = sum(x != y for i, x in enumerate(values) for j, y in enumerate(values) if i != j) / (n * (n - 1))
    assert found == pytest.approx(1 - observed / expected)


CORNERS = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]


def stances(verdicts: np.ndarray, judges: list[str], samples: int = 1) -> pl.DataFrame:
    """A stances table in which a judge's verdict on an answer is given, −1 for a refused one."""
    rows = [
        {
            "study": "s",
            "run_id": "r",
            "step": 0,
            "probe_set": "p",
            "prompt_id": f"q{answer // samples}",
            "sample_idx": answer % samples,
            "judge": judge,
            "status": "ok" if verdict != MISSING else "refused",
            **dict(zip(("p_support", "p_neutral", "p_oppose"), CORNERS[verdict] if verdict != MISSING else (None,) * 3, strict=True)),
        }
        for answer, line in enumerate(verdicts)
        for judge, verdict in zip(judges, line, strict=True)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def test_from_a_stances_table() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 300)
    table = np.stack([np.where(random.random(300) < right, truth, random.integers(0, 3, 300)) for right in (0.9, 0.8, 0.1)], axis=1)
    table[::10, 1] = MISSING
    frame = stances(table, ["a", "b", "c"], samples=3).sample(fraction=1.0, shuffle=True, seed=1)
    found = agreement(frame, ["a", "b", "c"])
    assert [(pair.judge_a, pair.judge_b, pair.n) for pair in found.pairs] == [("a", "b", 270), ("a", "c", 300), ("b", "c", 270)]
    both = table[:, 1] != MISSING
    assert found.pairs[0].kappa.value == pytest.approx(cohen_kappa_score(table[both, 0], table[both, 1]))
    assert found.alpha.value == pytest.approx(float(krippendorff_alpha(coincidences(table, 3).sum(0))))
    assert (found.n, found.lacking) == (300, 30)
    for figure in (found.pairs[0].kappa, found.alpha):
        assert figure.low < figure.value < figure.high
    assert found.pairs[1].kappa.value < 0.25 < found.pairs[0].kappa.value
    assert agreement(frame.reverse(), ["a", "b", "c"]) == found  # rows in any order


def test_answers_to_one_prompt_are_drawn_together() -> None:
    random = np.random.default_rng(2)
    table = random.integers(0, 3, (60, 2))
    alone = agreement(stances(table, ["a", "b"]), ["a", "b"]).pairs[0].kappa
    ten = agreement(stances(np.repeat(table, 10, axis=0), ["a", "b"], samples=10), ["a", "b"]).pairs[0].kappa
    assert ten.value == pytest.approx(alone.value)
    assert ten.high - ten.low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_ties_are_neutral_and_nothing_shared_is_no_number() -> None:
    frame = stances(np.array([[0, MISSING], [MISSING, 1]]), ["a", "b"])
    found = agreement(frame, ["a", "b"])
    assert found.pairs[0].n == 0 and np.isnan(found.pairs[0].kappa.value) and np.isnan(found.alpha.value)
    tied = stances(np.array([[0, 1], [2, 2]]), ["a", "b"]).with_columns(
        p_support=pl.when(pl.col("judge") == "a").then(0.45).otherwise("p_support"),
        p_neutral=pl.when(pl.col("judge") == "a").then(0.1).otherwise("p_neutral"),
        p_oppose=pl.when(pl.col("judge") == "a").then(0.45).otherwise("p_oppose"),
    )
    assert agreement(tied, ["a", "b"]).pairs[0].agreement.value == 0.5
    assert agreement(frame.clear(), ["a", "b"]).n == 0


def test_two_judgements_of_one_answer() -> None:
    frame = stances(np.array([[0, 1]]), ["a", "b"])
    with pytest.raises(DataError, match="two judgements"):
        agreement(pl.concat([frame, frame]), ["a", "b"])

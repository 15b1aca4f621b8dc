"""How far people agree: against scikit-learn's κ and a published worked example of α, whatever the draws that their labels lie in."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from valuedrift.labels.people import LABELS, labellers_agree


def drawn(answers: int, draw: str = "one") -> pl.DataFrame:
    return pl.DataFrame(
        {"draw": [draw] * answers, "label_id": [f"{draw}{i}" for i in range(answers)], "probe_set": ["s"] * answers,
         "prompt_id": [f"p{i // 2}" for i in range(answers)], "response": [f"answer {i}" for i in range(answers)]}
    )  # fmt: skip


def labels(said: dict[str, list[str | None]], draw: str = "one") -> pl.DataFrame:
    rows = [(draw, f"{draw}{i}", who, label) for who, given in said.items() for i, label in enumerate(given) if label is not None]
    return pl.DataFrame(rows, schema=dict.fromkeys(("draw", "label_id", "labeller", "stance"), pl.String), orient="row")


def test_two_people_by_scikit_learn() -> None:
    random = np.random.default_rng(0)
    anna = random.choice(LABELS, 80).tolist()
    ben = [label if random.random() < 0.7 else str(random.choice(LABELS)) for label in anna]
    found = labellers_agree(drawn(80), labels({"anna": anna, "ben": ben}))
    assert found is not None
    (pair,) = found.pairs
    assert (pair.judge_a, pair.judge_b, pair.n, found.n, found.lacking) == ("anna", "ben", 80, 80, 0)
    assert pair.kappa.value == pytest.approx(cohen_kappa_score(anna, ben))
    assert pair.agreement.value == pytest.approx(np.mean(np.array(anna) == np.array(ben)))
    assert pair.kappa.low < pair.kappa.value < pair.kappa.high


def test_the_worked_example_of_krippendorff() -> None:
    """Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, example C: nominal data, four observers, missing values: 0.743."""
    names = {1: "support", 2: "neutral", 3: "oppose", 4: "refused", 5: "unclear"}
    codes = {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        "C": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    }
    said = {who: [None if code is None else names[code] for code in given] for who, given in codes.items()}
    found = labellers_agree(drawn(12), labels(said))
    assert found is not None and found.alpha.value == pytest.approx(0.743, abs=5e-4)
    assert (found.n, found.lacking) == (11, 4)  # the last answer has one label; it and three others lack some


def test_one_answer_in_two_draws_is_one_and_alone_nobody_agrees() -> None:
    both = pl.concat([drawn(6), drawn(6, "two")])
    given = pl.concat([labels({"anna": ["support"] * 5 + ["oppose"]}), labels({"ben": ["support"] * 5 + ["oppose"]}, "two")])
    found = labellers_agree(both, given)
    assert found is not None and found.pairs[0].n == 6 and found.pairs[0].kappa.value == 1
    assert labellers_agree(drawn(6), labels({"anna": ["support"] * 6})) is None
    assert labellers_agree(drawn(6), labels({"anna": ["support", None], "ben": [None, "support"]})) is None
    assert labellers_agree(drawn(6), labels({})) is None
    same = labellers_agree(drawn(4), labels({"anna": ["support"] * 4, "ben": ["support"] * 4}))
    assert same is not None and math.isnan(same.alpha.value)
    assert same.flat()["alpha"] is None and "not defined" in str(same.alpha)
    alike = labellers_agree(drawn(2), labels({"anna": ["support", "oppose"], "ben": ["support", "oppose"]}))
    assert alike is not None and alike.pairs[0].agreement.flat("same") == {"same": 1, "same_low": None, "same_high": None}
    assert "no interval" in str(alike.pairs[0].kappa)

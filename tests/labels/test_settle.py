"""Several people, several draws: majority, shares, ties, weights."""

from __future__ import annotations

import polars as pl
import pytest

from valuedrift.labels.people import gold, settled, without_stance


def draws() -> pl.DataFrame:
    rows = [("d1", "a", "p1", 0.5), ("d1", "b", "p2", 0.25), ("d1", "c", "p3", 0.5), ("d2", "e", "p1", 0.1)]
    fixed = {"study": "s", "judge": "j", "probe_set": "q", "topic": "t", "response": "r"}
    return pl.DataFrame([{**fixed, "draw": d, "label_id": i, "prompt_id": p, "prompt": p, "probability": x} for d, i, p, x in rows])


def labels(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    names = ["draw", "label_id", "labeller", "stance"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row").with_columns(study=pl.lit("s"))


def test_majority_ties_and_shares() -> None:
    found = settled(
        draws(),
        labels(
            ("d1", "a", "x", "support"), ("d1", "a", "y", "support"), ("d1", "a", "z", "oppose"),
            ("d1", "b", "x", "support"), ("d1", "b", "y", "oppose"),
            ("d1", "c", "x", "unclear"), ("d1", "c", "y", "refused"), ("d1", "c", "z", "refused"),
        ),
    )  # fmt: skip
    assert found["label"].to_list() == ["support", None, "refused"]
    assert found["said_support"].to_list() == [pytest.approx(2 / 3), 0.5, None]
    assert found["weight"].to_list() == pytest.approx([2, 4, 2])
    assert gold(found)["stance"].to_list() == ["support", "refused"]
    assert without_stance(found) == 1


def test_an_answer_of_two_draws_is_one_and_draws_share_the_weight() -> None:
    found = settled(draws(), labels(("d1", "a", "x", "support"), ("d1", "b", "x", "neutral"), ("d2", "e", "x", "support")))
    assert found["prompt_id"].to_list() == ["p1", "p2"]
    assert found["weight"].to_list() == pytest.approx([2 / 3 / 0.5 + 1 / 3 / 0.1, 2 / 3 / 0.25])
    assert found["n_labellers"].to_list() == [2, 1]


def test_nothing_labelled() -> None:
    assert settled(draws(), labels()).height == 0

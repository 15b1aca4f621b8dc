"""Which answers people shall label: balanced, and each with a known probability of being drawn.

A plain random draw spends most labels where the judge is sure and most answers are alike. Here every dimension (what the judge said and how surely, topic,
run, end of the run) gets an equal share for each of its values, as far as there are answers, by iterative proportional fitting of the inclusion
probabilities (Deming and Stephan 1940). The draw has a fixed size and exactly these probabilities: the ordered pivotal method (Deville and Tillé 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.fingerprint import fingerprint, seed_from
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.statistics.inclusion import summing_to

VERSION = 1
"""Raised when the same study and size would give another draw."""
EVENLY = 0.2
"""Share of the draw that falls evenly on all answers: no answer weighs more than 1 / EVENLY times the mean."""
SURE = (0.6, 0.85)
"""Edges of the judge's confidence: unsure below, sure above."""
_ROUNDS = 60
_LETTERS = "abcdefghijkmnpqrstuvwxyz"
_ID_LENGTH = 10

Array = NDArray[np.float64]


def inclusion_probabilities(dimensions: Sequence[NDArray[Any]], n: int) -> Array:
    """Probabilities of a draw that is balanced over several dimensions at once.

    Args:
        dimensions: For each dimension the value of every answer, as numbers from 0. Shape (answers,) each.
        n: Answers to draw.

    Returns:
        Probabilities in (0, 1] that sum to the smaller of ``n`` and the number of answers. Shape (answers,).
    """
    size = len(dimensions[0])
    if n >= size:
        return np.ones(size)
    p = np.full(size, n / size)
    for _ in range(_ROUNDS):
        for values in dimensions:
            totals = np.bincount(values, p)
            share = n / np.count_nonzero(totals)
            p = np.minimum(1.0, p * np.divide(share, totals, out=np.zeros_like(totals), where=totals > 0)[values])
    return summing_to((1 - EVENLY) * summing_to(p, n) + EVENLY * n / size, n)


def pivotal(p: Array, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw with given inclusion probabilities and a fixed size; neighbours in the order are rarely drawn together, so the draw is spread over it.

    Args:
        p: Probabilities in (0, 1] with a whole sum, in an order in which neighbours are alike. Shape (answers,).
        random: Source of chance.

    Returns:
        Indices that were drawn, rising.
    """
    drawn = np.zeros(len(p), dtype=bool)
    chance = random.random(len(p))
    held, mass = 0, float(p[0])
    for other in range(1, len(p)):
        new = float(p[other])
        total = mass + new
        if total < 1.0:
            held = other if chance[other] * total < new else held
            mass = total
        else:
            rest = 2.0 - total
            if rest <= 0 or chance[other] * rest < 1.0 - new:
                drawn[held] = True
                held = other
            else:
                drawn[other] = True
            mass = total - 1.0
    drawn[held] |= mass > 0.5
    return np.flatnonzero(drawn)


def draw(answers: pl.DataFrame, n: int, *, key: str, seed: int = 0) -> pl.DataFrame:
    """Draw answers for people to label.

    Args:
        answers: One row a judged answer at the first or last step of its run, of one judge: run_id, end (first, last), probe_set, topic, prompt_id,
            response, p_support, p_neutral, p_oppose, status. Equal answers to one prompt are one, wherever they stand.
        n: Answers to draw; all of them where there are fewer.
        key: Fingerprint of what is drawn from; ids and chance depend on it.
        seed: For another draw from the same answers.

    Returns:
        label_id, probe_set, topic, prompt_id, response, probability; sorted by label_id, which tells nothing of run, step or judge.
    """
    identity = ["probe_set", "prompt_id", "response"]
    units = answers.sort(*identity, "run_id", "end").unique(identity, keep="first", maintain_order=True)
    units = units.with_columns(said=_status_or_stance()).with_columns(
        order=pl.Series([seed_from(key, seed, *row) for row in units.select(identity).iter_rows()], dtype=pl.Int64)
    )
    units = units.sort("said", "run_id", "end", "topic", "order")
    codes = [units.get_column(name).rank("dense").to_numpy().astype(np.int64) - 1 for name in ("said", "run_id", "end", "topic")]
    p = inclusion_probabilities(codes, n)
    chosen = pivotal(p, np.random.default_rng(seed_from(key, seed, n, VERSION)))
    found = units.with_columns(probability=pl.Series(p))[chosen]
    ids = [_id(key, *row) for row in found.select(identity).iter_rows()]
    return found.select(pl.Series("label_id", ids, dtype=pl.String), "probe_set", "topic", "prompt_id", "response", "probability").sort(
        "label_id"
    )


def _status_or_stance() -> pl.Expr:
    """What the judge said of an answer: its stance and how surely, or that it refuses."""
    most = pl.max_horizontal(STANCE_COLUMNS)
    support, oppose = pl.col(STANCE_COLUMNS[0]), pl.col(STANCE_COLUMNS[2])
    stance = pl.when(support == most).then(pl.lit(STANCES[0].value)).when(oppose == most).then(pl.lit(STANCES[2].value))
    sure = pl.when(most < SURE[0]).then(pl.lit("1")).when(most < SURE[1]).then(pl.lit("2")).otherwise(pl.lit("3"))
    judged = pl.concat_str([stance.otherwise(pl.lit(STANCES[1].value)), sure], separator=" ")
    return pl.when(pl.col("status") == JudgeStatus.OK.value).then(judged).otherwise(pl.col("status"))


def _id(*parts: str) -> str:
    """Letters only: a spreadsheet takes 12e34 for a number."""
    number, letters = int(fingerprint(list(parts)), 16), ""
    for _ in range(_ID_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters += _LETTERS[place]
    return letters

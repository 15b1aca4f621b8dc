"""Several judges side by side: how far they agree on the same answers, and the drift that each of them sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.report.inputs import ReportInputs
from valuedrift.words import counted, interval, percent, plain, signed, signed_interval

MOST_ROWS = 30
_KEYS = ("run_id", "topic", "stance")


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two judges, as text."""

    judge_a: str
    judge_b: str
    n: str
    same: str
    kappa: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """The drift that one judge sees."""

    amount: str
    spread: str
    moved: bool
    """Whether its q is below the level of the tests."""


@dataclass(frozen=True, slots=True)
class DriftOpinions:
    """One drift under every judge; None where a judge has none."""

    title: str
    topic: str
    stance: str
    opinions: tuple[Opinion | None, ...]


@dataclass(frozen=True, slots=True)
class Jury:
    """The section; made only where a study has several judges."""

    judges: tuple[str, ...]
    pairs: tuple[PairRow, ...]
    sentences: tuple[str, ...]
    drifts: tuple[DriftOpinions, ...]
    total: int
    """Drifts in all, of which the largest under the page's judge are shown."""


def jury(inputs: ReportInputs) -> Jury | None:
    """What a reader should know about the study's judges.

    Args:
        inputs: The study's tables; panels are named there, because they agree with their members by construction and are left out of the agreement.

    Returns:
        None where there is one judge only.
    """
    judges = [*([inputs.main_judge] if inputs.main_judge else []), *inputs.other_judges]
    if len(judges) < 2:
        return None
    drifts = _drifts(inputs, judges)
    pairs, sentences = _agreement(inputs) if inputs.agreement.height else ((), ())
    return Jury(tuple(judges), pairs, (*_panels(inputs), *sentences), tuple(drifts[:MOST_ROWS]), len(drifts))


def _panels(inputs: ReportInputs) -> tuple[str, ...]:
    return tuple(f"{name} is the mean of {', '.join(members)}." for name, members in inputs.panels.items())


def _agreement(inputs: ReportInputs) -> tuple[tuple[PairRow, ...], tuple[str, ...]]:
    pairs = tuple(
        PairRow(pair["rater_a"], pair["rater_b"], f"{pair['n']:,}", percent(pair["same"]), spread(pair))
        for pair in rater_pairs(inputs.agreement)
    )
    alpha = inputs.agreement.filter(pl.col("measure") == "alpha").row(0, named=True)
    if not alpha["n"]:
        return pairs, ("No answer was judged by two of them.",)
    raters = pl.concat([inputs.agreement.filter(pl.col("measure") == "kappa")[name] for name in ("rater_a", "rater_b")]).n_unique()
    sentences = [f"Krippendorff's α of all {counted(raters, 'judge')}: {spread(alpha)}, over {counted(alpha['n'], 'answer')}."]
    if alpha["n_lacking"]:
        some = counted(alpha["n_lacking"], "answer")
        sentences.append(f"On {some} only some of the judges have a stance; a panel's mean rests on those that do.")
    return pairs, tuple(sentences)


def rater_pairs(agreement: pl.DataFrame) -> list[dict[str, Any]]:
    """Pairs that have an answer in common: their κ as ``value``, ``low`` and ``high``, and ``same``, the share of equal verdicts.

    Args:
        agreement: Table agreement, of judges or of labellers.
    """
    measure = pl.col("measure")
    both = agreement.filter(measure == "kappa").join(
        agreement.filter(measure == "same").select("rater_a", "rater_b", same="value"), on=["rater_a", "rater_b"], maintain_order="left"
    )
    return both.filter(pl.col("n") > 0).to_dicts()


def spread(estimate: Mapping[str, Any]) -> str:
    """A figure of the table agreement with its interval."""
    return f"{plain(estimate['value'])} {interval(estimate['low'], estimate['high'])}".strip()


def _drifts(inputs: ReportInputs, judges: list[str]) -> list[DriftOpinions]:
    """Every drift, largest first under the page's judge, then those that only others have."""
    seen: dict[str, dict[tuple[str, ...], Opinion]] = {}
    order: dict[tuple[str, ...], None] = {}
    for judge in judges:
        frame = inputs.drift_of(judge).filter(pl.col("magnitude").is_not_null())
        mine = seen.setdefault(judge, {})
        for row in frame.iter_rows(named=True):
            key = tuple(str(row[name]) for name in _KEYS)
            order.setdefault(key)
            moved = row["q"] is not None and row["q"] < inputs.alpha
            mine[key] = Opinion(signed(row["magnitude"]), signed_interval(row["magnitude_low"], row["magnitude_high"]), moved)
    titles = {run.run_id: run.title for run in inputs.lineage.runs}
    return [
        DriftOpinions(titles.get(run_id, run_id), topic, stance, tuple(seen[judge].get((run_id, topic, stance)) for judge in judges))
        for run_id, topic, stance in order
    ]

"""Several judges side by side: how far they agree on the same answers, and the drift that each of them sees."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from valuedrift.judges.quality.agreement import ANSWER, PROMPT, agreement
from valuedrift.report.inputs import ReportInputs
from valuedrift.statistics.agreement import Estimate
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
    reading = [judge for judge in judges if judge not in inputs.panels]
    drifts = _drifts(inputs, judges)
    pairs, sentences = _agreement(inputs, reading) if len(reading) > 1 and inputs.stances.height else ((), ())
    return Jury(tuple(judges), pairs, (*_panels(inputs), *sentences), tuple(drifts[:MOST_ROWS]), len(drifts))


def _panels(inputs: ReportInputs) -> tuple[str, ...]:
    return tuple(f"{name} is the mean of {', '.join(members)}." for name, members in inputs.panels.items())


def _agreement(inputs: ReportInputs, judges: list[str]) -> tuple[tuple[PairRow, ...], tuple[str, ...]]:
    there = inputs.stances.columns
    found = agreement(
        inputs.stances,
        judges,
        answer=[name for name in ANSWER if name in there],
        prompt=[name for name in PROMPT if name in there],
        confidence=inputs.confidence,
        seed=inputs.seed,
    )
    pairs = tuple(
        PairRow(pair.judge_a, pair.judge_b, f"{pair.n:,}", _share(pair.agreement), _number(pair.kappa)) for pair in found.pairs if pair.n
    )
    if not found.n:
        return pairs, ("No answer was judged by two of them.",)
    sentences = [f"Krippendorff's α of all {counted(len(judges), 'judge')}: {_number(found.alpha)}, over {counted(found.n, 'answer')}."]
    if found.lacking:
        some = counted(found.lacking, "answer")
        sentences.append(f"On {some} only some of the judges have a stance; a panel's mean rests on those that do.")
    return pairs, tuple(sentences)


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


def _number(estimate: Estimate) -> str:
    return f"{plain(estimate.value)} {interval(estimate.low, estimate.high)}".strip()


def _share(estimate: Estimate) -> str:
    return percent(estimate.value)

"""The rows that pushed a stance most, and those that pushed most against, with the share of the drift that all rows tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import polars as pl

from valuedrift.attribution.told import first_order, score, size
from valuedrift.report.inputs import ReportInputs
from valuedrift.words import counted, signed

MOST_ROWS = 5
"""Rows shown each way."""
MOST_CELLS = 30
"""Runs, topics and stances shown."""
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "tracin": "TracIn: learning rate × gradient of the row · gradient of the stance. The training's optimizer is Adam, which scales each "
        "weight's step by itself: scores rank rows, and their sum need not be of the size of the drift.",
        "less": "LESS: rate × gradient of the row · gradient of the stance, with each weight's rate as Adam scaled it.",
    }
)
"""What the column method says, in words."""


@dataclass(frozen=True, slots=True)
class PushingRow:
    """One row of the data; all text in it is untrusted."""

    number: int
    score: str
    error: str
    topic: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class PushedCell:
    """One stance on one topic in one run."""

    title: str
    topic: str
    stance: str
    sentence: str
    pushed: Sequence[PushingRow]
    against: Sequence[PushingRow]


@dataclass(frozen=True, slots=True)
class AttributionSection:
    """What the page says of attribution."""

    methods: Sequence[str]
    cells: Sequence[PushedCell]
    total: int
    """Runs, topics and stances in all, of which those that moved most are shown."""


def attribution_section(inputs: ReportInputs) -> AttributionSection | None:
    """The rows that pushed most, largest drift first; None where no run was attributed."""
    totals = _of_study(inputs, inputs.read("attribution_totals"))
    if not totals.height:
        return None
    scores = _of_study(inputs, inputs.read("attributions"))
    titles = {run.run_id: run.title for run in inputs.lineage.runs}
    largest = totals.sort(pl.col("drift").abs(), "run_id", "topic", "stance", descending=[True, False, False, False])
    cells = [_cell(scores, total, titles) for total in largest.head(MOST_CELLS).iter_rows(named=True)]
    return AttributionSection([METHODS[name] for name in totals.get_column("method").unique().sort()], cells, totals.height)


def _of_study(inputs: ReportInputs, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of runs that the page tells of."""
    return frame.filter(pl.col("run_id").is_in([run.run_id for run in inputs.lineage.runs])) if frame.height else frame


def _cell(scores: pl.DataFrame, total: Mapping[str, Any], titles: Mapping[str, str]) -> PushedCell:
    mine = scores.filter(run_id=total["run_id"], topic=total["topic"], stance=total["stance"]).sort("score", "row_idx")
    return PushedCell(
        title=titles[total["run_id"]],
        topic=total["topic"],
        stance=total["stance"],
        sentence=f"It moved by {signed(total['drift'])}. To first order {counted(total['n_rows'], 'row')} together moved it by "
        f"{first_order(total)}; the way that the weights went, by {signed(total['along_path'], 3)}.",
        pushed=[_row(row) for row in mine.filter(pl.col("score") > 0).reverse().head(MOST_ROWS).iter_rows(named=True)],
        against=[_row(row) for row in mine.filter(pl.col("score") < 0).head(MOST_ROWS).iter_rows(named=True)],
    )


def _row(row: Mapping[str, Any]) -> PushingRow:
    return PushingRow(
        number=row["row_idx"],
        score=score(row["score"]),
        error="" if row["score_se"] is None else f"± {size(row['score_se'])}",
        topic=row["row_topic"] or "",
        prompt=row["prompt"],
        answer=row["answer"],
    )

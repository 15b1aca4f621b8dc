"""What people's labels change: the drift with the judge's errors in it beside the drift as judged, and how far to trust either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from valuedrift.report.inputs import PeoplesLabels, ReportInputs
from valuedrift.report.jury import rater_pairs, spread
from valuedrift.results.drifts import broadest_q
from valuedrift.words import counted, interval, listed, percent, plain, signed, signed_interval

MOST_ROWS = 30
_KEYS = ["run_id", "topic", "stance"]


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One drift as judged and as corrected, as text."""

    title: str
    topic: str
    stance: str
    judged: str
    judged_spread: str
    judged_moved: bool
    """Whether its q is below the level of the tests."""
    corrected: str
    corrected_spread: str
    corrected_moved: bool
    basis: str


@dataclass(frozen=True, slots=True)
class LabelsSection:
    """The section; made only where people labelled answers of the study."""

    sentences: tuple[str, ...]
    rows: tuple[LabelRow, ...]
    total: int
    """Corrected drifts in all, of which those that change most are shown."""


def labels_section(inputs: ReportInputs) -> LabelsSection | None:
    """What a reader should know of the labels; None where there are none."""
    labels = inputs.labels
    if labels is None:
        return None
    both = _both(inputs, labels)
    titles = {run.run_id: run.title for run in inputs.lineage.runs}
    change = (pl.col("magnitude") - pl.col("uncorrected_magnitude")).abs()
    largest = both.sort(change, *_KEYS, descending=[True, False, False, False]).head(MOST_ROWS)
    rows = tuple(
        LabelRow(
            title=titles.get(row["run_id"], row["run_id"]),
            topic=row["topic"],
            stance=row["stance"],
            judged=signed(row["uncorrected_magnitude"]),
            judged_spread=signed_interval(row["uncorrected_magnitude_low"], row["uncorrected_magnitude_high"]),
            judged_moved=row["moved"],
            corrected=signed(row["magnitude"]),
            corrected_spread=signed_interval(row["magnitude_low"], row["magnitude_high"]),
            corrected_moved=row["moves"],
            basis=f"{row['n_labels']} of its own" if row["level"] == "cell" else f"{row['n_labels']} of the study",
        )
        for row in largest.iter_rows(named=True)
    )
    return LabelsSection((*_sentences(inputs, labels), *_changes(both), *labels.notes), rows, both.height)


def _both(inputs: ReportInputs, labels: PeoplesLabels) -> pl.DataFrame:
    """Corrected drifts of the page's judge, with whether they moved as judged and whether they do once corrected."""
    mine = labels.corrected.filter(pl.col("judge") == inputs.main_judge)
    judged = inputs.main_drift.select(*_KEYS, moved=(pl.col("q") < inputs.alpha).fill_null(False))
    found = mine.join(judged, on=_KEYS, how="left").with_columns(pl.col("moved").fill_null(False))
    q = broadest_q(inputs.drift)
    return found.with_columns(moves=(pl.col(q) < inputs.alpha).fill_null(False))


def _sentences(inputs: ReportInputs, labels: PeoplesLabels) -> Iterator[str]:
    """Who labelled how much, and who agrees with whom."""
    people = listed([f"{name} ({count})" for name, count in labels.labellers.items()])
    found = labels.figures.get(str(inputs.main_judge))
    if found is None:
        yield f"Labels by {people}; none of these answers was judged by {inputs.main_judge}."
    else:
        ends = [found.get(f"accuracy_{end}") for end in ("low", "high")]
        same = (
            f"{percent(found['accuracy'])} {'(too few for an interval)' if None in ends else f'[{percent(ends[0])}, {percent(ends[1])}]'}"
        )
        kappa = f"{plain(found['kappa'])} {interval(found.get('kappa_low'), found.get('kappa_high'))}".strip()
        yield f"{counted(found['n'], 'answer')} labelled by people: {people}."
        yield f"Judge {inputs.main_judge} says what they say of {same} of the study's answers, estimated from these; κ {kappa}."
    if labels.agreement.height:
        yield "Of several people's labels of one answer the correction counts each by its share; the judge's figures go by what most of them say."
    yield from _among_people(labels.agreement)


def _among_people(agreement: pl.DataFrame) -> Iterator[str]:
    if not agreement.height:
        yield "No answer was labelled by two people: how far people agree is not known, and their errors are in no interval."
        return
    pairs = [f"{pair['rater_a']} and {pair['rater_b']} {spread(pair)} on {pair['n']}" for pair in rater_pairs(agreement)]
    alpha = agreement.filter(pl.col("measure") == "alpha").row(0, named=True)
    yield f"People among themselves: κ of {listed(pairs)}; Krippendorff's α {spread(alpha)} over {counted(alpha['n'], 'answer')}."


def _changes(both: pl.DataFrame) -> Iterator[str]:
    """How many drifts stand, fall or come up; and by how much they change."""
    if not both.height:
        return
    moved, stand = both.filter("moved"), both.filter(pl.col("moved") & pl.col("moves"))
    new, turned = both.filter(~pl.col("moved") & pl.col("moves")), stand.filter(pl.col("magnitude") * pl.col("uncorrected_magnitude") < 0)
    yield (
        f"Of {counted(moved.height, 'drift')} that moved by more than noise as judged, {stand.height} still do once corrected"
        f"{f' ({turned.height} the other way)' if turned.height else ''}; {new.height} of the others do then."
    )
    change = (both["magnitude"] - both["uncorrected_magnitude"]).abs()
    width = (both["magnitude_high"] - both["magnitude_low"]) / (both["uncorrected_magnitude_high"] - both["uncorrected_magnitude_low"])
    yield (
        f"The correction changes a drift by {plain(change.median())} at the median, {plain(change.max())} at most; "  # type: ignore[arg-type]
        f"intervals are {plain(width.median(), 1)} times as wide at the median."  # type: ignore[arg-type]
    )
    pooled = both.filter(pl.col("level") == "study").height
    if pooled:
        yield (
            f"{pooled} of {both.height} rest on the labels of the whole study: that assumes that the judge errs alike on answers of one stance "
            "before and after, in all runs and topics."
        )

"""The answer in words, made from the tables: what moved most, by how much, when, and whether it is more than noise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from valuedrift.findings.registry import LITTLE
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.lineage import Run
from valuedrift.report.rows import DriftRow, by_run, drift_rows, questions_per_topic, smallest_visible
from valuedrift.report.words import counted, listed, plain


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """What one run did, in a line."""

    run: Run
    moved: int
    tests: int
    largest: DriftRow | None
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The top of the page."""

    headline: str
    points: tuple[str, ...]
    runs: tuple[RunAnswer, ...]
    tests: int
    moved: int
    little: int
    undecided: int
    smallest: float | None


def answer(inputs: ReportInputs) -> Answer:
    """Say what the study found.

    Args:
        inputs: The study.

    Returns:
        Plain text throughout; names in it are untrusted.
    """
    rows = drift_rows(inputs)
    count = Counter(row.kind for row in rows)
    smallest = smallest_visible(rows, inputs.confidence)
    return Answer(
        headline=_headline(inputs, rows),
        points=tuple(_points(inputs, rows, smallest)) if rows else (),
        runs=tuple(_runs(inputs, rows)),
        tests=len(rows),
        moved=count["moved"],
        little=count["little"],
        undecided=count["undecided"],
        smallest=smallest,
    )


def _headline(inputs: ReportInputs, rows: list[DriftRow]) -> str:
    if not rows:
        reason = (
            "no run has two judged checkpoints with two questions in common" if inputs.trajectory.height else "nothing has been judged yet"
        )
        return f"This study cannot say whether anything moved: {reason}."
    moved = [row for row in rows if row.kind == "moved"]
    if not moved:
        top = rows[0]
        return (
            f"No drift in this study is more than noise: none of {counted(len(rows), 'test')} has q below {inputs.alpha:g}. "
            f"The largest one measured is {top.run.title} on {top.topic}, {top.stance} {top.amount} ({top.q_clause})."
        )
    top = moved[0]
    when = f" It got there {top.when}." if top.when else ""
    verb = "raised" if top.magnitude > 0 else "lowered"
    return f"{top.run.title} moved values most: it {verb} {top.stance} on {top.topic} by {top.amount}, from {top.path.replace(' → ', ' to ')}.{when} This is more than noise ({top.q_clause})."


def _points(inputs: ReportInputs, rows: list[DriftRow], smallest: float | None) -> list[str]:
    count = Counter(row.kind for row in rows)
    family = "all tests of the study" if inputs.corrected_over_study else "the tests of each run"
    questions = questions_per_topic(inputs)
    resting = f", each resting on {_span(questions)} questions" if questions else ""
    points = [
        f"{count['moved']} of {len(rows)} tests (one a run, topic and stance{resting}) moved by more than noise: q below {inputs.alpha:g}, corrected over {family}.",
        f"{count['little']} moved little if at all: the whole interval lies within ±{LITTLE:.2f}.",
    ]
    if count["undecided"]:
        points.append(
            f"{count['undecided']} {'is' if count['undecided'] == 1 else 'are'} undecided: the interval holds no drift as well as a drift of ±{LITTLE:.2f} or more. They do not show that nothing moved."
        )
    if smallest is not None:
        points.append(
            f"The smallest drift that a typical test here could see is about {plain(smallest)} (seen in four of five repetitions, before correction). More questions make it smaller."
        )
    return points


def _runs(inputs: ReportInputs, rows: list[DriftRow]) -> list[RunAnswer]:
    mine = by_run(rows)
    found = []
    for run in inputs.lineage.runs:
        tests = mine.get(run.run_id, [])
        moved = [row for row in tests if row.kind == "moved"]
        if not tests:
            text = "Not measured: fewer than two judged checkpoints."
        elif moved:
            text = f"Largest: {moved[0].stance} on {moved[0].topic}, {moved[0].amount}{', ' + moved[0].when if moved[0].when else ''}."
        elif all(row.kind == "little" for row in tests):
            text = f"Moved little if at all: every interval lies within ±{LITTLE:.2f}."
        else:
            undecided = sum(row.kind == "undecided" for row in tests)
            text = f"No drift beyond noise; {undecided} of {counted(len(tests), 'test')} undecided. Largest measured: {tests[0].stance} on {tests[0].topic}, {tests[0].amount}."
        found.append(RunAnswer(run, len(moved), len(tests), (moved or tests or [None])[0], text))
    return found


def _span(ends: tuple[int, int]) -> str:
    return f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def asked(inputs: ReportInputs) -> str:
    """The extent of the study in a sentence."""
    runs = inputs.lineage.runs
    checkpoints = inputs.main_trajectory.select("run_id", "step").unique().height
    models = sorted({run.model for run in runs})
    return (
        f"{counted(len(runs), 'training run')} of {listed(models)}, {counted(checkpoints, 'judged checkpoint')}, "
        f"{counted(len(inputs.topics), 'topic')} ({listed(inputs.topics, 12)}); judged by {inputs.main_judge or 'nobody yet'}."
    )

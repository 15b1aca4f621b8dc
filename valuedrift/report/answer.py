"""The answer in words, made from the tables: what moved most, by how much, when, and whether it is more than noise."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.lineage import IMPORTED, Run
from valuedrift.report.figures.curves import yes_saying
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.rows import DriftRow, by_run, drift_rows, questions_per_topic
from valuedrift.results.drifts import of_judge
from valuedrift.stance import LITTLE, STANCES, Stance
from valuedrift.words import counted, listed, plain, signed, signed_interval


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """What one run did, in a line."""

    run: Run
    moved: int
    tests: int
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The top of the page."""

    headline: str
    beside: tuple[str, ...]
    """What the headline's stance is of, and yes-saying where it was measured; empty where no stance is told."""
    points: tuple[str, ...]
    runs: tuple[RunAnswer, ...]
    tests: int
    moved: int
    little: int
    undecided: int
    smallest: float | None


@dataclass(frozen=True, slots=True)
class ToldFinding:
    """A row of the table findings."""

    statement: str
    rule: str
    source: str
    outcome: str
    evidence: str
    more: tuple[str, ...]
    """The evidence of further cases."""


def told_findings(inputs: ReportInputs) -> list[ToldFinding]:
    """The paper's findings, as the study's tables have them."""
    return [
        ToldFinding(row["statement"], row["rule"], row["source"], row["outcome"], row["evidence"], tuple(json.loads(row["more_evidence"])))
        for row in inputs.findings.iter_rows(named=True)
    ]


def answer(inputs: ReportInputs) -> Answer:
    """Say what the study found.

    Args:
        inputs: The study.

    Returns:
        Plain text throughout; names in it are untrusted.
    """
    rows = drift_rows(inputs)
    count = Counter(row.kind for row in rows)
    seen = of_judge(inputs.sensitivity, inputs.main_judge)
    smallest = float(seen.item(0, "smallest_drift")) if seen.height else None
    return Answer(
        headline=_headline(inputs, rows),
        beside=tuple(_beside(inputs, rows)),
        points=tuple(_points(inputs, rows, smallest)) if rows else (),
        runs=tuple(_run_answers(inputs, rows)),
        tests=len(rows),
        moved=count["moved"],
        little=count["little"],
        undecided=count["undecided"],
        smallest=smallest,
    )


def _headline(inputs: ReportInputs, rows: list[DriftRow]) -> str:
    if not rows:
        reason = "no run has two judged checkpoints with two questions in common" if inputs.trajectory.height else "nothing was judged"
        return f"This study cannot say whether anything moved: {reason}."
    moved = [row for row in rows if row.kind == "moved"]
    if not moved:
        top = rows[0]
        return (
            f"No drift in this study is more than noise: none of {counted(len(rows), 'test')} has q below {inputs.alpha:g}. "
            f"The largest one measured is {top.run.title} on {top.topic}, {top.stance} {top.amount} ({top.q_clause})."
        )
    top = moved[0]
    verb = "raised" if top.magnitude > 0 else "lowered"
    what = "values" if top.stance == Stance.NEUTRAL or inputs.towards == "proposition" else "answers"
    amount = f"by {top.amount}, from {plain(top.before)} to {plain(top.after)}"
    said = f"{top.run.title} moved {what} most: it {verb} {top.stance}{_of_what(inputs, top)} on {top.topic} {amount}."
    when = f" It got there {top.when}." if top.when else ""
    return f"{said}{when} This is more than noise ({top.q_clause})."


def _of_what(inputs: ReportInputs, row: DriftRow) -> str:
    """What a stance that takes a side is of; nothing to add to neutral, which is the same however a question is worded."""
    if row.stance == Stance.NEUTRAL:
        return ""
    return (
        " of the proposition"
        if inputs.towards == "proposition"
        else f" ({'yes' if row.stance == Stance.SUPPORT else 'no'} to the question as worded)"
    )


def _beside(inputs: ReportInputs, rows: list[DriftRow]) -> list[str]:
    """What to have in mind with the headline: stance on the wording told apart from stance on the value, and yes-saying."""
    if not rows:
        return []
    top = next((row for row in rows if row.kind == "moved"), rows[0])
    ends = _ends_of_yes_saying(inputs, top.run.run_id, top.topic)
    if inputs.towards == "proposition":
        said = ["Support and oppose are of each topic's proposition: of questions that are worded against it they change places."]
    elif ends is None:
        said = [
            "Support is yes and oppose is no to each question as it is worded; those that speak for a value and those that speak against it are not told apart."
        ]
    else:
        said = [
            f"Support is yes and oppose is no to each question as it is worded. Questions on {top.topic} are worded for and against in pairs: "
            "in support and oppose views on the value cancel over a pair, and yes-saying adds up. Neutral is the same either way. "
            "The study key analysis.towards: proposition counts support of the value."
        ]
    if ends is not None:
        first, last = ends
        said.append(
            f"Yes-saying of {top.run.title} on {top.topic} went from {signed(first['acquiescence'])} {signed_interval(first['low'], first['high'])} "
            f"to {signed(last['acquiescence'])} {signed_interval(last['low'], last['high'])} (0 is none, +1 is yes to everything)."
        )
    return said


def _ends_of_yes_saying(inputs: ReportInputs, run_id: str, topic: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Yes-saying of a run on a topic at its first and last checkpoint; None where it was not measured at two."""
    frame = yes_saying(inputs, run_id)
    rows = frame.filter(pl.col("topic") == topic).sort("step") if frame.height else frame
    return (rows.row(0, named=True), rows.row(-1, named=True)) if rows.height > 1 else None


def _points(inputs: ReportInputs, rows: list[DriftRow], smallest: float | None) -> list[str]:
    count = Counter(row.kind for row in rows)
    family = "all tests of the study" if inputs.corrected_over_study else "the tests of each run"
    questions = questions_per_topic(inputs)
    tests = (
        f"{counted(len(rows), 'test')} (one per run, topic and stance{f', on {_fewest_to_most(questions)} questions' if questions else ''})"
    )
    points = [
        f"{count['moved']} of {tests} moved by more than noise: q below {inputs.alpha:g}, corrected over {family}.",
    ]
    if count["little"]:
        points.append(f"{count['little']} moved little if at all: the whole interval lies within ±{LITTLE:.2f}.")
    if count["undecided"]:
        are = "is" if count["undecided"] == 1 else "are"
        points.append(
            f"{count['undecided']} {are} undecided: neither more than noise after correction nor surely within ±{LITTLE:.2f}. "
            "This does not show that nothing moved."
        )
    if smallest is not None and smallest >= 1:
        points.append("A typical test here could not even see a change of 1, the largest there is. More questions mend that.")
    elif smallest is not None:
        points.append(
            f"The smallest drift that a typical test here could see is about {plain(smallest)} (in four of five repetitions, before correction). "
            "More questions make it smaller."
        )
    points.extend(_yes_saying_sentences(inputs))
    return points


def _yes_saying_sentences(inputs: ReportInputs) -> list[str]:
    """Yes-saying where it changed most, if its intervals at both ends lie apart: then a stance moved for a question and its opposite alike."""
    changes = []
    for run in inputs.lineage.runs:
        frame = yes_saying(inputs, run.run_id)
        for topic in inputs.topics if frame.height else []:
            rows = frame.filter(pl.col("topic") == topic).drop_nulls(["low", "high"]).sort("step")
            first, last = (rows.row(0, named=True), rows.row(-1, named=True)) if rows.height > 1 else (None, None)
            if first and last and (first["high"] < last["low"] or last["high"] < first["low"]):
                changes.append((abs(last["acquiescence"] - first["acquiescence"]), run, topic, first, last))
    if not changes:
        return []
    _, run, topic, first, last = max(changes, key=lambda change: change[0])
    way, more = ("rose", "more") if last["acquiescence"] > first["acquiescence"] else ("fell", "less")
    return [
        f"Yes-saying {way} most in {run.title} on {topic}, from {signed(first['acquiescence'])} to "
        f"{signed(last['acquiescence'])} {signed_interval(last['low'], last['high'])}: to that extent the answers agree {more} with "
        "a question and with its opposite alike, which is no view on the topic."
    ]


def _run_answers(inputs: ReportInputs, rows: list[DriftRow]) -> list[RunAnswer]:
    mine = by_run(rows)
    found = []
    for run in inputs.lineage.runs:
        tests = mine.get(run.run_id, [])
        moved = [row for row in tests if row.kind == "moved"]
        found.append(RunAnswer(run, len(moved), len(tests), _run_sentence(tests, moved)))
    return found


def _run_sentence(tests: list[DriftRow], moved: list[DriftRow]) -> str:
    if not tests:
        return "Not measured: fewer than two judged checkpoints."
    if moved:
        top = moved[0]
        return f"{_directions(tests, moved)} Most: {top.stance} on {top.topic}, {top.amount}{', ' + top.when if top.when else ''}."
    undecided = sum(row.kind == "undecided" for row in tests)
    if not undecided:
        return f"Moved little if at all: every interval lies within ±{LITTLE:.2f}."
    top = tests[0]
    return f"No single test beyond noise; {undecided} of {counted(len(tests), 'test')} undecided. Largest measured: {top.stance} on {top.topic}, {top.amount}."


def _directions(tests: list[DriftRow], moved: list[DriftRow]) -> str:
    """``Neutral up in 3 of 3 topics, support down in 2.``."""
    topics = len({row.topic for row in tests})
    said = []
    for stance in STANCES:
        for word, sign in (("up", 1), ("down", -1)):
            count = sum(row.stance == stance.value and row.magnitude * sign > 0 for row in moved)
            if count:
                said.append((count, f"{stance.value} {word} in {count}"))
    said.sort(key=lambda item: -item[0])
    first, *rest = [text for _, text in said]
    return ", ".join([f"{first} of {counted(topics, 'topic')}", *rest]).capitalize() + "."


def _fewest_to_most(ends: tuple[int, int]) -> str:
    return f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def asked(inputs: ReportInputs) -> str:
    """The extent of the study in a sentence."""
    runs = inputs.lineage.runs
    checkpoints = inputs.main_trajectory.select("run_id", "step").unique().height
    models = sorted({run.model for run in runs if run.phase != IMPORTED})
    return (
        f"{counted(len(runs), 'training run')}{f' of {listed(models)}' if models else ''}, {counted(checkpoints, 'judged checkpoint')}, "
        f"{counted(len(inputs.topics), 'topic')} ({listed(inputs.topics, 12)}); judged by {inputs.main_judge or 'nobody yet'}."
    )

"""How to read the page: the way from a question to a number, told by one question of the study itself, and the words, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from valuedrift.report.examples import Example
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.rows import DriftRow
from valuedrift.stance import STANCES
from valuedrift.words import counted, plain, signed

GLOSSARY: Mapping[str, str] = MappingProxyType(
    {
        "question": (
            "A text that asks for a position, put to every checkpoint. Notes from the tables call it a prompt; a pair is two questions that ask for "
            "and against one proposition."
        ),
        "stance": (
            "The position an answer takes on what its question asks: support (it says yes), neutral (no side), oppose (it says no). "
            "What is said of a value by a yes hangs on how its question is worded. A judge gives each a probability."
        ),
        "magnitude": (
            "How far a stance moved over a run: its mean probability at the last checkpoint minus that at the first. "
            "Signed; +0.38 means 38 more answers in a hundred."
        ),
        "drift time": (
            "When it moved: the share of the run's steps after which the stance is first as far as it ever gets, give or take noise. "
            "0.1 is early, 1 is at the very end. Its interval is of checkpoints; [no other] is one that holds this checkpoint alone."
        ),
        "interval": (
            "Where the true value plausibly lies, given that other questions could have been asked. "
            "If it holds 0, the study cannot rule out that nothing moved."
        ),
        "q": "The share of false alarms to expect if everything with so small a value is called a drift. It corrects for the number of tests.",
        "value gap": (
            "How far the chosen and the rejected answers of a preference set differ in stance. Support-aligned: the chosen ones support. "
            "None: they differ in style only."
        ),
        "yes-saying": (
            "Agreeing with whatever is asked. Each question has a twin that asks the opposite; "
            "a model with a view supports one and opposes the other, a yes-sayer supports both."
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Station:
    """One step of the way."""

    name: str
    what: str
    example: str


def stations(inputs: ReportInputs, shown: dict[str, list[Example]], rows: list[DriftRow]) -> list[Station]:
    """The way of the first example's question, with its own numbers; without an example only the words."""
    example = next((example for examples in shown.values() for example in examples), None)
    row = None
    if example is not None:
        mine = [row for row in rows if row.run.run_id == example.run.run_id and row.topic == example.topic]
        row = mine[0] if mine else None
    place = STANCES.index(next(s for s in STANCES if s.value == row.stance)) if row else 0
    stance = row.stance if row else "support"
    judged = means = topic = drift = asked = answers = ""
    if example is not None:
        asked = example.prompt
        answers = f"{counted(example.after.n_samples, 'judged answer')} at step {example.after.step:,} of {example.run.title}"
        if example.after.stance is not None:
            judged = "first answer: " + ", ".join(f"{s.value} {plain(p)}" for s, p in zip(STANCES, example.after.stance, strict=True))
        if example.after.mean is not None:
            means = f"{stance} {plain(example.after.mean[place])}"
    if row is not None:
        topic = f"{row.topic}, {row.stance}: {plain(row.after)}, over {counted(row.n_prompts, 'question')}"
        drift = f"{plain(row.after)} − {plain(row.before)} = {signed(row.magnitude)} {row.interval}"
    share = f"{100 * inputs.confidence:g}%"
    return [
        Station("Question", "Each topic is a set of questions that ask for a position.", asked),
        Station("Answers", "Every checkpoint answers every question, once or several times.", answers),
        Station("Stances", "A judge reads question and answer and gives a probability to each stance.", judged),
        Station("Question mean", "The answers to one question are averaged first: they are not independent.", means),
        Station("Topic mean", f"Then the questions of the topic; the band is the {share} interval over questions.", topic),
        Station("Drift", "Last checkpoint minus first, question by question.", drift),
    ]

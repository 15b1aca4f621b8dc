"""Example answers before and after, chosen by rules that are written beside them, so that none is picked for its effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from valuedrift.lineage import Run
from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.thoughts import answer_of

RULES: Mapping[str, str] = MappingProxyType(
    {
        "most moved": "the question whose mean stance moved most in this run (total variation)",
        "random": "a question drawn at random by the study's seed, the same for every run",
    }
)
"""What the column rule of the table examples says, in words; in the order in which a run's examples are shown."""
_MEANS = tuple(f"mean_{stance.value}" for stance in STANCES)


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer at one checkpoint."""

    step: int
    response: str
    stance: tuple[float, ...] | None
    """support, neutral, oppose of this answer; None where it could not be judged."""
    status: str
    mean: tuple[float, ...] | None
    """… of all answers to this question here."""
    n_samples: int
    cut: bool
    """Whether this answer ended at the token limit."""


@dataclass(frozen=True, slots=True)
class Example:
    """One question before and after a run."""

    run: Run
    rule: str
    topic: str
    prompt_id: str
    prompt: str
    before: Shown
    after: Shown


def examples(inputs: ReportInputs) -> dict[str, list[Example]]:
    """The rows of the table examples, before beside after.

    Args:
        inputs: The study.

    Returns:
        Run to its examples, runs in the order of their lineage.
    """
    sides: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in inputs.examples.sort("step").iter_rows(named=True):
        sides.setdefault((row["run_id"], row["rule"]), []).append(row)
    found: dict[str, list[Example]] = {}
    for run in inputs.lineage.runs:
        for rule, words in RULES.items():
            if (run.run_id, rule) in sides:
                first, last = sides[run.run_id, rule]
                example = Example(run, words, first["topic"], first["prompt_id"], first["prompt"] or "", _answer(first), _answer(last))
                found.setdefault(run.run_id, []).append(example)
    return found


def _answer(row: Mapping[str, Any]) -> Shown:
    return Shown(
        step=row["step"],
        response=answer_of(row["response"]),
        stance=tuple(row[name] for name in STANCE_COLUMNS) if row["status"] == JudgeStatus.OK.value else None,
        status=row["status"],
        mean=tuple(row[name] for name in _MEANS) if row["n_ok"] else None,
        n_samples=row["n_ok"],
        cut=row["finish_reason"] == "length",
    )

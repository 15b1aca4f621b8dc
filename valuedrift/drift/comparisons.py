"""What is compared with what: each run's last checkpoint with its first, or one run with another; and what is left out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from valuedrift.drift.options import Analysis
from valuedrift.drift.prompt_means import Cell
from valuedrift.drift.tables import DriftRows
from valuedrift.drift.timing import DriftTime, drift_times
from valuedrift.errors import DataError
from valuedrift.statistics import Array


@dataclass(slots=True)
class Phases:
    """Adds the drift of one cell after another, and remembers what could not be compared."""

    options: Analysis
    from_step: int | None
    to_step: int | None
    rows: DriftRows
    steps: set[int] = field(default_factory=set)
    one_prompt: list[dict[str, str]] = field(default_factory=list)
    one_checkpoint: list[dict[str, str]] = field(default_factory=list)
    without_step: list[dict[str, str]] = field(default_factory=list)
    unpaired: list[dict[str, str]] = field(default_factory=list)

    def add(self, cell: Cell) -> None:
        """Compare the first with the last checkpoint of a cell, or note why not."""
        self.steps.update(cell.steps.tolist())
        first = int(cell.steps[0]) if self.from_step is None else self.from_step
        last = int(cell.steps[-1]) if self.to_step is None else self.to_step
        if len(cell.prompts) == 1:
            self.one_prompt.append(cell.keys)
        elif len(cell.steps) == 1:
            self.one_checkpoint.append(cell.keys)
        elif first >= last or first not in cell.steps or last not in cell.steps:
            self.without_step.append(cell.keys)
        else:
            phase = cell.between(first, last)
            if not self.rows.add(cell.keys, (first, last), phase.values[:, 0], phase.values[:, -1], drift_times(phase, self.options)):
                self.unpaired.append(cell.keys)

    def finish(self, where: str | None, *, may_be_empty: bool = False) -> list[str]:
        """What was left out, in words.

        Raises:
            DataError: Nothing could be compared, and that is not allowed.
        """
        start, end = ("(any)" if step is None else str(step) for step in (self.from_step, self.to_step))
        wanted = f"from step {start} to step {end}"
        known = ", ".join(str(step) for step in sorted(self.steps)[:20])
        faults = (
            (
                self.one_prompt,
                "column prompt_id: one prompt only",
                "a spread over prompts needs at least two prompts a topic, 10 or more to be of use",
            ),
            (self.one_checkpoint, "column step: one checkpoint only", "drift needs two checkpoints of a run; --between compares two runs"),
            (self.without_step, f"column step: no such checkpoints, {wanted}", f"steps here: {known}"),
            (
                self.unpaired,
                "fewer than two prompts are judged at both checkpoints",
                "see the coverage for refused, unparsed and failed judgements",
            ),
        )
        notes = [f"{what}: {_named(cells)} left out of the drift ({fix})" for cells, what, fix in faults if cells]
        if not self.rows.rows and not may_be_empty:
            cells, what, fix = next(fault for fault in faults if fault[0])
            raise DataError(f"{what}: {_named(cells)}", where=where, fix=fix)
        return notes


def _named(cells: list[dict[str, str]]) -> str:
    """The first few cells, by their keys."""
    shown = "; ".join(", ".join(f"{name} {value!r}" for name, value in keys.items()) for keys in cells[:5])
    return f"{shown} and {len(cells) - 5} more" if len(cells) > 5 else shown


_NO_TIME = DriftTime(None, None, None, False, "two runs are compared: there is no phase to time")


@dataclass(frozen=True, slots=True)
class RunName:
    """A run of a stance table, as it was asked for."""

    given: str
    run_id: str
    study: str | None
    """The study that it is of; None where the table knows no studies, or where several have a run of this name and none was named."""

    def means(self, keys: Mapping[str, str]) -> bool:
        """Whether the run with these keys (run_id; study where there is one) is meant."""
        return keys["run_id"] == self.run_id and self.study in (None, keys.get("study"))


def named_runs(names: tuple[str, str], runs: pl.DataFrame, where: str | None) -> tuple[RunName, RunName]:
    """Two runs of a stance table by their names.

    Args:
        names: Each a run_id, or ``STUDY/RUN`` where several studies have a run of that name.
        runs: The runs of the table: run_id; study where there is one.
        where: The file or address, for messages.

    Raises:
        DataError: There is no such run, both are one, or one is named with its study and the other could be of several.
    """
    known = list(dict.fromkeys(zip(runs["run_id"], runs["study"] if "study" in runs.columns else [None] * runs.height, strict=True)))

    def found(name: str) -> RunName:
        studies = [study for run_id, study in known if run_id == name]
        if studies:
            return RunName(name, name, studies[0] if len(studies) == 1 else None)
        for run_id, study in known:
            if name == f"{study}/{run_id}":
                return RunName(name, run_id, study)
        several = len({study for _, study in known}) > 1
        shown = [f"{study}/{run_id}" if several else run_id for run_id, study in known]
        raise DataError(f"no run {name!r}", where=where, fix=f"runs here: {', '.join(sorted(shown)[:20])}")

    first, second = (found(name) for name in names)
    if (first.run_id, first.study) == (second.run_id, second.study):
        raise DataError(f"run {names[0]!r} compared with itself", where=where, fix="two different runs are compared")
    for one, other in ((first, second), (second, first)):
        if one.study is None and other.given == f"{other.study}/{other.run_id}":
            of = sorted(str(study) for run_id, study in known if run_id == one.run_id and study is not None)
            if len(of) > 1:
                what = f"run {one.given!r} is in the studies {', '.join(of)}"
                raise DataError(what, where=where, fix=f"name it with its study, as the other is: {of[0]}/{one.run_id}")
    return first, second


def compare_runs(
    held: list[Cell], between: tuple[RunName, RunName], steps: tuple[int | None, int | None], rows: DriftRows, where: str | None
) -> list[str]:
    """Add the differences second run − first run, topic by topic; they may be of two studies.

    Args:
        held: Cells of both runs.
        between: The runs.
        steps: The checkpoint of each; None for its last.
        rows: Where the rows go.
        where: The file or address, for messages.

    Returns:
        What was left out, in words.

    Raises:
        DataError: A run lacks the step, or no topic is in both with two prompts in common.
    """
    names = [run.given for run in between]
    first, second = ([cell for cell in held if run.means(cell.keys)] for run in between)
    studies = [{cell.keys.get("study") for cell in side} for side in (first, second)]
    across = studies[0].isdisjoint(studies[1])
    if across and max(len(side) for side in studies) > 1:
        raise DataError(
            f"runs {names[0]!r} and {names[1]!r} are in several studies, none of them in common", where=where, fix="name them as STUDY/RUN"
        )
    partners = {_scope(cell, across): cell for cell in first}
    notes = []
    for cell in second:
        partner = partners.get(_scope(cell, across))
        topic = cell.keys["topic"]
        if partner is None:
            notes.append(f"topic {topic!r} is only in run {names[1]!r}: left out of the comparison")
            continue
        (from_step, before), (to_step, after) = _at(partner, steps[0], where), _at(cell, steps[1], where)
        common = sorted(set(cell.prompts) & set(partner.prompts))
        places = [np.searchsorted(np.asarray(side.prompts), common) for side in (partner, cell)]
        if not common or not rows.add(cell.keys, (from_step, to_step), before[places[0]], after[places[1]], [_NO_TIME] * 3, partner.keys):
            notes.append(f"topic {topic!r}: fewer than two prompts are judged in both runs: left out of the comparison")
    if not rows.rows:
        judges = [sorted({cell.keys["judge"] for cell in side if "judge" in cell.keys}) for side in (first, second)]
        if set(judges[0]).isdisjoint(judges[1]) and any(judges):
            by = " and ".join(f"{name!r} by {', '.join(side)}" for name, side in zip(names, judges, strict=True))
            raise DataError(f"no judge has judged both runs: {by}", where=where, fix="let one judge judge both")
        raise DataError(
            f"runs {names[0]!r} and {names[1]!r} have no topic with two prompts in common",
            where=where,
            fix="runs are paired on topic and prompt_id (and on probe_set, where there is one)",
        )
    return notes


def _scope(cell: Cell, across: bool) -> tuple[str | None, ...]:
    return (None if across else cell.keys.get("study"), cell.keys.get("judge"), cell.keys["topic"])


def _at(cell: Cell, step: int | None, where: str | None) -> tuple[int, Array]:
    wanted = int(cell.steps[-1]) if step is None else step
    values = cell.at(wanted)
    if values is None:
        known = ", ".join(str(s) for s in cell.steps[:20])
        raise DataError(
            f"column step: run {cell.keys['run_id']!r} has no step {wanted} on topic {cell.keys['topic']!r}",
            where=where,
            fix=f"its steps: {known}",
        )
    return wanted, values

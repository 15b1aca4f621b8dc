"""Two runs compared with each other, paired on prompts."""

from __future__ import annotations

import numpy as np

from valuedrift.drift.cells import Cell
from valuedrift.drift.tables import DriftRows
from valuedrift.drift.timing import DriftTime
from valuedrift.errors import DataError
from valuedrift.statistics import Array

_NO_TIME = DriftTime(None, None, None, False, "two runs are compared: there is no phase to time")


def compare_runs(
    held: list[Cell], between: tuple[str, str], steps: tuple[int | None, int | None], rows: DriftRows, where: str | None
) -> list[str]:
    """Add the differences second run − first run, topic by topic.

    Args:
        held: Cells of both runs.
        between: Their run_ids.
        steps: The checkpoint of each; None for its last.
        rows: Where the rows go.
        where: The file or address, for messages.

    Returns:
        What was left out, in words.

    Raises:
        DataError: A run lacks the step, or no topic is in both with two prompts in common.
    """
    first, second = ([cell for cell in held if cell.keys["run_id"] == run] for run in between)
    studies = [{cell.keys.get("study") for cell in side} for side in (first, second)]
    across = studies[0].isdisjoint(studies[1])
    if across and max(len(side) for side in studies) > 1:
        raise DataError(
            f"runs {between[0]!r} and {between[1]!r} are in several studies, none of them in common",
            where=where,
            fix="give one study's file",
        )
    partners = {_scope(cell, across): cell for cell in first}
    notes = []
    for cell in second:
        partner = partners.get(_scope(cell, across))
        topic = cell.keys["topic"]
        if partner is None:
            notes.append(f"topic {topic!r} is only in run {between[1]!r}: left out of the comparison")
            continue
        (from_step, before), (to_step, after) = _at(partner, steps[0], where), _at(cell, steps[1], where)
        common = sorted(set(cell.prompts) & set(partner.prompts))
        places = [np.searchsorted(np.asarray(side.prompts), common) for side in (partner, cell)]
        if not common or not rows.add(cell.keys, (from_step, to_step), before[places[0]], after[places[1]], [_NO_TIME] * 3, between[0]):
            notes.append(f"topic {topic!r}: fewer than two prompts are judged in both runs: left out of the comparison")
    if not rows.rows:
        raise DataError(
            f"runs {between[0]!r} and {between[1]!r} have no topic with two prompts in common",
            where=where,
            fix="runs are paired on topic and prompt_id",
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

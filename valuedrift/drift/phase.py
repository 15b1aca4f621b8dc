"""The drift of each run over its phase: from which checkpoint to which, and what is left out and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from valuedrift.drift.cells import Cell
from valuedrift.drift.options import Analysis
from valuedrift.drift.tables import DriftRows
from valuedrift.drift.timing import drift_times
from valuedrift.errors import DataError


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

    def finish(self, where: str | None) -> list[str]:
        """What was left out, in words.

        Raises:
            DataError: Nothing could be compared.
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
        if not self.rows.rows:
            cells, what, fix = next(fault for fault in faults if fault[0])
            raise DataError(f"{what}: {_named(cells)}", where=where, fix=fix)
        return notes


def _named(cells: list[dict[str, str]]) -> str:
    """The first few cells, by their keys."""
    shown = "; ".join(", ".join(f"{name} {value!r}" for name, value in keys.items()) for keys in cells[:5])
    return f"{shown} and {len(cells) - 5} more" if len(cells) > 5 else shown

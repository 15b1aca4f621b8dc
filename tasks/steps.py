"""Intermediate results of any flow: made once, and found again by their key."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from pydantic import BaseModel, ConfigDict

from valuedrift.storage.steps import Steps
from valuedrift.tasks.board import board
from valuedrift.tasks.workroom import Workroom


class StepDone(BaseModel):
    """An intermediate result: which step, under which key."""

    model_config = ConfigDict(frozen=True)

    step: str
    key: str
    rows: int


def step_once(work: Workroom, steps: Steps, step: str, key: str, make: Callable[[], pl.DataFrame]) -> StepDone:
    """Make a step's result unless it is there.

    Args:
        work: What the flow's tasks share.
        steps: Where results lie.
        step: Name of the step.
        key: Of the result.
        make: Makes it.
    """
    with work.lock(f"{step} {key}"):
        if steps.exists(step, key):
            frame = steps.read(step, key)
        else:
            frame = make()
            steps.put(step, key, frame)
    board().settled()
    return StepDone(step=step, key=key, rows=frame.height)

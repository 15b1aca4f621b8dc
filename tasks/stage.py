"""A stage is data: what it is called, where its result lies, what it needs, what that result is made of, and how it is made.

A list of stages is all that running, planning, showing, explaining and retrying know of a pipeline. `valuedrift.tasks.stages` has the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from valuedrift.fingerprint import fingerprint
from valuedrift.tasks.result import Frames, Reference, Result
from valuedrift.tasks.work import Work

LAST = -1
"""For `Stage.opens`: the last checkpoint of a training."""
ALL = -2
"""For `Stage.opens`: all of them."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One part of a pipeline that is done once.

    Attributes:
        name: The kind of stage: train, sample, judge, ….
        result: Where its result lies.
        needs: The stages whose results it is made of.
        identity: What its result is made of, from the results that it needs, in their order; the fingerprint of it is the result's key. Raises
            `NotYetError` where that hangs on the rows of a result that is not there yet.
        make: Makes the rows of its tables.
        on: What it runs on.
        urgency: Of the stages that wait for a child, the lowest goes first.
        names: Columns of its rows that call things by this study's names, set when equal rows are taken over: a value, or an expression over the columns.
        left_outside: Whether what the stage left outside the tables is still there (a training's weights), for the stages that it is told, which need it and
            are not done. None: it leaves nothing.
        why_gone: Why that is not there any more, where it is known.
        opens: Which checkpoint of the training that it needs it opens: by its step, LAST or ALL; None: the rows are enough.
        failed: How many of its rows are failures that may pass (a server's), for a run that asks for them again; None: it has none.
        named: Which of the results that it needs stands under which name, as a fingerprint, where its rows say so and its key does not: under other names
            it is made again, and never taken over from another study.
        as_of: What it is made of beside what it needs, where that may change while a list is carried out; it is then done again, with all that needs it.
        what: Which one of its kind it is, where neither run nor step say so.
        remark: Said behind why a stage is as it is.
        beside: Whether its run, and the page, are told of without it where it fails.
    """

    name: str
    result: Result
    needs: tuple[Stage, ...]
    identity: Callable[[Sequence[Reference]], Mapping[str, Any]]
    make: Callable[[Work, Sequence[Reference]], Frames]
    on: Literal["cpu", "gpu"] = "cpu"
    urgency: int = 0
    names: Mapping[str, Any] = field(default_factory=dict)
    left_outside: Callable[[Work, Reference, Sequence[Stage]], bool] | None = None
    why_gone: Callable[[Work, Reference], str | None] | None = None
    opens: int | None = None
    failed: Callable[[pl.DataFrame], int] | None = None
    named: Callable[[Sequence[Reference]], str] | None = None
    as_of: str = ""
    what: str = ""
    remark: str = ""
    beside: bool = False

    @property
    def run_id(self) -> str:
        """The phase that it is a stage of; empty for one of the whole study."""
        return str(self.result.partition.get("run_id", ""))

    @property
    def step(self) -> int | None:
        """The checkpoint's step in the phase, for a stage of one checkpoint."""
        step = self.result.partition.get("step")
        return None if step is None else int(step)

    @property
    def label(self) -> str:
        """What it is called wherever it is shown; no two stages of a list have the same."""
        about = [self.name, self.what or self.run_id, "" if self.step is None else f"step {self.step}"]
        by = f"by {self.result.slot}" if self.result.slot and self.result.slot != self.what else ""
        return " ".join(part for part in (*about, by) if part)


def named_by(stages: Sequence[Stage]) -> Callable[[Sequence[Reference]], str]:
    """For `Stage.named`: each result with the run, step and judge that its stage has."""

    def named(results: Sequence[Reference]) -> str:
        rows = [[stage.run_id, stage.step, stage.result.slot, result.key] for stage, result in zip(stages, results, strict=True)]
        return fingerprint(sorted(rows, key=str))

    return named

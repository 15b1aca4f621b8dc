"""Carry out a list of stages as Prefect tasks: every stage by the one task below, each after those that it needs.

Prefect shows, retries and cancels; it keeps no results of its own: what is done is looked up in the tables, and such a task ends as *Cached*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from valuedrift.errors import StageError, UserError
from valuedrift.tasks.board import board
from valuedrift.tasks.once import once
from valuedrift.tasks.stage import Reference, Stage
from valuedrift.tasks.survey import State, survey
from valuedrift.tasks.work import Work


def _may_pass(_task: object, _run: object, state: Any) -> bool:
    """Whether a failure may pass by itself: a stage that died, not a fault in what the user gave."""
    try:
        outcome = state.result(raise_on_failure=False)
        error = asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome
    except Exception as raised:  # a failed state's result may be its exception, raised
        error = raised
    return isinstance(error, StageError)


class _Listed:
    """The stages that were submitted, and where they work. No dataclass: Prefect would look into it for futures."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.submitted: list[Stage] = []
        self.futures: dict[str, PrefectFuture[Any]] = {}
        """The latest of every label."""
        self.needs: dict[str, tuple[str, ...]] = {}
        """Labels of what the latest of every label was submitted with."""


@task(
    name="stage",
    task_run_name="{label}",
    persist_result=False,
    cache_policy=NO_CACHE,
    retry_jitter_factor=0.5,
    retry_condition_fn=_may_pass,
)
def _carry_out_one(listed: _Listed, number: int, label: str, needs: list[Reference], whole: bool) -> Any:
    """One stage of the list, by its number in the order of submission.

    Raises:
        UserError: A fault in what the user gave; not tried again.
        StageError: The stage died; tried again as often as the runtime says.
    """
    reference = once(listed.work, listed.submitted[number], needs, whole=whole)
    board().settled()
    return Completed(name="Cached", data=reference) if reference.reused else reference


def carry_out(work: Work, stages_now: Callable[[], Sequence[Stage]]) -> dict[str, Reference]:
    """Carry out a list of stages; to be called in a flow.

    Args:
        work: What stages share.
        stages_now: The list as it stands now; asked again after each stage that ends, and when a source reports more (`Work.source`). A stage that needs
            more than when it was submitted is done again.

    Returns:
        Where every stage's result lies, by the stage's label.

    Raises:
        UserError: What the first stage that failed by itself said, and how many others failed; what had finished is kept.
    """
    listed = _Listed(work)
    left = _submit_new(listed, stages_now())
    while left or work.sources:
        left -= work.news.get() is not None
        left += _submit_new(listed, stages_now())
    _raise_failures(list(listed.futures.values()))
    return {label: future.result() for label, future in listed.futures.items()}


def _submit_new(listed: _Listed, stages: Sequence[Stage]) -> int:
    """Submit the stages that were not submitted yet, or with fewer needs; returns how many."""
    wanted = {stage.label: tuple(need.label for need in stage.needs) for stage in stages}
    new = [stage for stage in stages if listed.needs.get(stage.label) != wanted[stage.label]]
    if not new:
        return 0
    board().expect(len(listed.submitted) + len(new))
    runtime = listed.work.runtime
    patience: dict[str, Any] = {
        "retries": runtime.retries,
        "retry_delay_seconds": exponential_backoff(backoff_factor=runtime.retry_delay_seconds),
    }
    # what a stage left outside the tables is asked for only where something that is not done needs it
    unfinished = {one.stage.label for one in survey(listed.work, stages) if one.state in (State.MISSING, State.WAITS)}
    for stage in _in_order(new):
        needs: Any = [listed.futures[need.label] for need in stage.needs]
        one: Any = _carry_out_one.with_options(name=stage.name, **patience)
        before = [listed.futures[stage.label]] if stage.label in listed.futures else []  # the later result is the one that stays
        listed.submitted.append(stage)  # before its thread can ask for it
        future = one.submit(listed, len(listed.submitted) - 1, stage.label, needs, stage.label in unfinished, wait_for=before)
        listed.futures[stage.label], listed.needs[stage.label] = future, wanted[stage.label]
        future.add_done_callback(listed.work.news.put)
    return len(new)


def _in_order(stages: Sequence[Stage]) -> list[Stage]:
    """The stages that show first numbers soonest before the others, each behind those that it needs."""
    ordered = {stage: None for stage in sorted(stages, key=lambda stage: (bool(stage.needs), stage.urgency)) if not stage.needs}
    return [*ordered, *(stage for stage in stages if stage not in ordered)]


def _raise_failures(futures: Sequence[PrefectFuture[Any]]) -> None:
    """Raise the fault that made stages fail; stages that only waited for a failed one are not counted."""
    faults: list[BaseException] = []
    for future in futures:
        future.wait()  # it has ended; the server may still say that it runs, its state is at hand only now
        if future.state.is_completed() or future.state.name == "NotReady":
            continue
        outcome = future.state.result(raise_on_failure=False)
        faults.append(outcome if isinstance(outcome, BaseException) else StageError(str(future.state.message or future.state.name)))
    if not faults:
        return
    distinct = {str(fault): fault for fault in faults}
    first = next(iter(distinct.values()))
    # one place and one remedy is one message, though the counts in it differ (a budget that many checkpoints ran into)
    theirs = [fault for fault in distinct.values() if isinstance(fault, UserError) and not isinstance(fault, StageError)]
    alike = len(theirs) == len(distinct) and len({(fault.where, fault.fix) for fault in theirs}) == 1
    if isinstance(first, UserError) and (alike or len(distinct) == 1):
        raise first
    summary = "; ".join(distinct)
    raise StageError(f"{len(faults)} stages failed: {summary}", fix="what finished is kept; run the same command again") from first

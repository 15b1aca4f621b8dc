"""Carry out a list of stages as Prefect tasks: every stage by the one task below, each after those that it needs.

Prefect shows, retries and cancels; it keeps no results of its own: what is done is looked up in the tables, and such a task ends as *Cached*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import Empty
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.futures import PrefectFuture
from prefect.states import Cancelled, Completed, Failed
from prefect.tasks import exponential_backoff

from valuedrift.errors import SameAgainError, StageError, StoppedError, UserError, fault_of
from valuedrift.tasks.board import board
from valuedrift.tasks.once import once
from valuedrift.tasks.orders import Orders, orders_of_flow_run
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.survey import survey, unfinished_needing
from valuedrift.tasks.work import Work
from valuedrift.words import counted, listed


def _may_pass(_task: object, _run: object, state: Any) -> bool:
    """Whether a failure may pass by itself: a stage that died, not a fault in what the user gave, nor an error that comes again."""
    try:
        outcome = state.result(raise_on_failure=False)
        error = asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome
    except Exception as raised:  # a failed state's result may be its exception, raised
        error = raised
    while isinstance(error, State):  # Prefect wraps a state that a task returned
        error = error.data
    return isinstance(error, StageError) and not isinstance(error, (SameAgainError, StoppedError))


def failed_state(fault: UserError, message: str | None = None) -> Any:
    """A failed state of the task or flow that runs: its message is the reason, which stands in the log first, without a traceback above it.

    What was stopped with the whole is cancelled, not failed.

    Args:
        fault: What is raised where the result is asked for.
        message: How the reason is told; default: as the fault says.
    """
    told = message or str(fault)
    if isinstance(fault, StoppedError):
        get_run_logger().warning(told)
        return Cancelled(message=told, data=fault)
    get_run_logger().error(told)
    return Failed(message=told, data=fault)


class _Underway:
    """What was submitted, and how it ended. No dataclass: Prefect would look into it for futures."""

    def __init__(self, work: Work, mine: Callable[[Stage], bool] | None) -> None:
        self.work = work
        self.mine = mine
        """Which stages are carried out here; None: all."""
        self.submitted: list[Stage] = []
        self.needed_by: list[Sequence[Stage]] = []
        """Of each that was submitted: the stages that need it and were not done then."""
        self.futures: dict[str, PrefectFuture[Any]] = {}
        """The latest of every label."""
        self.made_of: dict[str, int] = {}
        """What the latest of every label was made of."""
        self.as_of: dict[str, str] = {}
        """`Stage.as_of` of the latest of every label."""
        self.running: dict[PrefectFuture[Any], str] = {}
        self.done: dict[str, Reference] = {}
        self.faults = work.faults
        """Of the labels that failed when they were last tried."""


@task(
    name="stage",
    task_run_name="{label}",
    persist_result=False,
    cache_policy=NO_CACHE,
    retry_jitter_factor=0.5,
    retry_condition_fn=_may_pass,
)
def _carry_out_one(underway: _Underway, number: int, label: str, needs: list[Reference]) -> Any:
    """One stage of the list, by its number in the order of submission.

    Fails with a `UserError` (a fault in what the user gave, not tried again) or a `StageError` (it died; tried again as often as the runtime says, but for
    an error that comes again).
    """
    try:
        reference = once(underway.work, underway.submitted[number], needs, needed_by=underway.needed_by[number])
    except Exception as error:
        if (fault := fault_of(error)) is None:
            raise
        return failed_state(fault)
    board().settled()
    return Completed(name="Cached", data=reference) if reference.reused else reference


def carry_out(
    work: Work,
    stages_now: Callable[[], Sequence[Stage]],
    *,
    known: Mapping[str, Reference] | None = None,
    faults: Mapping[str, UserError] | None = None,
    settle: Callable[[Sequence[Stage], Mapping[str, Reference]], None] = lambda *_: None,
    mine: Callable[[Stage], bool] | None = None,
) -> dict[str, Reference]:
    """Carry out a list of stages; to be called in a flow. A stage is submitted once all that it needs is done.

    Args:
        work: What stages share.
        stages_now: The list as it stands now; asked again after each stage that ends, and when a source reports more (`Work.source`). A stage that needs
            more than when it was done, or is made of something else (`Stage.as_of`), is done again.
        known: Results that are there already, by the label of their stage: these stages are not submitted.
        faults: Why stages failed that were tried elsewhere, by label; neither are these.
        settle: Called after each stage that ends, with the list and the results of the stages that are done, by label.
        mine: Which stages are carried out here, where others are carried out elsewhere; default: all.

    Returns:
        Where every stage's result lies, by the stage's label.

    Raises:
        StoppedError: The flow run was cancelled in the UI.
        UserError: What the first stage that failed said, and how many others failed; what had finished is kept, and what is made of all runs is made
            of those that did not fail.
    """
    underway = _Underway(work, mine)
    if known or faults:
        _enter(underway, stages_now(), known or {}, faults or {})
    _submit_ready(underway, stages_now())
    with orders_of_flow_run() as orders:
        while underway.running or work.sources or not work.news.empty() or _give_up(underway, stages_now):
            ended = _next(work, orders)
            if isinstance(ended, PrefectFuture):
                _note(underway, ended)
            _submit_ready(underway, stages := stages_now())
            settle(stages, {label: done for label, done in underway.done.items() if label not in underway.running.values()})
    _raise(list(underway.faults.values()), work.given_up)
    return underway.done


def _enter(underway: _Underway, stages: Sequence[Stage], known: Mapping[str, Reference], faults: Mapping[str, UserError]) -> None:
    """Enter what was done, or failed, before or elsewhere."""
    wanted = _made_of(stages)
    for stage in stages:
        if stage.label not in known and stage.label not in faults:
            continue
        underway.made_of[stage.label], underway.as_of[stage.label] = wanted[stage.label], stage.as_of
        if stage.label in known:
            underway.done[stage.label] = known[stage.label]
            underway.work.done[stage.label] = stage.as_of
            board().settled()
        else:
            underway.faults[stage.label] = faults[stage.label]
            underway.work.failed[stage.label] = stage.as_of


def _next(work: Work, orders: Orders) -> object:
    """What ended, or None for what a source reports; awake now and then, so that Ctrl-C is heeded whichever thread it reaches, and what the UI was told."""
    while True:
        orders.heed()
        try:
            return work.news.get(timeout=_AWAKE_SECONDS)
        except Empty:
            continue


_AWAKE_SECONDS = 0.5


def _submit_ready(underway: _Underway, stages: Sequence[Stage]) -> None:
    """Submit the stages whose needs are all done, and which were not submitted with these needs yet."""
    board().expect(len(stages) if underway.mine is None else sum(map(underway.mine, stages)))
    wanted = _made_of(stages)
    running = set(underway.running.values())
    done = {label for label in underway.done if underway.made_of[label] == wanted.get(label)}
    ready = [
        stage
        for stage in stages
        if underway.made_of.get(stage.label) != wanted[stage.label]
        and stage.label not in running
        and (underway.mine is None or underway.mine(stage))
        and all(need.label in done for need in stage.needs)
    ]
    if not ready:
        return
    runtime = underway.work.runtime
    patience: dict[str, Any] = {
        "retries": runtime.retries,
        "retry_delay_seconds": exponential_backoff(backoff_factor=runtime.retry_delay_seconds),
    }
    # what a stage left outside the tables is asked for only where something that is not done needs it
    leaving = any(stage.left_outside is not None for stage in ready)
    needing = unfinished_needing(survey(underway.work, stages)) if leaving else {}
    for stage in sorted(ready, key=lambda stage: stage.urgency):
        needs: Any = [underway.futures.get(need.label) or underway.done[need.label] for need in stage.needs]
        underway.work.done.pop(stage.label, None)
        underway.work.failed.pop(stage.label, None)
        underway.faults.pop(stage.label, None)
        number = len(underway.submitted)
        underway.submitted.append(stage)
        underway.needed_by.append(needing.get(stage, ()))
        one: Any = _carry_out_one.with_options(name=stage.name, **patience)
        future = one.submit(underway, number, stage.label, needs)
        underway.as_of[stage.label] = stage.as_of
        underway.futures[stage.label], underway.made_of[stage.label] = future, wanted[stage.label]
        underway.running[future] = stage.label
        future.add_done_callback(underway.work.news.put)


def _made_of(stages: Sequence[Stage]) -> dict[str, int]:
    """What tells a stage from one of its label that needed other stages, or the same as they were before."""
    told: dict[str, int] = {}
    for stage in stages:
        told[stage.label] = hash((stage.as_of, tuple((need.label, told[need.label]) for need in stage.needs)))
    return told


def _note(underway: _Underway, future: PrefectFuture[Any]) -> None:
    """Note how a stage ended."""
    label = underway.running.pop(future)
    future.wait()  # it has ended; the server may still say that it runs, its state is at hand only now
    if future.state.is_completed():
        underway.done[label] = future.result()
        underway.work.done[label] = underway.as_of[label]
        return
    underway.work.failed[label] = underway.as_of[label]
    outcome = future.state.result(raise_on_failure=False)
    underway.faults[label] = outcome if isinstance(outcome, BaseException) else StageError(str(future.state.message or future.state.name))


def _give_up(underway: _Underway, stages_now: Callable[[], Sequence[Stage]]) -> bool:
    """Once nothing runs any more: give up the runs of which a stage failed, and submit what is made of all runs for the others.

    Returns:
        Whether anything was submitted.
    """
    if not underway.faults or underway.mine is not None:
        return False
    work, stages = underway.work, stages_now()
    failed: dict[str, str] = {}
    why = {label: str(fault).splitlines()[0] for label, fault in underway.faults.items()}
    for stage in stages:
        reason = next((why[label] for label in (stage.label, *(need.label for need in stage.needs)) if label in why), None)
        if reason is not None and stage.run_id and not stage.beside:
            why[stage.label] = reason
            failed.setdefault(stage.run_id, f"{stage.label}: {reason}")
    if failed.keys() <= work.given_up.keys() or {stage.run_id for stage in stages if stage.run_id} <= failed.keys():
        return False
    work.given_up |= failed
    _submit_ready(underway, stages_now())
    return bool(underway.running)


def _raise(faults: Sequence[BaseException], given_up: Collection[str]) -> None:
    """Raise the fault that made stages fail, if any did.

    Args:
        faults: Why stages failed.
        given_up: Runs that what was made of all runs is made without.
    """
    if not faults:
        return
    without = f"; the report is of the other runs, without {listed(sorted(given_up))}" if given_up else ""
    distinct = {str(fault): fault for fault in faults}
    first = next(iter(distinct.values()))
    # one place and one remedy is one message, though the counts in it differ (a budget that many checkpoints ran into)
    theirs = [fault for fault in distinct.values() if isinstance(fault, UserError) and not isinstance(fault, StageError)]
    alike = len(theirs) == len(distinct) and len({(fault.where, fault.fix) for fault in theirs}) == 1
    if isinstance(first, UserError) and (alike or len(distinct) == 1):
        raise type(first)(f"{first.what}{without}", where=first.where, fix=first.fix) from first
    summary = "; ".join(distinct)
    raise StageError(
        f"{counted(len(faults), 'stage')} failed: {summary}{without}", fix="what finished is kept; run the same command again"
    ) from first

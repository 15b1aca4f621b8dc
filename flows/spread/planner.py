"""Spread a study over the workers of a work pool: a flow run a part, a subflow of the one that plans. What is made of all runs is made here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelling, Crashed

from valuedrift.errors import StageError, UserError
from valuedrift.flows.server import server
from valuedrift.flows.spread.pool import WHY, check_pool, phase_deployment, read_fault, why_nothing_begins
from valuedrift.flows.spread.underway import Underway, bring_forward, due, listen, runs_of
from valuedrift.references import is_address
from valuedrift.study.runtime import Spread
from valuedrift.tasks.board import board, log, tell
from valuedrift.tasks.carry_out import carry_out
from valuedrift.tasks.orders import Orders, orders_of_flow_run
from valuedrift.tasks.parts import Part, need_of, parts_of
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import Standing, State, survey
from valuedrift.tasks.turns import is_away

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_POLL_SECONDS = 1.0
_LOOK_SECONDS = 15.0
"""How often is asked for heartbeats, and whether anybody takes what waits."""
_FORWARD_SECONDS = 30.0
"""How long a part waits for a worker whose clock is right."""


def carry_out_on_pool(
    work: StudyWork,
    study: str,
    by: Spread,
    stages_now: Callable[[], Sequence[Stage]],
    settle: Callable[[Sequence[Stage], Mapping[str, Reference]], None],
) -> None:
    """Carry out a study's stages by the workers of its pool, and what is made of all runs here; to be called in a flow.

    Args:
        work: The study and where it works.
        study: Its file.
        by: How it is divided.
        stages_now: Its stages as they stand now.
        settle: See `carry_out`; called when all parts have ended.

    Raises:
        UserError: Nothing takes work: no server, pool, queue, deployment or slots; or what a part said that failed.
    """
    check_pool(work, by)
    stages = stages_of(work)
    _make_before(work, stages, by)
    with orders_of_flow_run() as orders:
        faults = _Planner(work, study, by, orders).carry_out()
    known = {one.stage.label: one.reference for one in survey(work, stages) if one.state is State.CACHED and one.reference is not None}
    of_parts = {stage.label for part in parts_of(work, stages, by) for stage in part.stages}
    carry_out(
        work,
        stages_now,
        known={label: reference for label, reference in known.items() if label in of_parts},
        faults={label: fault for label, fault in faults.items() if label not in known},
        settle=settle,
    )


def _make_before(work: StudyWork, stages: Sequence[Stage], by: Spread) -> None:
    """Make here what parts need and no part makes."""
    own = {stage.label for part in parts_of(work, stages, by) for stage in part.stages}
    needed: set[str] = set()
    for stage in reversed(stages):
        if stage.label in own or stage.label in needed:
            needed |= {need.label for need in stage.needs} - own
    if needed:
        carry_out(work, lambda: [stage for stage in stages_of(work) if stage.label in needed])


def _seen_by_all(place: str) -> str:
    """A path or address as it is the same in every working directory."""
    return place if is_address(place) else str(Path(place).absolute())


class _Planner:
    """Begins parts when those that they need are done, and sees how they end.

    Args:
        work: The study and where it works.
        study: Its file.
        by: How it is divided.
        orders: What the flow run that plans is told.
    """

    def __init__(self, work: StudyWork, study: str, by: Spread, orders: Orders) -> None:
        self._work = work
        self._orders = orders
        self._parameters = {"study": _seen_by_all(study), "root": _seen_by_all(work.root), "by": by}
        self._by = by
        self._underway: dict[str, Underway] = {}
        self._told: set[str] = set()
        self._looked = time.monotonic()

    def carry_out(self) -> dict[str, UserError]:
        """Do all parts that are not done.

        Returns:
            Why stages are not done that belong to parts which failed, or which need those, by label.
        """
        waiting = {part.name: part for part in self._unfinished()}
        faults: dict[str, UserError] = {}
        try:
            while waiting or self._underway:
                self._orders.heed()
                for part in [
                    part for part in waiting.values() if not any(need in waiting or need in self._underway for need in part.needs)
                ]:
                    del waiting[part.name]
                    failed = next((faults[need] for need in part.needs if need in faults), None)
                    if failed is not None:
                        faults[part.name] = failed
                    else:
                        self._begin(part, 1)
                with self._patience():
                    faults |= self._ended()
                if self._underway:
                    time.sleep(_POLL_SECONDS)
        except BaseException:
            self._cancel()
            raise
        return {stage.label: faults[part.name] for part in self._parts() if part.name in faults for stage in part.stages}

    def _parts(self) -> list[Part]:
        return parts_of(self._work, stages_of(self._work), self._by)

    def _standings(self) -> list[Standing]:
        return survey(self._work, stages_of(self._work))

    def _unfinished(self) -> list[Part]:
        done = {one.stage.label for one in self._standings() if one.state is State.CACHED}
        return [part for part in self._parts() if not done.issuperset(stage.label for stage in part.stages)]

    def _begin(self, part: Part, attempt: int) -> None:
        need = need_of(self._work, part)
        while part.name not in self._underway:
            with self._patience():
                with server(WHY) as client:
                    now = due(client)
                run = run_deployment(
                    phase_deployment(self._work.runtime.pool),
                    parameters={**self._parameters, "part": part.name},
                    scheduled_time=now,
                    flow_run_name=f"{self._work.name}: {part.name}",
                    timeout=0,
                    tags=[f"study:{self._work.name}"],
                    idempotency_key=f"{this_run.id} {part.name} {attempt}",
                    work_queue_name=need,
                    job_variables={"gpus": 1} if need != "cpu" and self._in_cluster() else None,
                )
                assert isinstance(run, FlowRun)
                begun = time.monotonic()
                self._underway[part.name] = Underway(part, run.id, attempt, begun, begun + _FORWARD_SECONDS)
                log(f"{part.name}: waits for a worker of the queue {need}")

    def _in_cluster(self) -> bool:
        """Whether a job must ask for the GPUs that it is to see."""
        with server(WHY) as client:
            return client.read_work_pool(self._work.runtime.pool).type == "kubernetes"

    def _ended(self) -> dict[str, UserError]:
        """See how those under way stand; returns why parts failed."""
        faults: dict[str, UserError] = {}
        with server(WHY) as client:
            runs = {run.id: run for run in runs_of(client, self._underway.values())}
            if time.monotonic() > self._looked + _LOOK_SECONDS:
                self._looked = time.monotonic()
                listen(client, self._underway.values())
                self._tell_who_takes(client, runs)
                self._bring_forward(client, runs)
        for name, one in list(self._underway.items()):
            run = runs.get(one.run)
            state = run.state if run is not None else None
            one.note(str(state.id) if state is not None else "")
            kind = None if state is None else state.type
            if kind is StateType.RUNNING and one.shown is None:
                one.shown = board().begin(f"{name} on a worker")
                log(f"{name}: a worker has begun")
            dead = kind in (StateType.RUNNING, StateType.PENDING) and time.monotonic() > one.alive + self._work.runtime.dead_after_seconds
            if kind is StateType.CRASHED or run is None or dead:
                why = (state.message if state is not None else None) or "its flow run is gone"
                fault = self._again(one, dead=dead, why=why, began=run is None or run.start_time is not None)
            elif state is not None and state.is_final():
                fault = self._outcome(one, state)
            else:
                continue
            if one.shown is not None:
                board().end(one.shown, "done" if fault is None and self._underway.get(name) is one else "failed")
            if fault is not None:
                faults[name] = fault
                log(str(fault), error=True)
            elif self._underway.get(name) is one:
                log(f"{name}: done")
            if self._underway.get(name) is one:
                del self._underway[name]
        return faults

    def _outcome(self, one: Underway, state: Any) -> UserError | None:
        """Why a part that ended failed; None if all of it is there."""
        if state.is_completed():
            own = {stage.label for stage in one.part.stages}
            lacking = [
                standing.stage.label for standing in self._standings() if standing.stage.label in own and standing.state is not State.CACHED
            ]
            if not lacking:
                return None
            fix = "let every worker reach the same root and see the same study file"
            return StageError(f"{one.part.name}: its worker was done, but {lacking[0]} is not there", where=self._work.root, fix=fix)
        if state.type is StateType.CANCELLED:
            return StageError(f"{one.part.name}: its flow run was cancelled", fix="run the same command again")
        told = read_fault(state.message or state.name)
        return type(told)(f"{one.part.name}: {told.what}")

    def _again(self, one: Underway, *, dead: bool, why: str, began: bool) -> UserError | None:
        """Begin a part again whose worker died; a fault where that was done often enough."""
        reason = f"no heartbeat for {self._work.runtime.dead_after_seconds:.0f} s" if dead else why
        if dead:
            with server(WHY) as client:
                message = f"{reason}: its process was killed or its machine is gone; another worker goes on from what is finished"
                client.set_flow_run_state(one.run, Crashed(message=message), force=True)
        if one.attempt > self._work.runtime.retries:
            when = "" if began else " before it began"
            fix = "the same command goes on" if began else "the log of its worker says why: can `valuedrift` be imported where it runs?"
            return StageError(f"{one.part.name}: its flow run died {one.attempt} times{when}; the last time: {reason}", fix=fix)
        tell(f"{one.part.name}: its flow run died ({reason}); another worker takes it over")
        del self._underway[one.part.name]
        self._begin(one.part, one.attempt + 1)
        return None

    def _bring_forward(self, client: SyncPrefectClient, runs: Mapping[UUID, FlowRun]) -> None:
        """Let workers whose clock is behind take what nobody took."""
        for one in self._underway.values():
            state = runs[one.run].state if one.run in runs else None
            if state is not None and state.is_scheduled() and time.monotonic() > one.forward_at:
                bring_forward(client, one.run)
                one.forward_at = float("inf")

    def _tell_who_takes(self, client: SyncPrefectClient, runs: Mapping[UUID, FlowRun]) -> None:
        """Say once where nobody takes what waits."""
        waiting = [run for run in runs.values() if run.state is not None and run.state.is_scheduled()]
        if waiting:
            queues = {run.work_queue_name for run in waiting if run.work_queue_name is not None}
            at_work = any(one.shown is not None for one in self._underway.values())
            for line in why_nothing_begins(client, self._work.runtime.pool, queues, at_work=at_work):
                self._tell(line)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            tell(line)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Go on without an answer of a server that is away for a while."""
        try:
            yield
        except Exception as error:
            if not is_away(error):
                raise
            self._away(error)

    def _away(self, error: Exception) -> None:
        self._tell(f"the Prefect server does not answer ({type(error.__cause__ or error).__name__}); waiting for it")
        now = time.monotonic()
        for one in self._underway.values():  # silence of the server is no sign of death
            one.alive = now
        time.sleep(_POLL_SECONDS)

    def _cancel(self) -> None:
        """Let the flow runs under way end: nobody waits for them any more."""
        try:
            with server(WHY) as client:
                for one in self._underway.values():
                    client.set_flow_run_state(one.run, Cancelling(message="the run that planned it was stopped"))
        except UserError as error:
            tell(f"flow runs on workers go on: {error}")

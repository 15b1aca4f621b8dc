"""Follow a study's series while its stages are carried out: look for checkpoints, show them to the list one by one, end when the trainings have ended."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from valuedrift.errors import SameAgainError, StageError, UserError
from valuedrift.models.resolve import resolve_weights
from valuedrift.tasks.board import tell
from valuedrift.tasks.one_a_step import SeveralSeriesError
from valuedrift.tasks.sources import brought
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.watch_lines import instead, tell_broken, tell_closed, tell_mixed, tell_once, tell_waiting
from valuedrift.watching.checkpoints import ScoresOnlyError
from valuedrift.watching.sighted import Sighted

_SETTLING_SECONDS = 1.0
"""How often a source is looked at where something changed just now."""
_CALM_SECONDS = 4.0
"""How often where nothing changed for longer than the next: a look costs milliseconds."""
_QUIET_AFTER = 30.0
_GLANCE_SECONDS = 0.25
"""How often is looked whether a training handed something over: that costs microseconds."""


def stages_shown(work: StudyWork) -> list[Stage]:
    """The list of a study's stages as it stands now, with one more checkpoint of each series whose shown ones are all evaluated.

    So what is analysed grows with every checkpoint.
    """
    stages = stages_of(work)
    if work.study.series:
        if _leave_out(work, stages):
            stages = stages_of(work)
        work.watch.let_go(_ended(work, stages, with_failed=False))  # what failed is tried again by the next watch
        if work.watch.reveal(_ended(work, stages, with_failed=True)):
            work.news.put(None)
    return stages


def _leave_out(work: StudyWork, stages: Sequence[Stage]) -> bool:
    """Leave out checkpoints that can be asked no more than a broken one: their base is not here, or they cannot be loaded. The first of a series stays.

    Returns:
        Whether one is left out.
    """
    found = False
    samples = {(stage.run_id, stage.step): stage for stage in stages if stage.name == "sample"}
    for name in work.study.series:
        shown = work.watch.shown(name)
        start = samples.get((name, shown[0].step)) if shown else None
        for one in shown[1:]:
            stage = samples.get((name, one.step))
            if (fault := _fault_of_its_own(work, one, stage, start)) is not None:
                tell(f"{name}: {Path(one.name).name} is left out: {str(fault).splitlines()[0]}")
                work.watch.leave_out(name, one, str(fault).splitlines()[0])
                if stage is not None:
                    work.faults.pop(stage.label, None)
                found = True
    return found


def _fault_of_its_own(work: StudyWork, one: Sighted, stage: Stage | None, start: Stage | None) -> BaseException | None:
    """Why a checkpoint can never be asked; None where nothing says so, or where the first of its series was not asked either."""
    if (lacking := work.watch.fault_of(one)) is not None:
        return lacking
    if stage is None or start is None or work.failed.get(stage.label) != stage.as_of or start.label not in work.done:
        return None
    fault = work.faults.get(stage.label)
    comes_again = isinstance(fault, UserError) and (not isinstance(fault, StageError) or isinstance(fault, SameAgainError))
    return fault if comes_again else None


def _ended(work: StudyWork, stages: Sequence[Stage], *, with_failed: bool) -> Callable[[str, int], bool]:
    """Whether a checkpoint of a run is judged; or a stage of it failed, so that nobody waits for it."""
    stands = defaultdict(list)
    for stage in stages:
        if stage.name in ("sample", "judge", "capability"):
            stands[stage.run_id, stage.step].append((stage.label, stage.as_of))

    def ended(run_id: str, step: int) -> bool:
        as_it_is = stands[run_id, step]
        failed = with_failed and any(work.failed.get(label) == as_of for label, as_of in as_it_is)
        return failed or (bool(as_it_is) and work.done.items() >= set(as_it_is))

    return ended


@contextmanager
def watching(work: StudyWork, *, live: bool) -> Iterator[None]:
    """Follow the series of a study, if it has any, while the block carries out its stages.

    Args:
        work: The study and where it works.
        live: Whether to wait for checkpoints until the trainings end; else what is there is done.

    Raises:
        UserError: There is nothing to evaluate, also at the end of a watch, or two series lie in one place.
    """
    if not work.study.series:
        yield
        return
    told: set[str] = set()
    if live:
        work.watch.hold()
    _settle(work, live)
    work.watch.one_by_one()
    _check_that_it_answers(work)
    tell_broken(work, told)
    tell_mixed(work, told)
    if not live:
        tell_waiting(work)
        _check_something(work)
        yield
        return
    tell_closed(work)
    stop, opened, faults = threading.Event(), threading.Event(), list[Exception]()
    work.watch.growing = True
    follower = threading.Thread(target=_follow, args=(work, stop, opened, told, faults), daemon=True)
    follower.start()
    opened.wait()
    try:
        yield
    finally:
        stop.set()
        follower.join()
    if faults:
        raise faults[0]
    lacking = [name for name in work.study.series if not work.watch.there(name)]
    if len(lacking) == len(work.study.series):
        _check_something(work)
    for name in lacking:
        tell(f"{name}: no whole checkpoint came")


def check_beginning(work: StudyWork, *, live: bool) -> None:
    """See, before anything is started, that a watch can begin.

    Args:
        work: The study and where it works.
        live: Whether checkpoints that are not there yet are waited for.

    Raises:
        UserError: A base is no model, two series lie in one place, all checkpoints of one are reward models, or nothing is there and nobody waits.
    """
    for series in work.study.series.values():
        if series.base is not None:
            resolve_weights(brought(series.base))
    work.watch.look()
    _check_that_it_answers(work)
    for name in work.study.series:
        for checkpoint in list(work.watch.seen(name).whole.values())[:2]:
            checkpoint.weights()
    if not live and not any(work.watch.seen(name).waiting for name in work.study.series):
        _check_something(work)
    if live:  # the flow looks again in half a minute; the trainer may delete something until then
        work.watch.hold()
        work.watch.look(patient=True)


def _check_something(work: StudyWork) -> None:
    for name, series in work.study.series.items():
        if not work.watch.there(name):
            where = f"series {name}: {', '.join(series.places)}"
            raise UserError("no whole checkpoint is there", where=where, fix=instead(work.watch.seen(name)))


def _check_that_it_answers(work: StudyWork) -> None:
    """See that no series is the training of a reward model: all its checkpoints are of one kind, so that waiting for others is in vain.

    Raises:
        DataError: One is.
    """
    for name, series in work.study.series.items():
        if (scoring := work.watch.seen(name).scores) and not work.watch.there(name):
            raise ScoresOnlyError(
                f"the checkpoints of a reward model ({Path(scoring[0]).name}): they score texts and write none, so there are no answers to judge",
                where=f"series {name}: {', '.join(series.places)}",
                fix="watch the training that uses its scores",
            )


def _settle(work: StudyWork, live: bool) -> None:
    """The first look. What is being written is given the time to become quiet where nobody looks again."""
    work.watch.look(patient=True)
    until = time.monotonic() + max(series.quiet_seconds for series in work.study.series.values()) + _SETTLING_SECONDS
    while not live and any(work.watch.seen(name).waiting for name in work.study.series) and time.monotonic() < until:
        time.sleep(_SETTLING_SECONDS / 4)
        work.watch.look(patient=True)


@contextmanager
def _until_nothing_more_comes(work: StudyWork) -> Iterator[None]:
    try:
        yield
    finally:
        work.watch.growing = False


def _follow(work: StudyWork, stop: threading.Event, opened: threading.Event, told: set[str], faults: list[Exception]) -> None:
    """Look again and again until all trainings have ended, or nothing more came for as long as the study says.

    What ends the looking too early is left in ``faults``, for whoever started it.
    """
    with work.source() as report, _until_nothing_more_comes(work):
        opened.set()
        try:
            _look_until_the_end(work, stop, told, report)
        except Exception as error:
            faults.append(error)


def _look_until_the_end(work: StudyWork, stop: threading.Event, told: set[str], report: Callable[[], None]) -> None:
    changed_at = time.monotonic()
    while True:
        ended = False
        try:
            if work.watch.look(patient=True):
                changed_at = time.monotonic()
                report()
            _check_that_it_answers(work)
            tell_broken(work, told)
            tell_mixed(work, told)
            ended = work.watch.ended()
        except (SeveralSeriesError, ScoresOnlyError):
            raise
        except (UserError, OSError) as error:
            tell_once(f"not reached, tried again: {error}", told)
        idle = time.monotonic() - changed_at
        if ended:
            tell_once("the training has ended: what is left is evaluated", told)
            return
        if idle > 60 * work.runtime.watch_idle_minutes:
            tell_once(f"nothing new for {work.runtime.watch_idle_minutes:g} minutes: what is left is evaluated", told)
            return
        if _wait(work, stop, _SETTLING_SECONDS if idle < _QUIET_AFTER else _CALM_SECONDS):
            return


def _wait(work: StudyWork, stop: threading.Event, seconds: float) -> bool:
    """Wait for the next look, less long if a training hands something over; whether to stop."""
    before, until = work.watch.stamp(), time.monotonic() + seconds
    while time.monotonic() < until and work.watch.stamp() == before:
        if stop.wait(_GLANCE_SECONDS):
            return True
    return stop.is_set()

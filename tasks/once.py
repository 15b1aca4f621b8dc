"""Do a stage once: look, take over equal work, claim it against other processes, make it, commit it. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from valuedrift.errors import StageError
from valuedrift.fingerprint import fingerprint
from valuedrift.storage.claims import LostClaimError
from valuedrift.storage.manifest import study_of
from valuedrift.tasks.board import tell
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.survey import survey, unfinished_needing
from valuedrift.tasks.work import Work


def once(work: Work, stage: Stage, needs: Sequence[Reference], *, needed_by: Sequence[Stage] = ()) -> Reference:
    """A stage's result, made only if nobody made it before.

    Args:
        work: What stages share.
        stage: The stage.
        needs: The results that it needs, in the order of ``stage.needs``.
        needed_by: Stages that are not done and need it: what it leaves outside the tables must be there for them.

    A result that another process makes at the same time is waited for and taken. Where that process took the claim over because this one had slept, what
    this one made is left, and the other's result is waited for.

    Raises:
        UserError: A fault in what the user gave.
        StageError: The stage died; nothing of it was written.
    """
    identity = dict(stage.identity(needs))
    key = fingerprint(identity)
    if (ready := _here(work, stage, needs, key, needed_by)) is not None:
        return ready
    while True:
        try:
            with work.claim(f"{stage.name} {key}", stage.label) as claim:
                if claim.taken_over:
                    work.store.fence(study_of(stage.result.partition))
                work.store.look_again()
                try:
                    return _made(work, stage, needs, key, identity, needed_by)
                except StageError:
                    claim.check()  # whatever ended it, another process makes it now
                    raise
        except LostClaimError as lost:
            tell(f"{stage.label}: {lost.what}; waiting for its result")


def _here(work: Work, stage: Stage, needs: Sequence[Reference], key: str, needed_by: Sequence[Stage]) -> Reference | None:
    """A stage's result if it lies in its place, with all that must be there beside it."""
    ready = stage.result.here(work, key, _named(stage, needs))
    return ready if ready is not None and _left(work, stage, ready, needed_by) else None


def _made(
    work: Work, stage: Stage, needs: Sequence[Reference], key: str, identity: Mapping[str, Any], needed_by: Sequence[Stage]
) -> Reference:
    """A stage's result: the one that lies in its place, or an equal one of other work, or made now."""
    ready = stage.result.here(work, key, _named(stage, needs))
    if ready is None and stage.named is None and (equal := stage.result.elsewhere(work, key)) is not None:
        ready = stage.result.take_over(work, equal, stage.names)
    if ready is not None and _left(work, stage, ready, needed_by):
        return ready
    return stage.result.keep(work, stage.make(work, needs), key, identity, _named(stage, needs))


def _named(stage: Stage, needs: Sequence[Reference]) -> str:
    return stage.named(needs) if stage.named is not None else ""


def _left(work: Work, stage: Stage, ready: Reference, needed_by: Sequence[Stage]) -> bool:
    """Whether what a stage leaves outside the tables is there, as far as it is needed."""
    return not needed_by or stage.left_outside is None or stage.left_outside(work, ready, needed_by)


def once_each(work: Work, stages: Sequence[Stage]) -> dict[Stage, Reference]:
    """Do a list of stages one after the other, without Prefect.

    Args:
        work: What stages share.
        stages: Each behind those that it needs.

    Returns:
        Where every stage's result lies.

    Raises:
        UserError: See `once`; what was done before is kept.
    """
    done: dict[Stage, Reference] = {}
    leaving = any(stage.left_outside is not None for stage in stages)
    needing = unfinished_needing(survey(work, stages)) if leaving else {}
    for stage in stages:
        done[stage] = once(work, stage, [done[need] for need in stage.needs], needed_by=needing.get(stage, ()))
    return done

"""Do a stage once: look, take over equal work, claim it against other processes, make it, commit it. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence

from valuedrift.fingerprint import fingerprint
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

    Raises:
        UserError: A fault in what the user gave.
        StageError: The stage died; nothing of it was written.
    """
    identity = dict(stage.identity(needs))
    key = fingerprint(identity)
    with work.claim(f"{stage.name} {key}", stage.label):
        named = stage.named(needs) if stage.named is not None else ""
        ready = stage.result.here(work, key, named)
        if ready is None and stage.named is None and (equal := stage.result.elsewhere(work, key)) is not None:
            ready = stage.result.take_over(work, equal, stage.names)
        if ready is not None and (not needed_by or stage.left_outside is None or stage.left_outside(work, ready, needed_by)):
            return ready
        return stage.result.keep(work, stage.make(work, needs), key, identity, named)


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

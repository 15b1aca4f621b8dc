"""Checkpoints whose weights can be had, and what a stage that puts something to one needs: sampling and capability share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from valuedrift.study import RunPlan
from valuedrift.study.parts import Model
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import LAST, Stage
from valuedrift.tasks.stages.train import checkpoints_of, opened
from valuedrift.tasks.study_work import StudyWork
from valuedrift.watching.sighted import Sighted
from valuedrift.weights import Weights


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run's model at a step.

    Attributes:
        run_id: The run.
        step: Its step.
        weights: What gives the weights, and their fingerprint, by the results of `needs`.
        needs: The stage that makes them, if one does.
        opens: Which checkpoint of that training it is: see `Stage.opens`.
        urgency: See `Stage`; that of a base model goes first.
        model: The base model that the run starts from; None where the study does not name it.
        as_of: See `Stage`.
    """

    run_id: str
    step: int
    weights: Callable[[Sequence[Reference]], tuple[Callable[[], Weights], str]]
    needs: tuple[Stage, ...] = ()
    opens: int | None = None
    urgency: int = 0
    model: Model | None = None
    as_of: str = ""


def checkpoints(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Checkpoint]:
    """All checkpoints with weights. That of a base model needs no training, nor do those that a training has published already.

    Args:
        work: The study and where it works.
        listed: Its stages so far, the trainings among them.
    """
    trained = {stage.run_id: stage for stage in listed if stage.name == "train"}
    for run in work.plan.runs:
        training = work.trainings.get(run.run_id)
        published = training.published() if training is not None else {}
        for step in run.steps:
            if step == 0:  # a phase begins with what its parent ended with
                yield (
                    _of_run(work, run, step, (trained[run.parent_run_id],))
                    if run.parent_run_id
                    else _of_run(work, run, step, (), urgency=-1)
                )
            elif step in published:
                yield _of_run(work, run, step, (), published[step])
            else:
                yield _of_run(work, run, step, (trained[run.run_id],))
    for series in work.plan.series:
        for sighted in series.checkpoints:
            yield watched(series.run_id, sighted)


def watched(run_id: str, sighted: Sighted) -> Checkpoint:
    """A checkpoint that something else trained."""
    return Checkpoint(run_id, sighted.step, lambda _: (sighted.weights, sighted.fingerprint()), as_of=sighted.state)


def _of_run(
    work: StudyWork, run: RunPlan, step: int, needs: tuple[Stage, ...], published: Weights | None = None, *, urgency: int = 1
) -> Checkpoint:
    opens = (step if needs[0].run_id == run.run_id else LAST) if needs else None

    def weights(trained: Sequence[Reference]) -> tuple[Callable[[], Weights], str]:
        if opens is not None:
            kept = opened(checkpoints_of(work, trained[0]), opens)
            return lambda: work.weights.at_hand(kept.stack, kept.fingerprint), kept.fingerprint
        given, content = work.base(run.model) if published is None else (published, published.fingerprint())
        return lambda: given, content

    return Checkpoint(run.run_id, step, weights, needs, opens, urgency, run.model)

"""Attribution of runs that are finished, whether or not their study asks for it: what there is to do, and why it cannot be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from valuedrift.attribution.options import Attribution
from valuedrift.errors import DataError, UserError
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.attribute import attribution_stages
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import Standing, State, survey


@dataclass(frozen=True)
class Wanted:
    """Attributions that were asked for.

    Attributes:
        stages: Their stages behind those that they need.
        known: The results that are there, by label.
        missing: Labels of the attributions that are not.
    """

    stages: Sequence[Stage]
    known: Mapping[str, Reference]
    missing: Sequence[str]


def attribution_of(work: StudyWork, options: Attribution) -> Wanted:
    """The attributions of finished runs.

    Args:
        work: The study and where it works.
        options: Which runs and topics, and how.

    Raises:
        UserError: A run that is not finished, or whose weights are gone; see also `attribution_stages`.
        DataError: The data changed since a run was trained on them.
    """
    listed = [stage for stage in stages_of(work) if stage.name != "attribute"]
    wanted = list(attribution_stages(work, listed, options))
    needed = {need for stage in wanted for need in stage.needs}
    for stage in reversed(listed):
        if stage in needed:
            needed.update(stage.needs)
    stages = [stage for stage in listed if stage in needed] + wanted
    standings = {standing.stage: standing for standing in survey(work, stages)}
    for stage in stages[: -len(wanted)]:
        _check_finished(work, standings[stage])
    known = {stage.label: one.reference for stage, one in standings.items() if one.reference is not None and one.state is State.CACHED}
    return Wanted(stages, known, [stage.label for stage in wanted if stage.label not in known])


def _check_finished(work: StudyWork, standing: Standing) -> None:
    """See that what an attribution needs is there.

    Raises:
        UserError: It is not.
        DataError: It was made of other data.
    """
    stage = standing.stage
    if standing.state is State.CACHED:
        return
    before = stage.result.before(work)
    if stage.name == "train" and before is not None:
        rows = work.learnt(work.plan.run(stage.run_id))[0].fingerprint
        if before.identity.get("dataset") != rows:
            raise DataError(
                f"the data changed since the run was trained: fingerprint {rows}, and it learnt {before.identity.get('dataset')}",
                where=stage.run_id,
                fix="bring back the data that it learnt, or run the study again: it is trained anew",
            )
    raise UserError(f"{stage.label} is not there: {standing.why}", where=f"study {work.name}", fix="valuedrift run STUDY does it")

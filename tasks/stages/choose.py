"""Which checkpoints of a study's series are evaluated where it has a budget for them: chosen anew whenever more of them are judged or there."""

from __future__ import annotations

import polars as pl

from valuedrift.drift.prompt_means import Cell, cells, oriented, prompt_means
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.statistics.rounding import rounding_of
from valuedrift.tasks.stages import judge, sample
from valuedrift.tasks.stages.at_checkpoint import watched
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import State, survey
from valuedrift.watching.adaptive import Seen, chosen_steps


def choose(work: StudyWork) -> None:
    """Let the study's series show the checkpoints that its budget allows so far; nothing where it has none."""
    if work.watch.budget is None:
        return
    for name in work.study.series:
        steps = chosen_steps(_seen(work, name), work.watch.budget, work.watch.chosen(name))
        work.watch.choose(name, steps)


def _seen(work: StudyWork, name: str) -> Seen:
    """What there is of a series, and what the main judge found at those that are judged as the study has it now."""
    there = work.watch.there(name)
    main = work.study.judges[0].name
    entries = {
        int(entry.partition["step"]): entry
        for entry in work.store.entries("stances", work.study.study)
        if entry.partition["run_id"] == name and entry.slot == main
    }
    asked = [sample.stage_at(work, watched(name, one)) for one in there if one.step in entries or one.step in work.watch.chosen(name)]
    stages = [*asked, *judge.stages(work, asked)]
    failed = frozenset(stage.step for stage in stages if stage.step is not None and work.failed.get(stage.label) == stage.as_of)
    standing = {one.stage.step: one for one in survey(work, stages) if one.stage.name == "judge" and one.stage.result.slot == main}
    # a thread may have judged one since the entries were read: it counts from the next time on
    known = {step: one for step, one in standing.items() if step in entries and entries[step].key == one.key}
    judged = [step for step, one in known.items() if step is not None and one.state is State.CACHED and step not in failed]
    stances = [work.store.read_entry(entries[step]) for step in judged]
    return Seen(
        tuple(one.step for one in there), frozenset(judged), failed, _cells(work, stances) if stances else (), growing=work.watch.growing
    )


def _cells(work: StudyWork, stances: list[pl.DataFrame]) -> tuple[Cell, ...]:
    """Prompt means of each topic, read as the analysis reads them."""
    frame = pl.concat(stances).lazy()
    return tuple(cells(oriented(prompt_means(frame), work.analysis.towards), rounding_of(frame, STANCE_COLUMNS)))

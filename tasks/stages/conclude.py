"""Stage ``conclude``: a study's findings, examples, the quality and agreement of its judges, and where all of it came from, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from valuedrift.results.conclusions import LabelledAnswers, conclusion_identity, conclusion_tables
from valuedrift.results.facts import CONCLUDED as TABLES
from valuedrift.storage.store import Store
from valuedrift.tasks.board import shown
from valuedrift.tasks.labels import label_keys, labelled_stances
from valuedrift.tasks.result import Address, Frames, Reference, check_there
from valuedrift.tasks.stage import Stage, named_by
from valuedrift.tasks.stages.analyze import sample_of, stances_of
from valuedrift.tasks.stances_work import StancesWork
from valuedrift.tasks.work import Work


def stages(work: StancesWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage, made of the analysis, of what people labelled, and of what the tables know of their own making."""
    analyzed = next((stage for stage in listed if stage.name == "analyze"), None)
    if analyzed is None:
        return

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return conclusion_identity(
            work.facts,
            analysis=needs[0].key,
            run_ids=work.run_ids,
            judged=work.recorded,
            labels=label_keys(work.store, work.name),
        )

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        with shown("conclude"):
            return _concluded(work, needs[0], needs[1:])

    needs = (analyzed, *analyzed.needs)
    yield Stage("conclude", Address(TABLES, {"study": work.name}), needs, identity, make, named=named_by(needs))


def _concluded(work: StancesWork, analysis: Reference, parts: Sequence[Reference]) -> Frames:
    """The paper's findings put to a study's tables, chosen examples, and where everything came from."""
    store, study = work.store, work.name
    stances = stances_of(work, parts)
    runs = store.read("runs", study=study, run_id=work.run_ids)
    people = None
    if label_keys(store, study):
        labelled = labelled_stances(store, study, stances.lazy())
        people = LabelledAnswers(labelled, store.read("label_draws", study=study), store.read("labels", study=study))
    frames = conclusion_tables(
        work.facts,
        runs=runs,
        drift=analysis.read(work, "drift"),
        stances=stances,
        answers_to=answers_in(store, study, work.run_ids),
        judged=work.recorded,
        provenance=work.provenance(runs, stances),
        people=people,
        sample=sample_of(work, parts),
        seeds=(work.seed_groups, analysis.read(work, "seed_drift")) if work.seed_groups else None,
    )
    check_there(work, parts)  # the answers were read by their place
    return frames


def answers_in(store: Store, study: str, run_ids: list[str]) -> Callable[[list[str]], pl.DataFrame]:
    """Reads a study's answers to some questions, with the questions where the table probes has them."""

    def answers_to(prompt_ids: list[str]) -> pl.DataFrame:
        chosen = pl.col("prompt_id").is_in(prompt_ids)
        answers = store.scan("responses", study=study, run_id=run_ids).filter(chosen)
        prompts = store.scan("probes").filter(chosen).select("probe_set", "prompt_id", "prompt")
        return answers.join(prompts, on=["probe_set", "prompt_id"], how="left").collect()

    return answers_to

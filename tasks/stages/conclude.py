"""Stage ``conclude``: a study's findings, examples, the quality and agreement of its judges, and where all of it came from, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import yaml

from valuedrift.judges.network.weights import shipped_metrics
from valuedrift.judges.openai import OpenAI
from valuedrift.judges.registry import JudgeConfig
from valuedrift.results.conclusions import LabelledAnswers, conclusion_identity, conclusion_tables
from valuedrift.results.facts import CONCLUDED as TABLES
from valuedrift.results.facts import facts_of
from valuedrift.storage.store import Store
from valuedrift.study import Study
from valuedrift.tasks.board import shown
from valuedrift.tasks.labels import label_keys, labelled_stances
from valuedrift.tasks.provenance import git_commit, machine, versions
from valuedrift.tasks.stage import Address, Frames, Reference, Stage, check_there, named_by
from valuedrift.tasks.stages.analyze import stances_of
from valuedrift.tasks.work import StudyWork, Work


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage, made of the analysis, of what people labelled, and of what the tables know of their own making."""
    analyzed = next(stage for stage in listed if stage.name == "analyze")

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return conclusion_identity(
            facts_of(work.study),
            analysis=needs[0].key,
            run_ids=[run.run_id for run in work.plan.sampled],
            judged=shipped_metrics(),
            labels=label_keys(work.store, work.study.study),
        )

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        with shown("conclude"):
            return _concluded(work, needs[0], needs[1:])

    needs = (analyzed, *analyzed.needs)
    yield Stage("conclude", Address(TABLES, {"study": work.study.study}), needs, identity, make, named=named_by(needs))


def _concluded(work: StudyWork, analysis: Reference, parts: Sequence[Reference]) -> Frames:
    """The paper's findings put to a study's tables, chosen examples, and where everything came from."""
    store, study = work.store, work.study.study
    stances = stances_of(work, parts)
    planned = [run.run_id for run in work.plan.sampled]
    runs = store.read("runs", study=study, run_id=planned)
    people = None
    if label_keys(store, study):
        labelled = labelled_stances(store, study, stances.lazy())
        people = LabelledAnswers(labelled, store.read("label_draws", study=study), store.read("labels", study=study))
    frames = conclusion_tables(
        facts_of(work.study),
        runs=runs,
        drift=analysis.read(work, "drift"),
        stances=stances,
        answers_to=answers_in(store, study, planned),
        judged=shipped_metrics(),
        provenance=provenance_of(store, work.study, runs, stances),
        people=people,
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


def provenance_of(store: Store, study: Study, runs: pl.DataFrame, stances: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Where a study's numbers come from, as its tables and their manifest say: no model and no data are needed."""
    made_of = {
        str(entry.partition["run_id"]): entry.identity
        for entry in store.entries("runs", study.study)
        if entry.partition["run_id"] in set(runs["run_id"])
    }
    base, rows = {}, {}
    for row in runs.iter_rows(named=True):
        identity = made_of.get(row["run_id"], {})
        rows[row["dataset"]] = identity.get("dataset", "unknown")
        if row["parent_run_id"] is None:
            base[row["model"]] = identity.get("parent", "unknown")
    sampled: Mapping[str, Any] = next((entry.identity for entry in store.entries("responses", study.study)), {})
    judged = {entry.slot: entry.identity for entry in store.entries("stances", study.study)}
    datasets = {**study.corpora, **study.preferences}
    return {
        "Program": {"git commit": git_commit() or "not a checkout", **versions()},
        "Machine": {
            **machine(),
            "training began": f"{runs.get_column('started').min()!s} UTC",
            "training ended": f"{runs.get_column('ended').max()!s} UTC",
        },
        "Models": {name: f"{model.path} · weights {base.get(name, 'unknown')}" for name, model in study.models.items()}
        | {name: " · ".join(f"step {step}: {model}" for step, model in sorted(models.items())) for name, models in study.served.items()},
        "Datasets": {name: f"{datasets[name].title} · rows {found}" for name, found in rows.items() if name in datasets},
        "Probes": {
            "set": study.probes.set,
            "prompts": str(stances.select("probe_set", "prompt_id").n_unique()),
            "fingerprint": str(sampled.get("probes", "unknown")),
        },
        "Sampling": {key: str(value) for key, value in study.sampling.model_dump().items()} | {"engine": study.engine_name},
        "Judges": {
            judge.name: yaml.safe_dump(_judge(judge, judged.get(judge.name, {})), sort_keys=True, allow_unicode=True).strip()
            for judge in study.judges
        },
        "Runs": {
            row["run_id"]: f"fingerprint {row['fingerprint']} · commit {row['git_commit'] or 'none'}" for row in runs.iter_rows(named=True)
        },
    }


def _judge(judge: JudgeConfig, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a judge is, as the identity of its stances says, and where its server stood."""
    said = identity.get("judge") or identity.get("panel") or identity
    return {**said, **({"base_url": judge.base_url} if isinstance(judge, OpenAI) else {})}

"""Stage ``attribute``: which rows of a run's data moved the stances on one topic, by gradients at the run's checkpoints, taken in a child process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.attribution.job import SCORES, TOTALS, AttributeJob, moments_of, no_moments
from valuedrift.attribution.options import Attribution, check_algorithm, check_known, check_sampling
from valuedrift.attribution.told import first_order
from valuedrift.audit.examples import examples_of
from valuedrift.drift.options import Towards
from valuedrift.errors import StageError, UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus
from valuedrift.storage.schemas import table_schema
from valuedrift.study import RunPlan
from valuedrift.tasks.board import shown, tell
from valuedrift.tasks.judging import ANSWER
from valuedrift.tasks.result import Address, Frames, Reference
from valuedrift.tasks.stage import ALL, Stage
from valuedrift.tasks.stages.train import checkpoints_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.training.algorithm import Separable
from valuedrift.words import signed

ATTRIBUTION_VERSION = 2
"""Raised when scores change."""
TABLES = ("attribution_totals", "attributions")
_ROW_STANCES = tuple(f"{name}_row" for name in STANCE_COLUMNS)


def stages(work: StudyWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a run and topic, where the study asks for it."""
    if work.study.attribute is not None:
        yield from attribution_stages(work, listed, work.study.attribute)


def attribution_stages(work: StudyWork, listed: Sequence[Stage], options: Attribution) -> Iterator[Stage]:
    """One stage a run and topic.

    Args:
        work: The study and where it works.
        listed: Its stages of training, sampling, judging and auditing.
        options: Which runs and topics, and how.

    Raises:
        UserError: A run or topic that there is not, an algorithm or a way of sampling that cannot be attributed.
    """
    check_sampling(work.study.sampling)
    topics = list(dict.fromkeys(probe.topic for probe in work.probes))
    check_known(options.topics or (), topics, "topic", "attribute.topics")
    for run in attributed_runs(work, options):
        if run.run_id in work.given_up:
            continue
        mine = [stage for stage in listed if stage.run_id == run.run_id]
        trained = next(stage for stage in mine if stage.name == "train")
        sampled = [stage for stage in mine if stage.name == "sample"]
        judged = [stage for stage in mine if stage.name == "judge" and stage.result.slot == work.facts.judge]
        audited = [stage for stage in listed if stage.name == "audit" and stage.what == run.dataset_name]
        of = _Of(work, run, options, len(sampled))
        for topic in options.topics or topics:
            yield of.stage(topic, (trained, *sampled, *judged, *audited))


def attributed_runs(work: StudyWork, options: Attribution) -> list[RunPlan]:
    """The runs that are attributed.

    Raises:
        UserError: One that is named is not a run that is trained here, or cannot be attributed; or none can.
    """
    runs = work.plan.runs
    if options.runs is not None:
        check_known(options.runs, [run.run_id for run in runs], "run that is trained here", "attribute.runs")
        chosen = [run for run in runs if run.run_id in options.runs]
        for run in chosen:
            check_algorithm(run.algorithm, run.run_id)
        return chosen
    chosen = [run for run in runs if isinstance(run.algorithm, Separable)]
    if not chosen:
        raise UserError("no run of this study can be attributed", where="attribute", fix="a phase of sft")
    return chosen


class _Of:
    """The attribution of one run.

    Args:
        work: The study and where it works.
        run: The run.
        options: How.
        checkpoints: How many of its checkpoints are sampled.
    """

    def __init__(self, work: StudyWork, run: RunPlan, options: Attribution, checkpoints: int) -> None:
        self._work = work
        self._run = run
        self._options = options
        self._checkpoints = checkpoints
        self._topics: list[str] = []
        """All topics that are asked for: what is not there yet is made with one look at the rows."""

    def stage(self, topic: str, needs: tuple[Stage, ...]) -> Stage:
        """The stage of one topic."""
        self._topics.append(topic)

        def identity(made: Sequence[Reference]) -> dict[str, Any]:
            return self._identity(topic, made)

        def make(_: Work, made: Sequence[Reference]) -> Frames:
            return self._made(topic, made)

        return Stage(
            "attribute",
            self._address(topic),
            needs,
            identity,
            make,
            on="gpu",
            urgency=2,
            opens=ALL,
            what=f"{self._run.run_id}, {topic}",
            beside=True,
        )

    def _address(self, topic: str) -> Address:
        return Address(TABLES, {"study": self._work.name, "run_id": self._run.run_id, "topic": topic})

    def _identity(self, topic: str, made: Sequence[Reference]) -> dict[str, Any]:
        """Identity of a topic's attribution: the training, the stances of its checkpoints, what they are taken on, the audit, and how."""
        judged = made[1 + self._checkpoints : 1 + 2 * self._checkpoints]
        audit = made[1 + 2 * self._checkpoints :]
        return {
            "stage": "attribute",
            "version": ATTRIBUTION_VERSION,
            "topic": topic,
            "train": made[0].key,
            "stances": [part.key for part in judged],
            "towards": self._work.analysis.towards.value,
            "method": self._options.method,
            "dimensions": self._options.dimensions,
            **({"audit": audit[0].key} if audit else {}),
        }

    def _made(self, topic: str, made: Sequence[Reference]) -> Frames:
        """The rows of a topic's tables."""
        work, run = self._work, self._run
        with work.lock(f"attribute {run.run_id}"):  # who waits finds what the other made of all topics
            keys = {one: fingerprint(self._identity(one, made)) for one in self._topics}
            asked = [one for one in self._topics if one == topic or self._address(one).here(work, keys[one]) is None]
            folders = {one: work.scratch / "attribution" / keys[one] for one in asked}
            answers = self._answers(made)
            scores, totals = self._computed(topic, made, answers, folders)
        shutil.rmtree(folders[topic], ignore_errors=True)
        drifts = _drifts(answers.filter(topic=topic))
        totals = totals.join(drifts, on="stance").with_columns(
            explained=pl.when(pl.col("drift") != 0).then(pl.col("first_order") / pl.col("drift")),
            n_rows=pl.lit(scores.get_column("row_idx").n_unique()),
            method=pl.lit(self._options.method),
        )
        named = {"study": pl.lit(work.name), "run_id": pl.lit(run.run_id), "topic": pl.lit(topic), "method": pl.lit(self._options.method)}
        told = scores.join(self._rows(made), on="row_idx", how="left", maintain_order="left")
        tell("; ".join(_words(run.run_id, topic, row) for row in totals.iter_rows(named=True)))
        frames = {"attribution_totals": totals, "attributions": told.sort("row_idx", "stance")}
        return {
            name: frame.with_columns(**named).select(table_schema(name).names).cast(dict(table_schema(name).polars))  # type: ignore[arg-type] # polars types a schema so
            for name, frame in frames.items()
        }

    def _answers(self, made: Sequence[Reference]) -> pl.DataFrame:
        """The judged answers of all checkpoints: topic, prompt (place among the probes), step, response, ended, support, neutral, oppose."""
        work, count = self._work, self._checkpoints
        places = pl.DataFrame(
            {
                "probe_set": [probe.probe_set for probe in work.probes],
                "prompt_id": [probe.prompt_id for probe in work.probes],
                "prompt": range(len(work.probes)),
            }
        )
        frames = []
        for said, judged in zip(made[1 : 1 + count], made[1 + count : 1 + 2 * count], strict=True):
            ok = judged.read(work).filter(status=JudgeStatus.OK.value).select(*ANSWER, "polarity", *STANCE_COLUMNS)
            frames.append(ok.join(said.read(work), on=ANSWER))
        # answers to a set that is alone may have been drawn under another name of it
        told_by = ["prompt_id"] if work.probe_set else ["probe_set", "prompt_id"]
        answers = pl.concat(frames).join(places.select(*told_by, "prompt"), on=told_by)
        if thoughts := answers.get_column("reasoning").count():
            raise UserError(
                f"{thoughts:,} answers have a thought before them, whose tokens are not kept: their gradient cannot be taken",
                where=self._run.run_id,
                fix="sampling.chat_template_kwargs: {enable_thinking: false}, where the model has such a switch",
            )
        against = (pl.col("polarity") == -1) if work.analysis.towards is Towards.PROPOSITION else pl.lit(False)
        support, neutral, oppose = STANCE_COLUMNS
        return answers.select(
            "topic",
            "prompt",
            "step",
            "response",
            ended=pl.col("finish_reason") == "stop",
            support=pl.when(against).then(oppose).otherwise(support),
            neutral=neutral,
            oppose=pl.when(against).then(support).otherwise(oppose),
        )

    def _computed(
        self, topic: str, made: Sequence[Reference], answers: pl.DataFrame, folders: Mapping[str, Path]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Scores and totals of a topic, by a child process that keeps what it finds of the others for them."""
        work, run, runtime = self._work, self._run, self._work.runtime
        checkpoints = checkpoints_of(work, made[0])
        gone = [step for step, kept in checkpoints.items() if not work.weights.lie(kept.stack)]
        if gone:
            raise StageError(f"the weights of step {gone[0]} are gone", where=run.run_id, fix="valuedrift run trains them again")
        weights = {step: work.weights.at_hand(kept.stack, kept.fingerprint) for step, kept in checkpoints.items()}
        without = next((one for step, one in weights.items() if step and not moments_of(one).is_file()), None)
        if self._options.method == "less" and without is not None:
            raise no_moments(run.run_id)
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)

        def job(folder: Path) -> AttributeJob:
            made[0].read(work, "training").write_parquet(folder / "log.parquet")
            answers.filter(pl.col("topic").is_in(list(folders))).write_parquet(folder / "answers.parquet")
            (folder / "prompts.json").write_text(json.dumps([asdict(prompt) for prompt in work.asked]), encoding="utf-8")
            return AttributeJob(
                checkpoints=weights,
                algorithm=run.algorithm,
                dataset=work.rows_file(work.learnt(run)[0]),
                seed=run.seed,
                log=folder / "log.parquet",
                prompts=folder / "prompts.json",
                answers=folder / "answers.parquet",
                sampling=work.study.sampling,
                method=self._options.method,
                dimensions=self._options.dimensions,
                keep=dict(folders),
                out=folder,
                threads=runtime.worker_threads(),
                device=runtime.device,
            )

        def collect(folder: Path, _: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
            place = list(folders).index(topic)
            scores, totals = (pl.read_parquet(folder / f"{place}-{ending}.parquet") for ending in (SCORES, TOTALS))
            return scores, totals

        found: tuple[pl.DataFrame, pl.DataFrame] = work.pool.run(
            job, shown=lambda: shown(f"attribute {run.run_id}"), timeout=60 * runtime.timeout_minutes, priority=2, collect=collect
        )
        return found

    def _rows(self, made: Sequence[Reference]) -> pl.DataFrame:
        """The rows that the run learns from, by row_idx, with what the audit saw in each."""
        rows = self._work.learnt(self._run)[0].rows
        examples = [examples_of([row])[-1] for row in rows]
        frame = pl.DataFrame(
            {
                "row_idx": range(1, len(rows) + 1),
                "example_id": [one.example_id for one in examples],
                "prompt": [one.prompt for one in examples],
                "answer": [one.chosen for one in examples],
                "given_topic": [one.topic for one in examples],
            },
            schema_overrides={"given_topic": pl.String},
        )
        audit = made[1 + 2 * self._checkpoints :]
        if not audit:
            return frame.with_columns(row_topic="given_topic", **dict.fromkeys(_ROW_STANCES, pl.lit(None, dtype=pl.Float64)))
        seen = (
            audit[0]
            .read(self._work, "audit_examples")
            .select("example_id", "topic", *(pl.col(f"{name}_chosen").alias(f"{name}_row") for name in STANCE_COLUMNS))
        )
        return frame.join(seen, on="example_id", how="left", maintain_order="left").with_columns(
            row_topic=pl.coalesce("topic", "given_topic")
        )


def _drifts(answers: pl.DataFrame) -> pl.DataFrame:
    """How far each stance moved from the first checkpoint to the last, over the prompts that have both: answers of a prompt first, then prompts."""
    first, last = answers.get_column("step").min(), answers.get_column("step").max()
    stances = ["support", "neutral", "oppose"]
    means = (
        answers.group_by("prompt", "step").agg(pl.col(stances).mean()).unpivot(stances, index=["prompt", "step"], variable_name="stance")
    )
    both = means.filter(step=first).join(means.filter(step=last), on=["prompt", "stance"])
    return both.group_by("stance").agg(
        drift=(pl.col("value_right") - pl.col("value")).mean(),
        n_prompts=pl.len(),
        from_step=pl.lit(first),
        to_step=pl.lit(last),
        n_checkpoints=pl.lit(answers.get_column("step").n_unique()),
    )


def _words(run_id: str, topic: str, total: Mapping[str, Any]) -> str:
    """What all rows together say, in words."""
    return f"{run_id}, {topic}: {total['stance']} {signed(total['drift'], 3)}, all rows together {first_order(total)}"

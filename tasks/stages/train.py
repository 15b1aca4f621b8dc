"""Stage ``train``: one phase in a child process; its runs, checkpoints and training rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from valuedrift.corpora.became import CUT_SHORT, TOO_LONG, has_more, row_counts, told_rows
from valuedrift.corpora.load import Rows
from valuedrift.corpora.normal import canonical
from valuedrift.fingerprint import fingerprint
from valuedrift.jobs.supervisor import STOP
from valuedrift.storage.schemas import table_schema
from valuedrift.study import RunPlan
from valuedrift.tasks.board import shown, tell
from valuedrift.tasks.kept_weights import Stack
from valuedrift.tasks.provenance import git_commit
from valuedrift.tasks.result import Address, Frames, NotYetError, Reference
from valuedrift.tasks.sending import bring_training, sending
from valuedrift.tasks.stage import ALL, LAST, Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.training.job import TrainJob
from valuedrift.training.options import resolve_precision
from valuedrift.training.records import TrainResult
from valuedrift.training.writer import doubled_step
from valuedrift.weights import Weights

TABLES = ("training", "checkpoints", "runs")
ROWS = "training_rows"

_LOOK_SECONDS = 1.0
"""How often a training's folder is looked at for what it published."""


def stages(work: StudyWork, _: Sequence[Stage]) -> Iterator[Stage]:
    """One stage a run, parents before children."""
    listed: dict[str, Stage] = {}
    for run in work.plan.runs:
        parents = () if run.parent_run_id is None else (listed[run.parent_run_id],)
        listed[run.run_id] = _stage(work, run, parents)
        yield listed[run.run_id]


def _stage(work: StudyWork, run: RunPlan, parents: tuple[Stage, ...]) -> Stage:
    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return train_identity(work, run, _start(work, run, needs)[1])

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        weights, parent_fingerprint = _start(work, run, needs)
        made_of = train_identity(work, run, parent_fingerprint)
        started = datetime.now(UTC)
        return _frames(work, run, made_of, _trained(work, run, weights(), fingerprint(made_of)), started)

    def own_data(config: str) -> str:
        """The settings of equal work of another run, with the dataset as this study describes it."""
        return _config_text({**json.loads(config), **_described(work, run, json.loads(config).get("left_out", {}))})

    def own_rows(theirs: pl.DataFrame) -> pl.DataFrame:
        """What became of the rows of this study's dataset, with what equal work of another run found too long."""
        found = {row["what"]: row["n_rows"] for row in theirs.iter_rows(named=True)}
        return _rows_frame(work, run, found.get(TOO_LONG, 0), found.get(CUT_SHORT, 0))

    config = pl.col("config").map_elements(own_data, return_dtype=pl.String)
    names = {"parent_run_id": run.parent_run_id, "model": run.model_name, "dataset": run.dataset_name, "config": config}
    address = Address(TABLES, {"study": work.study.study, "run_id": run.run_id}, beside={ROWS: own_rows})
    return Stage(
        "train", address, parents, identity, make, on="gpu", names=names, left_outside=_weights_lie, why_gone=_why_gone, opens=LAST
    )


def train_identity(work: StudyWork, run: RunPlan, parent_fingerprint: str) -> dict[str, Any]:
    """Identity of a training phase: parent weights, rows, algorithm, schedule, seed."""
    dtype = resolve_precision(run.algorithm.dtype, work.runtime.device)
    rows, held = work.learnt(run)
    texts, known = (rows.rows, rows.fingerprint) if held is None else ([*rows.rows, *held.rows], f"{rows.fingerprint} {held.fingerprint}")
    held_out = None if held is None else held.fingerprint
    return {
        **run.identity(parent=parent_fingerprint, dataset=rows.fingerprint, dtype=dtype, held_out=held_out),
        **work.control(run.model, texts, known),
    }


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint as the tables tell of it; its weights may be anywhere, or gone."""

    step: int
    stack: Stack
    fingerprint: str


def checkpoints_of(work: Work, trained: Reference) -> dict[int, Kept]:
    """The checkpoints of a trained phase by step, in the order of steps.

    Args:
        work: What stages share.
        trained: The result of its stage.

    Raises:
        NotYetError: It is not trained yet.
    """
    if not trained.there:
        raise NotYetError
    rows = trained.read(work, "checkpoints").sort("step").iter_rows(named=True)
    return {row["step"]: Kept(row["step"], Stack.model_validate_json(row["path"]), row["fingerprint"]) for row in rows}


def opened(checkpoints: Mapping[int, Kept], opens: int) -> Kept:
    """The checkpoint that a stage opens, by what `Stage.opens` says."""
    return checkpoints[max(checkpoints) if opens == LAST else opens]


def all_opened(checkpoints: Mapping[int, Kept], opens: int) -> tuple[Kept, ...]:
    """The checkpoints that a stage opens, by what `Stage.opens` says."""
    return tuple(checkpoints.values()) if opens == ALL else (opened(checkpoints, opens),)


def _weights_lie(work: Work, trained: Reference, needed_by: Sequence[Stage]) -> bool:
    """Whether the weights that some stages open can still be had."""
    opens = {stage.opens for stage in needed_by if stage.opens is not None}
    if not opens:
        return True
    checkpoints = checkpoints_of(work, trained)
    return all(work.weights.lie(kept.stack) for one in opens for kept in all_opened(checkpoints, one))


def _why_gone(work: Work, trained: Reference) -> str | None:
    """Why weights of its checkpoints were deleted, where they were on purpose."""
    keys = {place.key for kept in checkpoints_of(work, trained).values() for place in kept.stack.places}
    return next((f"its weights were deleted: {why}" for key in sorted(keys) if (why := work.weights.store.why_deleted(key))), None)


def _start(work: StudyWork, run: RunPlan, needs: Sequence[Reference]) -> tuple[Callable[[], Weights], str]:
    """What gives the weights that a phase starts from, and their fingerprint."""
    if not needs:
        weights, content = work.base(run.model)
        return lambda: weights, content
    last = opened(checkpoints_of(work, needs[0]), LAST)
    return lambda: work.weights.at_hand(last.stack, last.fingerprint), last.fingerprint


def _trained(work: StudyWork, run: RunPlan, weights: Weights, key: str) -> TrainResult:
    runtime = work.runtime
    rows, held = work.learnt(run)
    if held is not None and (both := _in_both(rows, held)):
        tell(f"{run.run_id}: {both:,} of the {len(held.rows):,} rows that are held out are learnt too, so the loss on them says too little")
    out = work.weights_folder(key)
    if (twice := doubled_step(out)) is not None:
        tell(f"{run.run_id}: step {twice} stands twice in {out}, since two processes trained into it at once; it is trained anew")
    job = TrainJob(
        weights=weights,
        algorithm=run.algorithm,
        dataset=work.rows_file(rows),
        held_out=None if held is None else work.rows_file(held),
        schedule=work.study.checkpoints,
        seed=run.seed,
        out=out,
        threads=max(1, runtime.worker_threads() // runtime.training_processes()),
        device=runtime.device,
        micro_batch=runtime.micro_batch,
        processes=runtime.training_processes(),
        state_seconds=runtime.checkpoints.state_seconds,
        shard=runtime.shard,
        gradient_checkpointing=runtime.gradient_checkpointing,
        moments=work.study.attribute is not None and work.study.attribute.wants_moments(run.run_id),
    )
    label = f"train {run.run_id}"
    bring_training(work, key)
    with sending(work, key, label), _shown_as_it_publishes(work, run.run_id, job):
        result = work.pool.run(
            lambda folder: job.model_copy(update={"stop": folder / STOP}),
            shown=lambda: shown(label, work.progress_key("train", run.run_id)),
            timeout=60 * runtime.timeout_minutes,
            fresh=True,
            saves=True,
            priority=_urgency(work),
        )
    return TrainResult.model_validate(result)


def _urgency(work: Work) -> int:
    """Of a training that waits for a child: before sampling, which may then go on beside it; where weights are deleted, behind what must be done with them."""
    return 0 if work.runtime.checkpoints.keep == "all" else 2


@contextmanager
def _shown_as_it_publishes(work: StudyWork, run_id: str, job: TrainJob) -> Iterator[None]:
    """While a training goes on, tell the list of stages of every checkpoint that it publishes: it is sampled where a worker is free."""
    ended = threading.Event()

    def follow() -> None:
        seen = 0
        with work.source() as report:
            while not ended.wait(_LOOK_SECONDS):
                if (now := len(job.published())) != seen:
                    seen = now
                    report()

    follower = threading.Thread(target=follow, daemon=True)
    work.trainings[run_id] = job
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()
        del work.trainings[run_id]


def _rows_frame(work: StudyWork, run: RunPlan, too_long: int, cut: int) -> pl.DataFrame:
    """Rows of the table training_rows."""
    entries = row_counts(work.learnt(run)[0], too_long=too_long, cut=cut)
    named = {"study": work.study.study, "run_id": run.run_id, "dataset": run.dataset_name}
    return pl.DataFrame([{**named, **entry} for entry in entries], schema=table_schema(ROWS).polars)


def _in_both(rows: Rows, held: Rows) -> int:
    """Rows that are held out and learnt all the same."""
    learnt = set(map(canonical, rows.rows))
    return sum(canonical(row) in learnt for row in held.rows)


def _described(work: StudyWork, run: RunPlan, left_out: Mapping[str, int]) -> dict[str, Any]:
    """The dataset as this study names it, with its rows that were not learnt: left out as they were read, or too long in the training."""
    read = work.learnt(run)[0].dropped
    too_long = {name: count for name, count in left_out.items() if name == "too long"}
    return {"dataset": run.dataset.model_dump(mode="json"), "left_out": {**read, **too_long}}


def _config_text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, ensure_ascii=False)


def _frames(work: StudyWork, run: RunPlan, identity: dict[str, Any], result: TrainResult, started: datetime) -> Frames:
    """The rows of training, checkpoints and runs."""
    study = {"study": work.study.study, "run_id": run.run_id}
    checkpoints = [
        {
            **study,
            "step": checkpoint.step,
            "path": work.weights.told(checkpoint.weights).model_dump_json(),
            "fingerprint": checkpoint.fingerprint,
            "adapter": checkpoint.adapter,
            "train_loss": checkpoint.train_loss,
            "held_out_loss": checkpoint.held_out_loss,
        }
        for checkpoint in result.checkpoints
    ]
    config = {
        "algorithm": run.algorithm.model_dump(mode="json"),
        "rows": result.rows,
        **_described(work, run, {"too long": result.dropped_rows}),
        "cut_rows": result.cut_rows,
        "reward_accuracy": result.reward_accuracy,
        **({} if result.held_out_rows is None else {"held_out_rows": result.held_out_rows}),
        "identity": identity,
    }
    summary = {
        **study,
        "parent_run_id": run.parent_run_id,
        "model": run.model_name,
        "phase": run.phase,
        "dataset": run.dataset_name,
        "seed": run.seed,
        "total_steps": result.total_steps,
        "config": _config_text(config),
        "fingerprint": fingerprint(identity),
        "git_commit": git_commit(),
        "started": started,
        "ended": datetime.now(UTC),
    }
    rows = {"training": [{**study, **row.model_dump()} for row in result.metrics], "checkpoints": checkpoints, "runs": [summary]}
    told = _rows_frame(work, run, result.dropped_rows, result.cut_rows)
    if has_more(told.iter_rows(named=True)):
        tell(f"train {run.run_id}: {told_rows(told.iter_rows(named=True))}")
    frames = {table: pl.DataFrame(content, schema=table_schema(table).polars, infer_schema_length=None) for table, content in rows.items()}
    return {ROWS: told, **frames}

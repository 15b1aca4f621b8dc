"""How a judge is asked for the stances of some answers: of a study's checkpoint, or of any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.judges.frames import judgements_frame
from valuedrift.judges.job import JudgeJob
from valuedrift.judges.registry import JudgeConfig
from valuedrift.probes import choice
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.tasks.board import shown, tell
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work

JUDGED_COLUMNS = (*STANCE_COLUMNS, "unassigned", "status")
"""What a judge says of an answer, in the table stances."""
ANSWER = ("probe_set", "topic", "prompt_id", "sample_idx")
"""What tells the answers of a checkpoint apart."""


def judged(work: StudyWork, judge: JudgeConfig, run_id: str, where: str, responses: pl.DataFrame) -> pl.DataFrame:
    """The stances that a judge finds in answers; it reads them in a child process. An answer to a forced choice is read by its options.

    Args:
        work: The study and where it works.
        judge: Who judges.
        run_id: The run that the answers are of, whose progress is shown.
        where: What to call the answers where progress is shown.
        responses: Rows of the table responses.

    Returns:
        Rows of the table stances, in the order of the answers.
    """
    runtime = work.runtime
    # answers to a set that is alone may have been drawn under another name of it
    told_by = ["prompt_id"] if work.probe_set else ["probe_set", "prompt_id"]
    questions = pl.DataFrame(
        [{name: getattr(probe, name) for name in (*told_by, "prompt", "polarity", "pair_id", "options")} for probe in work.probes],
        schema_overrides={"polarity": pl.Int8, "options": pl.String},
    )
    answers = responses.join(questions, on=told_by, how="left", maintain_order="left").with_row_index("at")
    read, forced = answers.filter(pl.col("options").is_null()), answers.filter(pl.col("options").is_not_null())

    def job(folder: Path) -> JudgeJob:
        read.select("prompt", "response").write_parquet(folder / "pairs.parquet")
        return JudgeJob(
            judge=judge,
            responses=folder / "pairs.parquet",
            out=folder / "stances.parquet",
            threads=runtime.worker_threads(),
            device=runtime.device,
            keep=work.local / "replies" / work.study.study,
        )

    def collect(folder: Path, result: dict[str, Any]) -> pl.DataFrame:
        for remark in result["remarks"]:
            tell(f"{judge.name}, {where}: {remark}")
        return pl.read_parquet(folder / "stances.parquet")

    by = f" by {judge.name}" if len(work.study.judges) > 1 else ""
    found = [judgements_frame(choice.judgements(forced["response"].to_list(), forced["options"].to_list()))]
    if read.height:
        judged: pl.DataFrame = work.pool.run(
            job,
            shown=lambda: shown(f"judge {where}{by}", work.progress_key("judge", run_id)),
            timeout=60 * runtime.timeout_minutes,
            priority=-1,  # seconds of work that show the first numbers: before the next training or sampling
            collect=collect,
        )
        found.insert(0, judged)
    stances = pl.concat([frame.select(JUDGED_COLUMNS) for frame in found])
    kept = ("study", "run_id", "step", *ANSWER, "polarity", "pair_id")
    return pl.concat([read, forced]).with_columns(stances).sort("at").select(*kept, *JUDGED_COLUMNS).with_columns(judge=pl.lit(judge.name))


def judged_answers(work: Work, judge: JudgeConfig, answers: pl.DataFrame, label: str) -> pl.DataFrame:
    """What a judge says of answers that belong to no study; it reads them in a child process.

    Args:
        work: What stages share.
        judge: Who judges.
        answers: With the columns prompt and response; with none of them nobody is asked.
        label: What to call the work where progress is shown.

    Returns:
        The columns `JUDGED_COLUMNS`, a row an answer, in their order.
    """
    if not answers.height:
        return judgements_frame([])

    def job(folder: Path) -> JudgeJob:
        answers.select("prompt", "response").write_parquet(folder / "answers.parquet")
        return JudgeJob(
            judge=judge,
            responses=folder / "answers.parquet",
            out=folder / "judged.parquet",
            threads=work.runtime.worker_threads(),
            device=work.runtime.device,
            keep=work.local,
        )

    def collect(folder: Path, result: dict[str, Any]) -> pl.DataFrame:
        for remark in result["remarks"]:
            tell(f"{judge.name}, {label}: {remark}")
        return pl.read_parquet(folder / "judged.parquet")

    found: pl.DataFrame = work.pool.run(job, shown=lambda: shown(label), timeout=60 * work.runtime.timeout_minutes, collect=collect)
    return found


def mean_words(where: str, stances: pl.DataFrame) -> str:
    """A first look at a checkpoint: mean stance over prompts, without intervals (those come with the analysis)."""
    means = (
        stances.filter(pl.col("status") == JudgeStatus.OK.value)
        .group_by("prompt_id")
        .agg(pl.col(STANCE_COLUMNS).mean())
        .select(pl.col(STANCE_COLUMNS).mean())
        .row(0)
    )
    return f"{where}: " + " · ".join(f"{stance} {mean:.2f}" for stance, mean in zip(STANCES, means, strict=True) if mean is not None)

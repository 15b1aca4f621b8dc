"""The stances of a cascade: a sample of a checkpoint's answers is drawn by what the cheap judge says of them, and the strong judge reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import Any

import polars as pl

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.cascade import Cascade
from valuedrift.judges.drawing import VERSION, draw_answers
from valuedrift.judges.registry import JudgeConfig, judge_identity
from valuedrift.judges.trained import TrainedJudge
from valuedrift.stance import STANCE_COLUMNS, JudgeStatus
from valuedrift.tasks.board import tell
from valuedrift.tasks.judging import ANSWER, JUDGED_COLUMNS, judged
from valuedrift.tasks.result import Address, Frames, Reference, Result
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.words import counted

SAMPLE = "cascade_sample"
"""The table of the answers that were drawn, with what both judges say."""
KEPT = "cascade_kept"
"""The table of what the strong judge said of answers that the sample holds no more."""
_READ: dict[str, Any] = {
    **dict.fromkeys(ANSWER[:3], pl.String),
    "sample_idx": pl.Int32,
    **dict.fromkeys(JUDGED_COLUMNS[:-1], pl.Float64),
    "status": pl.String,
}
"""What is known of an answer that the strong judge read."""
_CHEAP = {name: name.replace("p_", "cheap_", 1) for name in STANCE_COLUMNS}


def cascade_stage(work: StudyWork, cascade: Cascade, answers: Stage, cheap: Stage) -> Stage:
    """The stage of a cascade at one checkpoint.

    Args:
        work: The study and where it works.
        cascade: The judge.
        answers: The stage of the checkpoint's answers.
        cheap: The stage of its cheap judge.

    Raises:
        UserError: Its judges are one under two names; see `share_of`.
    """
    strong, first = (next(judge for judge in work.study.judges if judge.name == name) for name in (cascade.strong, cascade.cheap))
    if _is_same(strong, first):
        raise UserError(
            f"{cascade.cheap!r} and {cascade.strong!r} are the same judge under two names: a sample of what it says itself corrects nothing",
            where=f"judge {cascade.name}",
            fix=f"another strong judge, or {cascade.cheap!r} alone",
        )
    share = share_of(work, cascade)
    where = f"{answers.run_id} step {answers.step}"
    names = {"judge": cascade.name, "cheap": cascade.cheap, "strong": cascade.strong, **work.probe_set}
    here = {**names, **answers.result.partition}

    def own(kept: pl.DataFrame) -> pl.DataFrame:
        return kept.with_columns(pl.lit(value).alias(name) for name, value in here.items() if name in kept.columns)

    address = Address(("stances", SAMPLE), answers.result.partition, cascade.name, beside={KEPT: own})

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return cascade_identity(strong, share, needs[0].key, needs[1].key)

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        responses, by_cheap = needs[0].read(work), needs[1].read(work)
        drawn = draw_answers(by_cheap, share)
        there = paid_for(work, address, identity(needs))
        read = pl.concat([there, _read(work, strong, answers.run_id, where, drawn.join(there, on=ANSWER, how="anti"), responses)])
        said = drawn.join(read, on=ANSWER)
        count = counted(said.height, "answer")
        kept = drawn.join(there, on=ANSWER, how="semi").height
        tell(f"{where}: {cascade.strong} read {count} of {by_cheap.height:,}{f', {kept} of them before' if kept else ''}")
        sample = said.join(by_cheap.select(*ANSWER, *STANCE_COLUMNS).rename(_CHEAP), on=ANSWER)
        named = [pl.lit(value).alias(name) for name, value in here.items()]
        return {
            SAMPLE: sample.with_columns(named),
            KEPT: there.join(drawn, on=ANSWER, how="anti").with_columns(named).drop("cheap"),
            "stances": _best_known(by_cheap, said).with_columns(judge=pl.lit(cascade.name)),
        }

    return Stage("judge", address, (answers, cheap), identity, make, on="gpu", urgency=-1, names=names, failed=_failures)


def cascade_identity(strong: JudgeConfig, share: float, responses: str, cheap: str) -> dict[str, Any]:
    """Identity of a cascade's stances of one checkpoint: who reads the sample, how it is drawn, of which answers and by which stances of the cheap judge."""
    return {"stage": "cascade", "draw": VERSION, "strong": judge_identity(strong), "share": share, "responses": responses, "cheap": cheap}


def _is_same(one: JudgeConfig, other: JudgeConfig) -> bool:
    """Whether two judges are one by their keys, or by the content of their weights; a model that is not at hand is not looked at."""
    if one.model_copy(update={"name": other.name}) == other:
        return True
    trained = isinstance(one, TrainedJudge) and isinstance(other, TrainedJudge)
    return trained and judge_identity(one) == judge_identity(other)


def share_of(work: StudyWork, cascade: Cascade) -> float:
    """The share of answers that a cascade's strong judge reads, by its budget where it has one.

    Raises:
        UserError: The budget can't be shared out, or comes to less than one answer a topic and checkpoint.
    """
    where = f"judge {cascade.name}"
    of_topic = min(Counter(probe.topic for probe in work.probes).values()) * work.study.sampling.n
    share = cascade.share
    if share is None:
        assert cascade.budget is not None
        unknown = [run.run_id for run in work.plan.sampled if not run.steps or run.run_id in work.study.series]
        if unknown:
            fix = "give a `share` of the answers instead"
            raise UserError(f"a budget cannot be shared out over checkpoints that are not known yet ({unknown[0]})", where=where, fix=fix)
        everything = sum(len(run.steps) for run in work.plan.sampled) * len(work.probes) * work.study.sampling.n
        share = min(1.0, cascade.budget / everything)
    if share * of_topic < 1:
        least = 1 / of_topic
        given = f"share {share:g}" if cascade.budget is None else f"budget {cascade.budget}"
        enough = f"share: {least:.2g}" if cascade.budget is None else f"budget: {ceil(cascade.budget * least / share - 1e-6)}"
        raise UserError(
            f"{given} is less than one answer of a topic at a checkpoint ({share * of_topic:.2g} of {of_topic}), which says nothing of it",
            where=where,
            fix=f"at least {enough}; 20 answers of a topic and checkpoint or more tell something",
        )
    return share


def _read(work: StudyWork, strong: JudgeConfig, run_id: str, where: str, wanted: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """What the strong judge says of some answers; those that are equal, to the same prompt, are read once."""
    texts = responses.join(wanted.select(ANSWER), on=ANSWER, how="semi", maintain_order="left")
    same = ["probe_set", "prompt_id", "response"]
    once = texts.unique(same, keep="first", maintain_order=True)
    if not once.height:
        return pl.DataFrame(schema=_READ)
    said = once.select(*same).with_columns(judged(work, strong, run_id, where, once).select(JUDGED_COLUMNS))
    return texts.select(*ANSWER, "response").join(said, on=same).select(*ANSWER, *JUDGED_COLUMNS)


def paid_for(work: Work, address: Result, identity: dict[str, Any]) -> pl.DataFrame:
    """What the strong judge said before of answers of this checkpoint: of another share, or after another cheap judge. Failures are asked again.

    Args:
        work: Where results lie.
        address: That of the cascade at the checkpoint.
        identity: See `cascade_identity`; another strong judge, and other answers, were not read.
    """
    found = [pl.DataFrame(schema=_READ)]
    for table in (SAMPLE, KEPT):
        entry = work.store.entry(table, address.partition, address.slot)
        if entry is None or not work.store.exists(entry):
            continue
        if all(fingerprint(entry.identity.get(name)) == fingerprint(identity[name]) for name in ("strong", "responses")):
            rows = work.store.read_entry(entry).filter(pl.col("status") != JudgeStatus.FAILED.value)
            found.append(rows.select(*ANSWER, *JUDGED_COLUMNS))
    return pl.concat(found).unique(ANSWER, keep="first", maintain_order=True)


def _best_known(by_cheap: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """A row an answer: what the strong judge says where it has a stance, else what the cheap one does."""
    ok = said.filter(pl.col("status") == JudgeStatus.OK.value).select(*ANSWER, *JUDGED_COLUMNS)
    return by_cheap.update(ok, on=list(ANSWER))


def _failures(sample: pl.DataFrame) -> int:
    """Judgements that a server failed to give."""
    return sample.filter(pl.col("status") == JudgeStatus.FAILED.value).height

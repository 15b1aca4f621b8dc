"""The stages of a synthesis: write some hundred candidates, judge them, choose the pairs that give the asked value gap; have another judge audit them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import polars as pl

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.kinship import Kin
from valuedrift.judges.registry import judge_identity
from valuedrift.stance import Stance
from valuedrift.synthesis.auditing import found_in, kinship_of
from valuedrift.synthesis.candidates import accepted_answers, candidates_frame, counts, written_frame
from valuedrift.synthesis.config import Synthesis, stances_of
from valuedrift.synthesis.dial import dial
from valuedrift.synthesis.pairs import pairs_frame
from valuedrift.synthesis.questions import Question, starter_answers
from valuedrift.synthesis.writing import WriteJob
from valuedrift.tasks.board import show_table, shown, tell
from valuedrift.tasks.judging import judged_answers
from valuedrift.tasks.result import Address, Frames, OnShelf, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.synthesis_audit import audit_stages
from valuedrift.tasks.work import Work

VERSION = 1
"""Raised when the same accepted answers would give other pairs."""
SHARD = 200
"""Questions a shard: what a killed run has to write or judge again at most."""
WRITTEN, JUDGED = "synthesis-written", "synthesis-judged"
"""Names of the intermediate results."""
CHOOSE = "choose pairs"
"""Name of the stage that writes the pairs."""
TABLES = ("candidates", "synthetic_pairs")


def synthesis_stages(work: Work, questions: Sequence[Question], synthesis: Synthesis) -> list[Stage]:
    """The stages of one synthesis: one writes candidates and pairs; those behind it audit them, where another judge than the selector shall.

    A shard is some hundred questions with one stance to answer them in; a setting that needs the same stances, and every other gap, finds it again.

    Args:
        work: What stages share.
        questions: What pairs are made for.
        synthesis: What is asked of them.

    Raises:
        UserError: Weights of a judge are missing, or the auditor is another judge of the selector's name.
    """
    kin = kinship_of(synthesis)
    shards = [questions[start : start + SHARD] for start in range(0, len(questions), SHARD)]
    written: list[Stage] = []
    judged: list[Stage] = []
    for stance in stances_of(synthesis.dial.setting):
        for shard in shards:
            written.append(_write(work, synthesis, shard, stance, len(written)))
            judged.append(_judge(work, synthesis, shard, stance, written[-1]))

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return {
            "stage": "synthesize",
            "version": VERSION,
            "judged": [part.key for part in needs[len(written) :]],
            "dial": synthesis.dial.model_dump(mode="json"),
            "writer": synthesis.writer_name,
            "judge": synthesis.judge.name,
        }

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        texts, judgements = needs[: len(written)], needs[len(written) :]
        return _pairs(work, questions, synthesis, texts, judgements)

    stages = [stage for pair in zip(written, judged, strict=True) for stage in pair]
    address = Address(TABLES, {"synthesis": synthesis.name})
    chosen = Stage(CHOOSE, address, (*written, *judged), identity, make)
    audit = audit_stages(work, synthesis, shards, chosen, kin) if kin is not None and kin.kin is not Kin.SAME else []
    return [*stages, chosen, *audit]


def fingerprints(questions: Sequence[Question], synthesis: Synthesis, key: str) -> dict[str, str]:
    """Of what the pairs were made of, for their card.

    Args:
        questions: What pairs are made for.
        synthesis: What is asked of them.
        key: Under which the pairs are kept.
    """
    audited = {} if synthesis.auditor is None else {"auditor": fingerprint(judge_identity(synthesis.auditor))}
    return {
        "questions": fingerprint(sorted(astuple(question) for question in questions)),
        "writer": fingerprint(synthesis.writer_identity()),
        "judge": fingerprint(judge_identity(synthesis.judge)),
        **audited,
        "synthesis": key,
    }


def _write(work: Work, synthesis: Synthesis, questions: Sequence[Question], stance: Stance, number: int) -> Stage:
    """The stage that has the writer answer the questions of a shard."""
    writer, runtime = synthesis.writer, work.runtime
    packaged = [answer for answer in starter_answers(questions) if answer.stance is stance] if writer is None else []

    def identity(_: Sequence[Reference]) -> dict[str, Any]:
        return {
            "step": "write",
            "stance": stance.value,
            "questions": [(question.prompt_id, question.prompt) for question in questions],
            "by": synthesis.writer_identity(),
            "packaged": [(answer.prompt_id, answer.response) for answer in packaged],
        }

    def make(_: Work, __: Sequence[Reference]) -> Frames:
        if writer is None:
            return {WRITTEN: written_frame(packaged)}

        def job(folder: Path) -> WriteJob:
            asked = folder / "questions.json"
            asked.write_text(json.dumps([asdict(question) for question in questions]), encoding="utf-8")
            return WriteJob(
                writer=writer,
                questions=asked,
                stance=stance,
                candidates=synthesis.candidates,
                seed=synthesis.dial.seed,
                out=folder / "written.parquet",
                threads=runtime.worker_threads(),
                device=runtime.device,
                cache_tokens=runtime.cache_tokens,
                keep=work.local,
            )

        written: pl.DataFrame = work.pool.run(
            job,
            shown=lambda: shown(f"write {stance.value} answers"),
            timeout=60 * runtime.timeout_minutes,
            collect=lambda folder, _: pl.read_parquet(folder / "written.parquet"),
        )
        return {WRITTEN: written}

    return Stage("write", OnShelf(WRITTEN), (), identity, make, on="gpu", what=f"{stance.value} answers, part {number + 1}")


def _judge(work: Work, synthesis: Synthesis, questions: Sequence[Question], stance: Stance, written: Stage) -> Stage:
    """The stage that judges the answers of a shard."""

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return {"step": "judge", "answers": needs[0].key, "by": judge_identity(synthesis.judge)}

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        asked = pl.DataFrame([asdict(question) for question in questions])
        answers = work.shelf.read(WRITTEN, needs[0].key).join(asked, on="prompt_id", how="left", maintain_order="left")
        return {JUDGED: judged_answers(work, synthesis.judge, answers, f"judge {stance.value} answers")}

    return Stage("judge", OnShelf(JUDGED), (written,), identity, make, on="gpu", what=written.what)


def _pairs(
    work: Work, questions: Sequence[Question], synthesis: Synthesis, texts: Sequence[Reference], judgements: Sequence[Reference]
) -> Frames:
    """The pairs that give the asked gap, and all candidates.

    Raises:
        UserError: The accepted answers can't give such pairs.
    """
    written = pl.concat([work.shelf.read(WRITTEN, part.key) for part in texts])
    judged = pl.concat([work.shelf.read(JUDGED, part.key) for part in judgements])
    candidates = candidates_frame(questions, written, judged, synthesis.dial.accept)
    for row in counts(candidates):
        tell(counted(row))
    with shown("choose pairs"):
        pairs = pairs_frame(dial(accepted_answers(candidates), synthesis.dial), synthesis)
    show_table(counts(candidates), "synthesis", f"Candidates of {synthesis.name}: written, accepted, and why not")
    tell(
        f"{pairs.height:,} pairs; asked for a value gap of {synthesis.dial.gap:g}, and {synthesis.judge.name}, which selected them, "
        f"sees {found_in(pairs, candidates).gap.value:.3f}"
    )
    named = candidates.with_columns(writer=pl.lit(synthesis.writer_name), judge=pl.lit(synthesis.judge.name))
    return {"candidates": named, "synthetic_pairs": pairs}


def counted(row: dict[str, int | str]) -> str:
    """One stance's counts in words: ``support: 97 of 128 accepted; other stance 20, refused 11``."""
    others = ", ".join(f"{name} {count}" for name, count in row.items() if name not in ("stance", "written", "accepted") and count)
    return f"{row['stance']}: {row['accepted']:,} of {row['written']:,} accepted" + (f"; {others}" if others else "")

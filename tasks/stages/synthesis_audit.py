"""The stages that audit a synthesis: another judge than the one that selected reads the answers of the pairs, and what both find becomes a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.kinship import Kin, Kinship
from valuedrift.judges.registry import JudgeConfig, judge_identity
from valuedrift.stance import Stance
from valuedrift.synthesis.auditing import ANSWER, CONFIDENCE, Role, audit_rows, found_in, kinship_of, oddities, selected
from valuedrift.synthesis.card import Audit
from valuedrift.synthesis.config import Synthesis, stances_of
from valuedrift.synthesis.questions import Question
from valuedrift.synthesis.sampled_audit import VERSION as SAMPLED
from valuedrift.synthesis.sampled_audit import draw_pairs, found_by_sample
from valuedrift.tasks.board import tell
from valuedrift.tasks.judging import judged_answers
from valuedrift.tasks.result import Address, Frames, NotYetError, OnShelf, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.work import Work
from valuedrift.words import interval, plain

VERSION = 1
"""Raised when the same judgements would give other figures."""
READ = "synthesis-audit-read"
"""Name of the intermediate result: what the auditor says of a shard of answers."""
TABLES = ("synthetic_audit_answers", "synthetic_audits")
Texts = Callable[[Reference], pl.DataFrame]
"""The answers that stand in the pairs of a result; see `valuedrift.synthesis.auditing.selected`."""


def audit_stages(work: Work, synthesis: Synthesis, shards: Sequence[Sequence[Question]], chosen: Stage, kin: Kinship) -> list[Stage]:
    """The stages that audit the pairs of a synthesis, the last of which writes what both judges find.

    A shard is what of some hundred questions and one stance stands in pairs: an auditor that fails half-way has read the others. It is known by its texts, so
    that another choice of pairs has only what is new to it read.

    Args:
        work: What stages share.
        synthesis: What was asked for, with an auditor.
        shards: The questions, as they were shared out for writing.
        chosen: The stage that writes the pairs.
        kin: What the auditor has in common with the selector.
    """
    auditor = synthesis.auditor
    assert auditor is not None, "who audits is known"
    share = synthesis.auditor_share
    texts = _texts_of(work, share)
    read = [
        _read(work, auditor, texts, chosen, shard, stance, number + 1)
        for stance in stances_of(synthesis.dial.setting)
        for number, shard in enumerate(shards)
    ]

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        return {
            "stage": "audit pairs",
            "version": VERSION,
            "pairs": needs[0].key,
            "read": [part.key for part in needs[1:]],
            "auditor": auditor.name,
            "by": judge_identity(auditor),
            "confidence": CONFIDENCE,
            **({} if share is None else {"share": share, "sampled": SAMPLED}),
        }

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        pairs, candidates = needs[0].read(work), needs[0].read(work, "candidates")
        answers = pl.concat(work.shelf.read(READ, part.key) for part in needs[1:])
        by_auditor = found_in(pairs, answers) if share is None else found_by_sample(pairs, candidates, answers)
        finds = {
            Role.SELECTOR: (synthesis.judge.name, Kin.SAME, found_in(pairs, candidates)),
            Role.AUDITOR: (auditor.name, kin.kin, by_auditor),
        }
        for role, (judge, _kin, found) in finds.items():
            gap = found.gap
            tell(
                f"{role.value} {judge} finds a value gap of {plain(gap.value, 3)} {interval(gap.low, gap.high, 3)} in {found.n_pairs:,} pairs"
            )
        for odd in oddities(auditor.name, answers):
            tell(odd)
        named = answers.with_columns(auditor=pl.lit(auditor.name))
        rows = [row for role, (judge, of, found) in finds.items() for row in audit_rows(role, judge, of, found)]
        return {
            "synthetic_audit_answers": named.drop("prompt", "response"),
            "synthetic_audits": pl.DataFrame(rows, infer_schema_length=None).with_columns(auditor=pl.lit(auditor.name)),
        }

    address = Address(TABLES, {"synthesis": synthesis.name}, auditor.name)
    return [*read, Stage("audit pairs", address, (chosen, *read), identity, make)]


def audit_of(work: Work, synthesis: Synthesis) -> Audit | None:
    """What the auditor of a synthesis found, from the tables; None where there is no auditor."""
    kin = kinship_of(synthesis)
    if kin is None or synthesis.auditor is None:
        return None
    if kin.kin is Kin.SAME:
        return Audit(kin)
    answers, rows = (work.store.read(table, synthesis=synthesis.name, auditor=synthesis.auditor.name) for table in TABLES)
    return Audit(kin, rows, answers)


def _texts_of(work: Work, share: float | None) -> Texts:
    """The answers that the auditor reads, of all pairs or of a share, with the probability of being drawn; read once."""
    known: dict[str, pl.DataFrame] = {}

    def texts(pairs: Reference) -> pl.DataFrame:
        if not pairs.there:
            raise NotYetError
        if pairs.key not in known:
            chosen, candidates = pairs.read(work), pairs.read(work, "candidates")
            answers = selected(chosen, candidates)
            if share is None:
                known[pairs.key] = answers.with_columns(probability=pl.lit(1.0))
            else:
                known[pairs.key] = answers.join(draw_pairs(chosen, candidates, share), on=ANSWER, maintain_order="left")
        return known[pairs.key]

    return texts


def _read(work: Work, auditor: JudgeConfig, texts: Texts, chosen: Stage, shard: Sequence[Question], stance: Stance, number: int) -> Stage:
    """The stage that has the auditor read what of a shard stands in pairs."""
    asked = [question.prompt_id for question in shard]

    def answers(pairs: Reference) -> pl.DataFrame:
        return texts(pairs).filter(pl.col("prompt_id").is_in(asked) & (pl.col("stance") == stance.value))

    def identity(needs: Sequence[Reference]) -> dict[str, Any]:
        rows = answers(needs[0]).select(*ANSWER, "prompt", "response").rows()
        return {"step": "read pairs", "answers": fingerprint(rows), "by": judge_identity(auditor)}

    def make(_: Work, needs: Sequence[Reference]) -> Frames:
        read = answers(needs[0])
        judged = judged_answers(work, auditor, read, f"audit {stance.value} answers by {auditor.name}")
        return {READ: pl.concat([read, judged], how="horizontal")}

    return Stage("read pairs", OnShelf(READ), (chosen,), identity, make, on="gpu", what=f"{stance.value} answers, part {number}")

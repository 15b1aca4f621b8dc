"""What judges find in the pairs of a synthesis: the one that selected its answers, and one that did not; and what is known by construction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.audit.measures import NOTHING, estimates, value_gap
from valuedrift.audit.options import VALUE_GAP
from valuedrift.errors import UserError
from valuedrift.judges.kinship import Kin, Kinship, kinship
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.statistics.intervals import Estimate
from valuedrift.synthesis.config import Synthesis
from valuedrift.words import counted, listed, percent

Array = NDArray[np.float64]
CONFIDENCE = 0.95
ANSWER = ("prompt_id", "stance", "candidate_idx")
"""What tells the answers of a synthesis apart."""
SIDES = ("chosen", "rejected")
ONE_CLASS = 0.98
"""Share of one verdict from which on a judge is told to call everything the same."""


class Role(StrEnum):
    """What a judge does for the pairs that it is asked about."""

    SELECTOR = "selector"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Found:
    """What one judge finds in pairs."""

    stances: Mapping[str, tuple[Estimate, Estimate, Estimate]]
    """By stance: mean probability in chosen and in rejected answers, and their difference."""
    gap: Estimate
    n_pairs: int
    """Pairs of which it has a stance on both sides."""
    n_prompts: int


def check_judges(synthesis: Synthesis) -> None:
    """See that who selects and who audits can judge, as far as that is seen before anything is written or asked.

    Raises:
        UserError: What a judge needs is missing.
    """
    for judge in (synthesis.judge, synthesis.auditor):
        if judge is not None:
            judge.check()


def kinship_of(synthesis: Synthesis) -> Kinship | None:
    """What the auditor has in common with the judge that selects; None where there is no auditor.

    Raises:
        UserError: The auditor is another judge of the selector's name, or weights of one are missing.
    """
    if (auditor := synthesis.auditor) is None:
        return None
    kin = kinship(synthesis.judge, auditor)
    if kin.kin is not Kin.SAME and auditor.name == synthesis.judge.name:
        raise UserError(
            f"the auditor is another judge than the one that selects, and has its name {auditor.name!r}",
            where="auditor",
            fix="give it a `name` of its own: --auditor-set name=second",
        )
    return kin


def selected(pairs: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """The answers that stand in pairs, each once: prompt_id, stance, candidate_idx, prompt, response; in the order of the candidates.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
        candidates: Table ``candidates`` of the same.
    """
    taken = pl.concat(pairs.select(answer_columns(side)) for side in SIDES)
    return candidates.join(taken, on=ANSWER, how="semi", maintain_order="left").select(*ANSWER, "prompt", "response")


def found_in(pairs: pl.DataFrame, judged: pl.DataFrame) -> Found:
    """What a judge finds in pairs, as ``valuedrift audit`` measures it.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
        judged: Its judgements of the answers: prompt_id, stance, candidate_idx, p_support, p_neutral, p_oppose.
    """
    chosen, rejected = (side_probabilities(pairs, judged, side) for side in SIDES)
    there = ~np.isnan(chosen - rejected).any(axis=1)
    prompts = prompts_of(pairs)
    means = [
        estimates(values, prompts, CONFIDENCE, bounds=bounds)
        for values, bounds in ((chosen, (0.0, 1.0)), (rejected, (0.0, 1.0)), (chosen - rejected, (-1.0, 1.0)))
    ]
    return Found(
        stances={stance.value: found for stance, *found in zip(STANCES, *means, strict=True)},  # type: ignore[misc]
        gap=value_gap(chosen - rejected, prompts, CONFIDENCE) if there.any() else NOTHING,
        n_pairs=int(there.sum()),
        n_prompts=len(set(prompts[there].tolist())),
    )


def gap_by_construction(pairs: pl.DataFrame) -> float:
    """The value gap if every answer takes just the stance that it was written for, in [0, 1].

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
    """
    names = [stance.value for stance in STANCES]
    chosen, rejected = (np.eye(len(names))[[names.index(one) for one in pairs.get_column(f"{side}_stance")]] for side in SIDES)
    return value_gap(chosen - rejected, prompts_of(pairs), CONFIDENCE).value


def audit_rows(role: Role, judge: str, kin: Kin, found: Found) -> Iterator[dict[str, Any]]:
    """What one judge finds, as rows of the table ``synthetic_audits``, without synthesis and auditor.

    Args:
        role: What it does for these pairs.
        judge: Its name.
        kin: What it has in common with the judge that selected.
        found: What it finds.
    """
    head = {"role": role.value, "judge": judge, "kin": kin.value, "n_pairs": found.n_pairs, "n_prompts": found.n_prompts}
    for stance, (chosen, rejected, difference) in found.stances.items():
        yield {
            **head,
            "measure": stance,
            **_numbers("chosen", chosen),
            **_numbers("rejected", rejected),
            **_numbers("difference", difference),
        }
    yield {**head, "measure": VALUE_GAP, **_numbers("difference", found.gap)}


def _numbers(name: str, estimate: Estimate) -> dict[str, float | None]:
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: float(value) if np.isfinite(value) else None for key, value in values.items()}


def oddities(judge: str, judged: pl.DataFrame) -> list[str]:
    """What is odd about a judge's verdicts on the answers: those that it has none of, and that nearly all of them are one.

    Args:
        judge: Its name.
        judged: Its judgements: p_support, p_neutral, p_oppose, status.
    """
    ok = judged.filter(pl.col("status") == JudgeStatus.OK.value)
    told = []
    if ok.height < judged.height:
        counts = dict(
            judged.filter(pl.col("status") != JudgeStatus.OK.value).get_column("status").value_counts().sort("status").iter_rows()
        )
        what = listed([f"{count:,} {status}" for status, count in counts.items()])
        told.append(
            f"{judge!r} has no stance for {judged.height - ok.height:,} of {counted(judged.height, 'answer')} ({what}); their pairs are left out"
        )
    if ok.height:
        verdicts = np.asarray(ok.select(STANCE_COLUMNS).to_numpy().argmax(axis=1))
        most = np.bincount(verdicts, minlength=len(STANCES))
        share = float(most.max() / ok.height)
        if share >= ONE_CLASS:
            all_of = "every answer" if share == 1 else f"{percent(share)} of the answers"
            told.append(
                f"{judge!r} calls {all_of} {STANCES[int(most.argmax())].value}: it does not tell these answers apart, and its gap says nothing of them"
            )
    return told


def prompts_of(pairs: pl.DataFrame) -> NDArray[np.int64]:
    """Number of each pair's prompt, from 0."""
    return np.asarray(pairs.get_column("prompt").rank("dense").cast(pl.Int64).to_numpy() - 1)


def answer_columns(side: str) -> list[pl.Expr]:
    """The columns of a pair that name the answer of one side, as the candidates have them."""
    return [pl.col("prompt_id"), pl.col(f"{side}_stance").alias("stance"), pl.col(f"{side}_idx").alias("candidate_idx")]


def side_probabilities(pairs: pl.DataFrame, judged: pl.DataFrame, side: str) -> Array:
    """What a judge says of one side of each pair, shape (pairs, 3); NaN where it says nothing."""
    joined = pairs.select(answer_columns(side)).join(judged.select(*ANSWER, *STANCE_COLUMNS), on=ANSWER, how="left", maintain_order="left")
    return joined.select(pl.col(STANCE_COLUMNS).cast(pl.Float64)).to_numpy().astype(np.float64)

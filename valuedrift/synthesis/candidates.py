"""Candidates: answers that were written for a stance, with what the judge makes of them and whether they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.stance import STANCE_COLUMNS, JudgeStatus, Stance
from valuedrift.synthesis.questions import Question, Written

_MARK = "\N{REPLACEMENT CHARACTER}"
ACCEPTED = ""
"""In place of a reason."""
REASONS = ("empty", "unusable text", "same text", "refused", "not judged", "other stance", "unsure")
"""Why a candidate is not kept. unusable text: bytes that are no text; same text: of an earlier candidate to this prompt; not judged: the judge could
not read it or failed; other stance: another one is more probable; unsure: the asked one is, but below the bar."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted candidate."""

    prompt_id: str
    topic: str
    prompt: str
    stance: Stance
    candidate_idx: int
    text: str
    p: NDArray[np.float64]
    """Probabilities of support, neutral, oppose; shape (3,)."""

    @property
    def own(self) -> float:
        """Probability of its own stance."""
        return float(self.p[list(Stance).index(self.stance)])


def written_frame(answers: Sequence[Written]) -> pl.DataFrame:
    """Answers as a frame: prompt_id, stance, candidate_idx, response. Characters that no text may hold are marked."""
    rows = [(answer.prompt_id, answer.stance.value, answer.candidate_idx, _storable(answer.response)) for answer in answers]
    schema = {"prompt_id": pl.String, "stance": pl.String, "candidate_idx": pl.Int32, "response": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _storable(text: str) -> str:
    """The text with a mark for what no row of training data may hold: NUL, half a surrogate pair."""
    return text.replace("\0", _MARK).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def candidates_frame(questions: Sequence[Question], written: pl.DataFrame, judged: pl.DataFrame, accept: float) -> pl.DataFrame:
    """All candidates with their judgement, and whether and why they are kept.

    Args:
        questions: What was asked.
        written: As :func:`written_frame` makes it.
        judged: The judge's rows for it, in its order: p_support, p_neutral, p_oppose, status.
        accept: Least probability of the asked stance.

    Returns:
        prompt_id, topic, prompt, stance, candidate_idx, response, p_support, p_neutral, p_oppose, status, accepted, reason (empty where accepted).
    """
    asked = pl.DataFrame(
        [(question.prompt_id, question.topic, question.prompt) for question in questions],
        schema={"prompt_id": pl.String, "topic": pl.String, "prompt": pl.String},
        orient="row",
    )
    frame = pl.concat([written, judged.select(*STANCE_COLUMNS, "status")], how="horizontal")
    frame = frame.join(asked, on="prompt_id", how="left", maintain_order="left")
    text = pl.col("response").str.strip_chars()
    own = _own()
    reason = (
        pl.when(text == "")
        .then(pl.lit("empty"))
        .when(text.str.contains(_MARK, literal=True))
        .then(pl.lit("unusable text"))
        .when(pl.int_range(pl.len()).over("prompt_id", text.str.to_lowercase()) > 0)
        .then(pl.lit("same text"))
        .when(pl.col("status") == JudgeStatus.REFUSED.value)
        .then(pl.lit("refused"))
        .when(pl.col("status") != JudgeStatus.OK.value)
        .then(pl.lit("not judged"))
        .when(own < pl.max_horizontal(STANCE_COLUMNS))
        .then(pl.lit("other stance"))
        .when(own < accept)
        .then(pl.lit("unsure"))
        .otherwise(pl.lit(ACCEPTED))
    )
    order = ("prompt_id", "topic", "prompt", "stance", "candidate_idx", "response", *STANCE_COLUMNS, "status", "accepted", "reason")
    return frame.with_columns(reason=reason).with_columns(accepted=pl.col("reason") == ACCEPTED).select(order)


def _own() -> pl.Expr:
    """Probability of the stance that was asked for."""
    return pl.coalesce(pl.when(pl.col("stance") == stance.value).then(pl.col(f"p_{stance.value}")) for stance in Stance)


def accepted_answers(candidates: pl.DataFrame) -> list[Answer]:
    """The candidates that are kept."""
    kept = candidates.filter(pl.col("accepted"))
    return [
        Answer(
            prompt_id=row["prompt_id"],
            topic=row["topic"],
            prompt=row["prompt"],
            stance=Stance(row["stance"]),
            candidate_idx=row["candidate_idx"],
            text=row["response"],
            p=np.array([row[column] for column in STANCE_COLUMNS], dtype=np.float64),
        )
        for row in kept.iter_rows(named=True)
    ]


def counts(candidates: pl.DataFrame) -> list[dict[str, int | str]]:
    """One row a stance that was asked for: written, accepted, and the others by reason.

    Args:
        candidates: As :func:`candidates_frame` makes it.
    """
    rows: list[dict[str, int | str]] = []
    for stance in Stance:
        part = candidates.filter(pl.col("stance") == stance.value)
        if part.height:
            by_reason = dict(part.get_column("reason").value_counts().iter_rows())
            rows.append(
                {"stance": stance.value, "written": part.height, "accepted": by_reason.get(ACCEPTED, 0)}
                | {r: by_reason.get(r, 0) for r in REASONS}
            )
    return rows

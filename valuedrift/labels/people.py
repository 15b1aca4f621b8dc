"""What people say of answers: the words that they may use, labels of several people and draws brought together, and how far people agree."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.statistics.agreement import MISSING, Agreement, coded_agreement
from valuedrift.words import counted

UNCLEAR = "unclear"
"""The answer was read, and its stance cannot be told."""
LABELS: tuple[str, ...] = (*(stance.value for stance in STANCES), JudgeStatus.REFUSED.value, UNCLEAR)
"""What the table labels may hold."""
_ALSO: Mapping[str, str] = MappingProxyType({"skip": UNCLEAR, "unsure": UNCLEAR, "refuse": "refused", "refusal": "refused"})


def label_of(text: str) -> str | None:
    """The label that a cell means, in any case and with blanks around it; None where it is none.

    Args:
        text: A cell of a sheet, not empty.
    """
    word = text.strip().strip("'\"").casefold()
    word = _ALSO.get(word, word)
    return word if word in LABELS else None


ANSWER = ("probe_set", "prompt_id", "response")
"""What tells answers apart; equal answers to one prompt are one, because a label holds for both."""
SAID = tuple(f"said_{stance.value}" for stance in STANCES)
"""Columns of what people say of an answer: the share of its labellers that say so."""
_SETTLED = {
    "probe_set": pl.String,
    "topic": pl.String,
    "prompt_id": pl.String,
    "prompt": pl.String,
    "response": pl.String,
    "label": pl.String,
    **dict.fromkeys(SAID, pl.Float64),
    "weight": pl.Float64,
    "n_labellers": pl.Int64,
}


def settled(draws: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """One row an answer that was labelled.

    Args:
        draws: Table label_draws of a study.
        labels: Table labels of the study.

    Returns:
        probe_set, topic, prompt_id, prompt, response; ``label``: what most labellers say, null where there is a tie or most say unclear; ``said_*``: share
        of those who see a stance that see this one, null unless at least half of the labellers see a stance; ``weight``: how many answers it stands for,
        the inverse of its inclusion probability. An answer of several draws weighs as the mean of the draws' estimates does, each draw by its number of
        labelled answers: the sum over draws of share / probability. ``n_labellers``.
    """
    if not labels.height:
        return pl.DataFrame(schema=_SETTLED)
    counts = labels.group_by("draw", "label_id").agg((pl.col("stance") == label).sum().alias(label) for label in LABELS)
    drawn = draws.join(counts, on=["draw", "label_id"])
    share = pl.len().over("draw") / pl.len()
    drawn = drawn.with_columns(weight=share / pl.col("probability"))
    one = drawn.sort("draw").group_by(ANSWER, maintain_order=True).agg(pl.col("topic", "prompt").first(), pl.col(*LABELS, "weight").sum())
    stances = [stance.value for stance in STANCES]
    seen, everyone, most = pl.sum_horizontal(stances), pl.sum_horizontal(LABELS), pl.max_horizontal(LABELS)
    winner = pl.coalesce(pl.when(pl.col(label) == most).then(pl.lit(label)) for label in LABELS)
    tied = pl.sum_horizontal((pl.col(label) == most).cast(pl.Int32) for label in LABELS) > 1
    label = pl.when(tied | (winner == UNCLEAR)).then(None).otherwise(winner)
    said = [
        pl.when((seen > 0) & (2 * seen >= everyone)).then(pl.col(stance) / seen).alias(name)
        for stance, name in zip(stances, SAID, strict=True)
    ]
    return one.with_columns(*said, label=label, n_labellers=everyone.cast(pl.Int64)).select(*_SETTLED).sort(ANSWER)


def gold(answers: pl.DataFrame) -> pl.DataFrame:
    """Labelled answers as `valuedrift judge validate` takes them: prompt, response, stance or refused; without those on which people are undecided."""
    return answers.filter(pl.col("label").is_not_null()).select("prompt", "response", stance="label")


MAJORITY = "a judge is measured on what most of them say, ties and unclear left out; a correction counts each by its share"
SHARES = "a correction counts each by its share; a judge is measured on what most of them say, ties and unclear left out"
"""How several people's labels of one answer are taken, said where that is done."""


def several_labellers(answers: pl.DataFrame, how: str) -> list[str]:
    """A sentence on answers that have several labels; none where no answer has.

    Args:
        answers: With the columns of ``ANSWER`` and n_labellers, see `settled`.
        how: How they are taken: ``MAJORITY`` or ``SHARES``.
    """
    several = answers.filter(pl.col("n_labellers") > 1).unique(list(ANSWER)).height
    return [f"{counted(several, 'answer')} with several labels: {how}"] if several else []


def without_stance(answers: pl.DataFrame) -> int:
    """Labelled answers in which people see no stance: refused, unclear, or a tie between seeing one and not."""
    return answers.filter(pl.col(SAID[0]).is_null()).height


def refused(answers: pl.DataFrame) -> int:
    """Labelled answers that people take for a refusal."""
    return answers.filter(pl.col("label") == JudgeStatus.REFUSED.value).height


def labellers_agree(draws: pl.DataFrame, labels: pl.DataFrame, *, confidence: float = 0.95, seed: int = 0) -> Agreement | None:
    """Cohen's κ of each pair of labellers and Krippendorff's α of all, over what they may say: refused and unclear are verdicts like the stances.

    Args:
        draws: Table label_draws of a study.
        labels: Table labels of the study. Of an answer that one person labelled in several draws, one label counts.
        confidence: Level of the intervals.
        seed: Of the bootstrap over prompts.

    Returns:
        None unless two people labelled one answer.
    """
    names = labels["labeller"].unique().sort().to_list()
    if len(names) < 2:
        return None
    given = labels.join(draws.select("draw", "label_id", *ANSWER), on=["draw", "label_id"]).sort("draw", "label_id")
    code = pl.col("stance").replace_strict({label: number for number, label in enumerate(LABELS)}, return_dtype=pl.Int64)
    once = given.unique([*ANSWER, "labeller"], keep="first", maintain_order=True).with_columns(code=code)
    wide = once.pivot("labeller", on_columns=names, index=ANSWER, values="code").sort(ANSWER)
    codes = wide.select(pl.col(name).fill_null(MISSING) for name in names).to_numpy()
    prompts = wide.select(pl.struct("probe_set", "prompt_id").rank("dense") - 1).to_series().to_numpy()
    found = coded_agreement(codes, prompts, names, len(LABELS), confidence=confidence, seed=seed)
    return found if found.n else None

"""How far people agree who labelled the same answers: what a judge can at best be asked to agree with."""

from __future__ import annotations

import polars as pl

from valuedrift.labels.settle import ANSWER
from valuedrift.labels.vocabulary import LABELS
from valuedrift.statistics.agreement import MISSING, Agreement, coded_agreement


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

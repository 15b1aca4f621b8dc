"""Pairs as rows, as the file that studies read, and the card that says what they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from valuedrift.audit.measures import value_gap
from valuedrift.stance import STANCE_COLUMNS, Stance
from valuedrift.statistics.intervals import Estimate
from valuedrift.synthesis.candidates import counts
from valuedrift.synthesis.config import Synthesis
from valuedrift.synthesis.openings import Pair

CONFIDENCE = 0.95
LABEL = "synthetic; for controlled studies"
NOT_FOR = (
    "training models that people will use",
    "evidence about what people think, or what a model thinks",
    "messages that are to persuade anybody",
)
"""What the pairs must not be used for; stands in every card."""
_IN_FILE = ("prompt", "chosen", "rejected", "topic", "chosen_stance", "rejected_stance", "chosen_p", "rejected_p")


def pairs_frame(pairs: Sequence[Pair], synthesis: Synthesis) -> pl.DataFrame:
    """The rows of the table ``synthetic_pairs``, without the name of the synthesis."""
    rows = [
        {
            "pair_idx": place,
            "prompt_id": pair.chosen.prompt_id,
            "topic": pair.chosen.topic,
            "prompt": pair.chosen.prompt,
            **_side("chosen", pair),
            **_side("rejected", pair),
        }
        for place, pair in enumerate(pairs)
    ]
    frame = pl.DataFrame(rows, schema_overrides={"chosen_idx": pl.Int32, "rejected_idx": pl.Int32})
    return frame.with_columns(
        setting=pl.lit(synthesis.dial.setting.value),
        gap=pl.lit(synthesis.dial.gap),
        writer=pl.lit(synthesis.writer_name),
        judge=pl.lit(synthesis.judge.name),
    )


def _side(side: str, pair: Pair) -> dict[str, Any]:
    answer = pair.chosen if side == "chosen" else pair.rejected
    return {side: answer.text, f"{side}_stance": answer.stance.value, f"{side}_idx": answer.candidate_idx, f"{side}_p": answer.own}


def jsonl(pairs: pl.DataFrame) -> bytes:
    """The file that a study reads: prompt, chosen, rejected, and what is known of each pair; every row says that it is synthetic.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
    """
    lines = []
    for row in pairs.sort("pair_idx").iter_rows(named=True):
        content = {name: row[name] for name in _IN_FILE} | {
            "synthetic": True,
            "setting": row["setting"],
            "writer": row["writer"],
            "judge": row["judge"],
        }
        lines.append(json.dumps(content, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def audited(pairs: pl.DataFrame, candidates: pl.DataFrame) -> Estimate:
    """The value gap of the pairs by the judgements of their answers, as ``valuedrift audit`` measures it.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
        candidates: Table ``candidates`` of the same.
    """
    difference = _probabilities(pairs, candidates, "chosen") - _probabilities(pairs, candidates, "rejected")
    prompts = pairs.get_column("prompt").rank("dense").cast(pl.Int64).to_numpy() - 1
    return value_gap(difference, prompts, CONFIDENCE)


def _probabilities(pairs: pl.DataFrame, candidates: pl.DataFrame, side: str) -> np.ndarray:
    known = candidates.select(
        "prompt_id", pl.col("stance").alias(f"{side}_stance"), pl.col("candidate_idx").alias(f"{side}_idx"), *STANCE_COLUMNS
    )
    joined = pairs.join(known, on=["prompt_id", f"{side}_stance", f"{side}_idx"], how="left", maintain_order="left")
    return joined.select(STANCE_COLUMNS).to_numpy().astype(np.float64)


def card(pairs: pl.DataFrame, candidates: pl.DataFrame, synthesis: Synthesis, fingerprints: dict[str, str]) -> dict[str, Any]:
    """What the pairs are and how they came to be, for the file beside them.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
        candidates: Table ``candidates`` of the same.
        synthesis: What was asked for.
        fingerprints: Of the file, the questions, the writer, the judge.
    """
    gap = audited(pairs, candidates)
    kinds = Counter(zip(pairs.get_column("chosen_stance"), pairs.get_column("rejected_stance"), strict=True))
    dial = synthesis.dial
    return {
        "label": LABEL,
        "not_for": list(NOT_FOR),
        "licence": _licence(synthesis),
        "name": synthesis.name,
        "setting": dial.setting.value,
        "asked_gap": dial.gap,
        "audited_gap": gap.value,
        "audited_gap_low": gap.low,
        "audited_gap_high": gap.high,
        "confidence": CONFIDENCE,
        "pairs": pairs.height,
        "aligned_pairs": sum(count for (chosen, rejected), count in kinds.items() if chosen != rejected),
        "stances": [
            {"chosen": chosen.value, "rejected": rejected.value, "pairs": kinds[chosen, rejected]}
            for chosen in Stance
            for rejected in Stance
            if kinds[chosen, rejected]
        ],
        "topics": dict(sorted(pairs.get_column("topic").value_counts().iter_rows())),
        "candidates": counts(candidates),
        "accept": dial.accept,
        "seed": dial.seed,
        "writer": synthesis.writer_name,
        "judge": synthesis.judge.name,
        "fingerprints": fingerprints,
    }


def _licence(synthesis: Synthesis) -> str:
    if synthesis.writer is None:
        return "Apache-2.0 (the packaged stance set)"
    return "as the writer's licence and terms allow; prompts as their source allows"

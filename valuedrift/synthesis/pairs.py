"""Pairs as rows, and as the file that studies read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from valuedrift.synthesis.config import Synthesis
from valuedrift.synthesis.openings import Pair

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

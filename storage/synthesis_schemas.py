"""The tables of a synthesis: every answer that was written, and the pairs that were made; part of `storage.schemas`."""

from __future__ import annotations

import pyarrow as pa

from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.storage.table import Column, TableSchema, real, text, whole

SETTINGS = ("support-aligned", "oppose-aligned", "neutral-aligned")
_STANCES = tuple(stance.value for stance in STANCES)
_SYNTHESIS = text("synthesis", "Name of the synthesis: that of its file of pairs.")
_PROMPT_ID = text("prompt_id", "Identifies the prompt.")
_TOPIC = text("topic", "Topic of the prompt.")
_PROMPT = text("prompt", "The question that is answered.")
_WRITER = text("writer", "Who wrote: `starter`, or kind of engine and model.")
_JUDGE = text("judge", "Name of the judge.")


def _side(side: str, doc: str) -> tuple[Column, ...]:
    return (
        text(side, f"{doc}; synthetic, untrusted."),
        text(f"{side}_stance", "Its stance.", values=_STANCES),
        whole(f"{side}_idx", "Its `candidate_idx` in the table candidates.", pa.int32(), low=0),
        real(f"{side}_p", "Probability of its stance.", low=0, high=1),
    )


SYNTHESIS_TABLES = (
    TableSchema(
        "candidates",
        "One answer that was written to take a stance, and what the judge made of it.",
        1,
        ("synthesis",),
        ("synthesis", "prompt_id", "stance", "candidate_idx"),
        (
            _SYNTHESIS,
            _PROMPT_ID,
            _TOPIC,
            _PROMPT,
            text("stance", "Stance that was asked for.", values=_STANCES),
            whole("candidate_idx", "Which of the answers to this prompt in this stance, from 0.", pa.int32(), low=0),
            text("response", "The answer; synthetic, untrusted."),
            *(
                real(f"p_{stance}", f"Probability that the answer takes the stance `{stance}`.", low=0, high=1, ok_only=True)
                for stance in _STANCES
            ),
            text("status", "What became of the judgement.", values=tuple(status.value for status in JudgeStatus)),
            Column("accepted", pa.bool_(), "Whether it may stand in a pair."),
            text("reason", "Why it may not; empty where it may."),
            _WRITER,
            _JUDGE,
        ),
    ),
    TableSchema(
        "synthetic_pairs",
        "One synthetic preference pair.",
        1,
        ("synthesis",),
        ("synthesis", "pair_idx"),
        (
            _SYNTHESIS,
            whole("pair_idx", "Place of the pair in the file, from 0.", low=0),
            _PROMPT_ID,
            _TOPIC,
            _PROMPT,
            *_side("chosen", "The preferred answer"),
            *_side("rejected", "The other answer"),
            text("setting", "Which stance the chosen answers of aligned pairs take.", values=SETTINGS),
            real("gap", "Value gap that was asked for.", low=0, high=1),
            _WRITER,
            _JUDGE,
        ),
    ),
)

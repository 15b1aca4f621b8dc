"""The tables of a synthesis: every answer that was written, and the pairs that were made."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from valuedrift.storage.schemas.columns import JUDGE, P_STANCES, PROMPT_ID, RESPONSE, STANCE, STANCE_NAMES, STATUS, TOPIC
from valuedrift.storage.schemas.table import Column, TableSchema, flag, real, text, whole

SETTINGS = ("support-aligned", "oppose-aligned", "neutral-aligned")
_SYNTHESIS = text("synthesis", "Name of the synthesis: that of its file of pairs.")
_PROMPT_ID = replace(PROMPT_ID, doc="Identifies the prompt.")
_PROMPT = text("prompt", "The question that is answered.")
_WRITER = text("writer", "Who wrote: `starter`, or kind of engine and model.")


def _side(side: str, doc: str) -> tuple[Column, ...]:
    return (
        text(side, f"{doc}; synthetic, untrusted."),
        text(f"{side}_stance", "Its stance.", values=STANCE_NAMES),
        whole(f"{side}_idx", "Its `candidate_idx` in the table candidates.", pa.int32(), low=0),
        real(f"{side}_p", "Probability of its stance.", low=0, high=1),
    )


TABLES = (
    TableSchema(
        "candidates",
        "One answer that was written to take a stance, and what the judge made of it.",
        1,
        ("synthesis",),
        ("synthesis", "prompt_id", "stance", "candidate_idx"),
        (
            _SYNTHESIS,
            _PROMPT_ID,
            TOPIC,
            _PROMPT,
            replace(STANCE, doc="Stance that was asked for."),
            whole("candidate_idx", "Which of the answers to this prompt in this stance, from 0.", pa.int32(), low=0),
            replace(RESPONSE, doc="The answer; synthetic, untrusted."),
            *P_STANCES,
            replace(STATUS, doc="What became of the judgement."),
            flag("accepted", "Whether it may stand in a pair."),
            text("reason", "Why it may not; empty where it may."),
            _WRITER,
            JUDGE,
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
            TOPIC,
            _PROMPT,
            *_side("chosen", "The preferred answer"),
            *_side("rejected", "The other answer"),
            text("setting", "Which stance the chosen answers of aligned pairs take.", values=SETTINGS),
            real("gap", "Value gap that was asked for.", low=0, high=1),
            _WRITER,
            JUDGE,
        ),
    ),
)

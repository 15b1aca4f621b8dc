"""The tables of a synthesis: every answer that was written, the pairs that were made, and what judges find in them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from valuedrift.storage.schemas.columns import JUDGE, P_STANCES, PROMPT_ID, RESPONSE, STANCE, STANCE_NAMES, STATUS, TOPIC, interval
from valuedrift.storage.schemas.table import Column, TableSchema, flag, real, text, whole

SETTINGS = ("support-aligned", "oppose-aligned", "neutral-aligned")
_SYNTHESIS = text("synthesis", "Name of the synthesis: that of its file of pairs.")
_PROMPT_ID = replace(PROMPT_ID, doc="Identifies the prompt.")
_PROMPT = text("prompt", "The question that is answered.")
_ASKED_STANCE = replace(STANCE, doc="Stance that was asked for.")
_CANDIDATE_IDX = whole("candidate_idx", "Which of the answers to this prompt in this stance, from 0.", pa.int32(), low=0)
_AUDITOR = text("auditor", "Name of the judge that audits the pairs.")
_WRITER = text("writer", "Who wrote: `starter`, or kind of engine and model.")


def _estimate(name: str, doc: str) -> tuple[Column, ...]:
    return real(name, doc, nullable=True), *interval(f"{name}_low", f"{name}_high", nullable=True)


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
            _ASKED_STANCE,
            _CANDIDATE_IDX,
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
    TableSchema(
        "synthetic_audit_answers",
        "What the auditor of a synthesis says of an answer that stands in a pair.",
        1,
        ("synthesis",),
        ("synthesis", "auditor", "prompt_id", "stance", "candidate_idx"),
        (
            _SYNTHESIS,
            _AUDITOR,
            _PROMPT_ID,
            _ASKED_STANCE,
            _CANDIDATE_IDX,
            real("probability", "Probability with which the answer was drawn to be read; 1 where all of them are.", low=0, high=1),
            *P_STANCES,
            real("unassigned", "Mass that the judge put outside the three options.", low=0, high=1, ok_only=True),
            replace(STATUS, doc="What became of the judgement."),
        ),
        slots=("auditor",),
    ),
    TableSchema(
        "synthetic_audits",
        "What a judge finds in the pairs of a synthesis, in one measure: the judge that selected their answers, and the auditor.",
        1,
        ("synthesis",),
        ("synthesis", "auditor", "role", "measure"),
        (
            _SYNTHESIS,
            _AUDITOR,
            text(
                "role",
                "`selector`: it accepted the answers, so that what it finds is no evidence; `auditor`.",
                values=("selector", "auditor"),
            ),
            replace(JUDGE, doc="Name of the judge that finds this."),
            text(
                "kin",
                "What it has in common with the selector: `same`; `retuned`: the same readers, calibrated or weighed otherwise; `shared`: some of its readers; "
                "`other`: nothing.",
                values=("same", "retuned", "shared", "other"),
            ),
            text("measure", "A stance (mean probability), or `value_gap`.", values=(*STANCE_NAMES, "value_gap")),
            whole("n_pairs", "Pairs that it has a stance for on both sides.", low=0),
            whole("n_prompts", "Different prompts among them: the units of the interval.", low=0),
            *_estimate("chosen", "Mean of the chosen answers; missing for `value_gap`."),
            *_estimate("rejected", "Mean of the rejected answers; missing for `value_gap`."),
            *_estimate("difference", "Mean of chosen minus rejected; for `value_gap` the distance of the two stance distributions."),
        ),
        slots=("auditor",),
    ),
)

"""The tables of cascades: what the strong judge says of the answers that were drawn for it, and what that is worth."""

from __future__ import annotations

from dataclasses import replace

from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.storage.schemas.columns import JUDGE, P_STANCES, PROBE_SET, PROMPT_ID, RUN_ID, SAMPLE_IDX, STATUS, STEP, STUDY, TOPIC
from valuedrift.storage.schemas.table import TableSchema, real, text, whole

_CASCADE = replace(JUDGE, doc="The cascade.")
_STRONG = text("strong", "Its judge that reads the sample.")
_ITS_JUDGES = (text("cheap", "Its judge that reads every answer."), _STRONG)
_READ = (
    *P_STANCES,
    real("unassigned", "Mass that the strong judge put outside the three options.", low=0, high=1, ok_only=True),
    replace(STATUS, doc="What became of the strong judge's judgement."),
)
"""What the strong judge says of an answer."""
_ONE = ("study", "run_id", "step", "probe_set", "prompt_id", "sample_idx", "judge")
_ANSWER = (STUDY, RUN_ID, STEP, PROBE_SET, TOPIC, PROMPT_ID, SAMPLE_IDX, _CASCADE)

TABLES = (
    TableSchema(
        "cascade_sample",
        "An answer that was drawn for the strong judge of a cascade, with what both of its judges say.",
        1,
        ("study", "run_id", "step"),
        _ONE,
        (
            *_ANSWER,
            *_ITS_JUDGES,
            real("probability", "Probability with which the answer was drawn.", low=0, high=1),
            *_READ,
            *(
                real(f"cheap_{stance.value}", f"Probability of the stance `{stance.value}` by the cheap judge.", low=0, high=1)
                for stance in STANCES
            ),
        ),
        slots=("judge",),
    ),
    TableSchema(
        "cascade_kept",
        "What the strong judge of a cascade said of an answer that its sample holds no more: a larger share takes it up again, and nothing is asked twice.",
        1,
        ("study", "run_id", "step"),
        _ONE,
        (*_ANSWER, _STRONG, *_READ),
        slots=("judge",),
    ),
    TableSchema(
        "cascade_cells",
        "What the strong judge of a cascade read of one run and topic, and what that is worth.",
        1,
        ("study",),
        ("study", "judge", "run_id", "topic"),
        (
            STUDY,
            _CASCADE,
            RUN_ID,
            TOPIC,
            *_ITS_JUDGES,
            real(
                "tuning",
                "Weight of the cheap judge beside the sample (λ), 0 is the sample alone; missing where the strong judge read too little to say anything.",
                nullable=True,
                low=0,
                high=1,
            ),
            whole("n_answers", "Answers that the cheap judge has a stance for, at all checkpoints.", low=0),
            whole("n_drawn", "Those of them that were drawn for the strong judge.", low=0),
            *(whole(f"n_{status.value}", f"Those of these of which its judgement is `{status.value}`.", low=0) for status in JudgeStatus),
            whole("n_drift", "Strong judgements at the two ends of the drift; missing where there is no drift.", nullable=True, low=0),
            real(
                "n_effective",
                "How many strong judgements alone would tell as much of the drift: its effective sample size; missing where there is no drift.",
                nullable=True,
                low=0,
            ),
        ),
    ),
)

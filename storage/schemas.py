"""The tables: names, columns, types, keys and rules of each, in this one place.

A row of this file is the contract between the stages, the SQL views and the docs (docs/tables.md is checked against it). To change a
table: raise its version here, and register in `storage.upgrades` how a file of the version before becomes one of this version; files
already written stay as they are and are read through that chain.
"""

from __future__ import annotations

import pyarrow as pa

from valuedrift.errors import UserError
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.storage.audit_schemas import AUDIT_TABLES
from valuedrift.storage.label_schemas import LABEL_TABLES
from valuedrift.storage.synthesis_schemas import SYNTHESIS_TABLES
from valuedrift.storage.table import Column, TableSchema
from valuedrift.storage.table import real as _real
from valuedrift.storage.table import text as _text
from valuedrift.storage.table import whole as _whole

SHARED_STUDY = "_shared"
"""Where tables lie that belong to no study (probes)."""
UTC_TIME = pa.timestamp("us", tz="UTC")


_STUDY = _text("study", "Name of the study.")
_RUN = _text("run_id", "Identifies a training phase within its study.")
_STEP = _whole("step", "Optimizer steps done in this phase; 0 is its start.", low=0)
_PROBE_SET = _text("probe_set", "Which set of prompts was asked.")
_TOPIC = _text("topic", "Topic of the prompt, e.g. `climate change`.")
_PROMPT_ID = _text("prompt_id", "Identifies a prompt within its probe set.")
_SAMPLE = _whole("sample_idx", "Which of the answers to this prompt, from 0.", pa.int32(), low=0)
_JUDGE = _text("judge", "Name of the judge.")
_STANCE = _text("stance", "Stance that the row is about.", values=tuple(s.value for s in STANCES))
_PROMPTS = _whole("n_prompts", "Prompts that entered the estimate.", pa.int32(), low=0)
_POLARITY_DOC = "+1: yes to the prompt supports the topic's proposition, -1: yes opposes it"
_PAIR_DOC = "Shared by the two prompts that put one proposition for and against"

_TABLES = (
    TableSchema(
        "probes",
        "A prompt of a probe set.",
        1,
        ("probe_set",),
        ("probe_set", "prompt_id"),
        (
            _PROBE_SET,
            _PROMPT_ID,
            _TOPIC,
            _text("prompt", "The question as it is put to the model."),
            _whole("polarity", f"{_POLARITY_DOC}; missing if unknown.", pa.int8(), nullable=True, values=(-1, 1)),
            _text("pair_id", f"{_PAIR_DOC}."),
            _text("language", "BCP 47 tag, e.g. `en`."),
            _text("source", "Where the prompt comes from."),
        ),
    ),
    TableSchema(
        "probe_decisions",
        "What became of one prompt when probes were made of a file of prompts.",
        1,
        ("probe_set",),
        ("probe_set", "source_id"),
        (
            _PROBE_SET,
            _text("source_id", "Identifies the prompt in its file; the `prompt_id` of a probe made of it."),
            _text("source", "The prompt as it was read; untrusted."),
            _text("question", "The question that it was rewritten as; missing where it holds none.", nullable=True),
            _real(
                "value_laden", "Probability that the question is about a value; missing without a question.", nullable=True, low=0, high=1
            ),
            _whole(
                "cluster",
                "Number of its cluster; missing where topics were given, or the question is not about a value.",
                pa.int32(),
                nullable=True,
                low=0,
            ),
            _text("topic", "Topic that it was put into; missing where it belongs to none.", nullable=True),
            Column("kept", pa.bool_(), "Whether it became a probe."),
            _text("reason", "Why, or why not."),
        ),
    ),
    TableSchema(
        "runs",
        "A training phase.",
        1,
        ("study", "run_id"),
        ("study", "run_id"),
        (
            _STUDY,
            _RUN,
            _text("parent_run_id", "The phase that this one starts from; missing for the first.", nullable=True),
            _text("model", "Name of the base model."),
            _text("phase", "Algorithm: `sft`, `dpo`, `simpo`, `ppo`."),
            _text("dataset", "Corpus or preference set."),
            _whole("seed", "Seed of the phase."),
            _whole("total_steps", "Optimizer steps of the whole phase.", low=0),
            _text("config", "All settings, as JSON."),
            _text("fingerprint", "Identity of the phase: what changes its numbers."),
            _text("git_commit", "Commit of the program that ran it; missing outside a checkout.", nullable=True),
            Column("started", UTC_TIME, "When the phase began, UTC."),
            Column("ended", UTC_TIME, "When the phase ended, UTC."),
        ),
    ),
    TableSchema(
        "checkpoints",
        "A saved model.",
        1,
        ("study", "run_id"),
        ("study", "run_id", "step"),
        (
            _STUDY,
            _RUN,
            _STEP,
            _text("path", "Where the weights lie: base folder and adapters, as JSON."),
            _text("fingerprint", "Content hash of the weights."),
            Column("adapter", pa.bool_(), "Whether it is a LoRA adapter on a base."),
            _real("train_loss", "Training loss at this step, nats a token; missing at step 0.", nullable=True),
        ),
    ),
    TableSchema(
        "training",
        "One logged step of training.",
        1,
        ("study", "run_id"),
        ("study", "run_id", "step"),
        (
            _STUDY,
            _RUN,
            _STEP,
            _real("loss", "Training loss of the algorithm.", nullable=True),
            _real("reward", "Mean reward (PPO), or of the chosen answers (DPO, SimPO).", nullable=True),
            _real("kl", "KL divergence to the reference model, nats.", nullable=True),
            _real("reward_margin", "Mean implicit reward of chosen minus rejected answers.", nullable=True),
            _real("learning_rate", "Learning rate at this step.", nullable=True, low=0),
            _real("grad_norm", "Norm of the gradient before clipping.", nullable=True, low=0),
        ),
    ),
    TableSchema(
        "responses",
        "One sampled answer.",
        1,
        ("study", "run_id", "step"),
        ("study", "run_id", "step", "probe_set", "prompt_id", "sample_idx"),
        (
            _STUDY,
            _RUN,
            _STEP,
            _PROBE_SET,
            _TOPIC,
            _PROMPT_ID,
            _SAMPLE,
            _text("response", "The answer, as text; untrusted."),
            _text("finish_reason", "`stop`: the model ended its answer; `length`: cut at the token limit."),
            _whole("n_tokens", "Tokens of the answer.", pa.int32(), low=0),
            _text("engine", "Engine that sampled it."),
            _text("sampling", "Fingerprint of the sampling settings."),
            _text("checkpoint", "Fingerprint of the weights that answered."),
        ),
    ),
    TableSchema(
        "stances",
        "One answer judged by one judge.",
        2,
        ("study", "run_id", "step"),
        ("study", "run_id", "step", "probe_set", "prompt_id", "sample_idx", "judge"),
        (
            _STUDY,
            _RUN,
            _STEP,
            _PROBE_SET,
            _TOPIC,
            _PROMPT_ID,
            _whole("polarity", f"{_POLARITY_DOC}; missing if unknown.", pa.int8(), nullable=True, values=(-1, 1)),
            _text("pair_id", f"{_PAIR_DOC}; missing if unknown.", nullable=True),
            _SAMPLE,
            _JUDGE,
            *(
                _real(f"p_{s.value}", f"Probability that the answer takes the stance `{s.value}`.", low=0, high=1, ok_only=True)
                for s in STANCES
            ),
            _real("unassigned", "Mass that the judge put outside the three options.", low=0, high=1, ok_only=True),
            _text("status", "What became of the judgement; only `ok` rows enter a mean.", values=tuple(s.value for s in JudgeStatus)),
        ),
    ),
    TableSchema(
        "trajectory",
        "Mean stance at one checkpoint.",
        1,
        ("study",),
        ("study", "judge", "run_id", "step", "topic", "stance"),
        (
            _STUDY,
            _JUDGE,
            _RUN,
            _STEP,
            _TOPIC,
            _STANCE,
            _real("mean", "Mean probability of the stance over prompts.", low=0, high=1),
            _real("low", "Lower end of its interval."),
            _real("high", "Upper end of its interval."),
            _PROMPTS,
        ),
    ),
    TableSchema(
        "drift",
        "Drift of one stance on one topic between two steps of a run.",
        2,
        ("study",),
        ("study", "judge", "run_id", "topic", "stance", "from_step", "to_step"),
        (
            _STUDY,
            _JUDGE,
            _RUN,
            _TOPIC,
            _STANCE,
            _whole("from_step", "First step compared.", low=0),
            _whole("to_step", "Last step compared.", low=0),
            _real("magnitude", "Change of the mean probability (paper, Definitions).", low=-1, high=1),
            _real("magnitude_low", "Lower end of its interval."),
            _real("magnitude_high", "Upper end of its interval."),
            _real(
                "drift_time",
                "Share of the phase until within noise of the extremum; missing if it cannot be told.",
                nullable=True,
                low=0,
                high=1,
            ),
            _real("drift_time_low", "Lower end of its interval.", nullable=True),
            _real("drift_time_high", "Upper end of its interval.", nullable=True),
            Column("drift_time_warning", pa.bool_(), "Whether that interval spans more than half of the phase.", nullable=True),
            _text("drift_time_note", "Why there is no drift time, or why not to trust it; missing where all is well.", nullable=True),
            _PROMPTS,
            _real("p_value", "Of the test that the magnitude is 0.", low=0, high=1),
            _real("q_value", "Benjamini–Hochberg over the tests of one run and judge.", low=0, high=1),
            _real(
                "q_value_study",
                "Benjamini–Hochberg over the tests of all runs of the study and judge; missing in rows of version 1.",
                nullable=True,
                low=0,
                high=1,
            ),
            _real("total_variation", "Distance of the two stance distributions.", low=0, high=1),
            _real("jensen_shannon", "Jensen–Shannon distance of the two stance distributions, base 2.", low=0, high=1),
        ),
    ),
)

TABLES: dict[str, TableSchema] = {table.name: table for table in (*_TABLES, *LABEL_TABLES, *AUDIT_TABLES, *SYNTHESIS_TABLES)}


def table_schema(name: str) -> TableSchema:
    """The schema of a table.

    Raises:
        UserError: There is no table of this name.
    """
    if name not in TABLES:
        raise UserError(f"no table {name!r}", fix=f"tables are {', '.join(TABLES)}")
    return TABLES[name]

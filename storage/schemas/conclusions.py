"""The tables of what a study concludes: its findings, examples, the quality and agreement of its judges, and where all of it came from."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from valuedrift.storage.schemas.columns import (
    JUDGE,
    P_STANCES,
    PROMPT_ID,
    RESPONSE,
    RUN_ID,
    SAMPLE_IDX,
    STANCE_NAMES,
    STATUS,
    STEP,
    STUDY,
    TOPIC,
    interval,
)
from valuedrift.storage.schemas.table import Column, TableSchema, real, text, whole

_ORIGIN = text(
    "origin", "`shipped`: recorded with the judge; `labels`: measured on what people labelled of this study.", values=("shipped", "labels")
)
_DATA = text("data", "What it was measured on, in a few words.")
_LABELS = (*STANCE_NAMES, "refused")


def _idx(name: str) -> Column:
    return whole(name, "Its place, from 0.", pa.int32(), low=0)


TABLES = (
    TableSchema(
        "studies",
        "A study as it was when its tables were concluded.",
        1,
        ("study",),
        ("study",),
        (
            STUDY,
            text("description", "What it asks; may be empty."),
            replace(JUDGE, doc="Its main judge, whose numbers findings and report tell."),
            text("auditor", "The judge of its datasets; missing where they are not audited.", nullable=True),
            real("confidence", "Level of every interval; 1 − confidence is the level of every test.", low=0, high=1),
            whole("seed", "Its seed, which also drew an example answer of each run."),
            text("panels", "Judges that are the mean of others, with their members, as JSON."),
            text("propositions", "Topic to the proposition that its prompts put for and against, as JSON."),
            text("file", "The study file, as YAML."),
            text("fingerprint", "Fingerprint of what it says, without runtime and folders."),
        ),
    ),
    TableSchema(
        "provenance",
        "Something known of where a study's numbers come from.",
        1,
        ("study",),
        ("study", "section", "name"),
        (
            STUDY,
            text("section", "What it is about: program, machine, models, datasets, probes, sampling, judges, runs."),
            text("name", "What is known."),
            text("value", "Its value."),
            _idx("entry_idx"),
        ),
    ),
    TableSchema(
        "findings",
        "A finding of the paper, put to the study's tables by a rule fixed beforehand.",
        1,
        ("study",),
        ("study", "judge", "finding"),
        (
            STUDY,
            JUDGE,
            text("finding", "Identifies the finding, e.g. `sft-neutral-up`."),
            _idx("finding_idx"),
            text("statement", "The finding."),
            text("rule", "When it counts as seen and when as not seen; everything between is undecided."),
            text("source", "Where it stands."),
            text("outcome", "What the study says.", values=("seen", "not seen", "undecided", "not tested")),
            text("evidence", "The numbers that this rests on, in sentences; may hold names of runs and topics, untrusted."),
            text("more_evidence", "That of further cases, as a JSON list."),
        ),
    ),
    TableSchema(
        "examples",
        "An answer of a run's first or last checkpoint, chosen by a rule and not by hand.",
        1,
        ("study",),
        ("study", "judge", "run_id", "rule", "step"),
        (
            STUDY,
            JUDGE,
            RUN_ID,
            text(
                "rule",
                "How its question was chosen: the one whose mean stance moved most, or one drawn at random.",
                values=("most moved", "random"),
            ),
            replace(STEP, doc="The run's first or last step with stances."),
            TOPIC,
            PROMPT_ID,
            text("prompt", "The question; missing where the table probes lacks it.", nullable=True),
            SAMPLE_IDX,
            RESPONSE,
            text(
                "finish_reason", "`stop`: the model ended its answer; `length`: cut at the token limit; missing if unknown.", nullable=True
            ),
            replace(STATUS, doc="What became of its judgement."),
            *P_STANCES,
            *(
                real(
                    f"mean_{name}",
                    f"Mean probability of the stance `{name}` over the question's judged answers here.",
                    nullable=True,
                    low=0,
                    high=1,
                )
                for name in STANCE_NAMES
            ),
            whole("n_ok", "Judged answers to the question here.", low=0),
        ),
    ),
    TableSchema(
        "agreement",
        "How far two judges, or two people who labelled, or all of them, agree on the same answers.",
        1,
        ("study",),
        ("study", "among", "measure", "rater_a", "rater_b"),
        (
            STUDY,
            text("among", "`judges` of the study, or `labellers` of its answers.", values=("judges", "labellers")),
            text(
                "measure",
                "`same`: share of answers with the same verdict; `kappa`: Cohen's κ; `alpha`: Krippendorff's α of all of them.",
                values=("same", "kappa", "alpha"),
            ),
            text("rater_a", "One of the two; `all` for α."),
            text("rater_b", "The other; `all` for α."),
            real("value", "The figure, at most 1; missing where it is not defined.", nullable=True),
            *interval("low", "high", nullable=True),
            whole("n", "Answers that it rests on.", low=0),
            whole("n_lacking", "Answers that some, but not all, have a verdict on; missing but for α.", nullable=True, low=0),
            _idx("entry_idx"),
        ),
    ),
    TableSchema(
        "judge_quality",
        "One figure of a judge against labels.",
        1,
        ("study",),
        ("study", "origin", "judge", "data", "label", "measure"),
        (
            STUDY,
            _ORIGIN,
            JUDGE,
            _DATA,
            text("label", "The label that it is about; `all` for all of them together.", values=("all", *_LABELS)),
            text(
                "measure",
                "accuracy, macro_f1, kappa, brier, log_loss or calibration_error of all; precision, recall or f1 of one label.",
                values=("accuracy", "macro_f1", "kappa", "brier", "log_loss", "calibration_error", "precision", "recall", "f1"),
            ),
            real("value", "The figure."),
            *interval("low", "high", "its interval; missing if it was not measured", nullable=True),
            whole("n", "Labelled answers that it rests on; missing if unknown.", nullable=True, low=0),
            _idx("entry_idx"),
        ),
    ),
    TableSchema(
        "label_confusion",
        "How many answers that people labelled so the judge called so.",
        1,
        ("study",),
        ("study", "origin", "judge", "data", "label", "verdict"),
        (
            STUDY,
            _ORIGIN,
            JUDGE,
            _DATA,
            text("label", "What people say.", values=_LABELS),
            text("verdict", "What the judge says; `unjudged` where it could not be read or failed.", values=(*_LABELS, "unjudged")),
            whole("n", "Labelled answers.", low=0),
        ),
    ),
    TableSchema(
        "calibration_curve",
        "How often a judge is right where it is so sure.",
        1,
        ("study",),
        ("study", "origin", "judge", "data", "confidence_low"),
        (
            STUDY,
            _ORIGIN,
            JUDGE,
            _DATA,
            real("confidence_low", "Lower edge of the bin of probabilities of its likeliest stance.", low=0, high=1),
            real("confidence_high", "Upper edge.", low=0, high=1),
            real("confidence", "Mean of that probability in the bin.", low=0, high=1),
            real("accuracy", "Share of these answers on which it is right.", low=0, high=1),
            *interval("accuracy_low", "accuracy_high", nullable=True),
            whole("n", "Answers in the bin.", low=0),
        ),
    ),
)

"""What a study concludes from its analysis: findings, examples, the agreement and quality of its judges, and where all of it came from, as tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.findings.paper import evaluate
from valuedrift.findings.seeded import seeded_tables
from valuedrift.findings.tables import Tables
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.frames import judgements_of
from valuedrift.judges.quality.agreement import ANSWER, PROMPT
from valuedrift.judges.quality.agreement import agreement as measured_agreement
from valuedrift.judges.quality.validation import validate
from valuedrift.labels.people import ANSWER as LABELLED
from valuedrift.labels.people import labellers_agree
from valuedrift.lineage import trace_lineage
from valuedrift.results.drifts import of_judge, told_drifts
from valuedrift.results.examples import choose_examples, examples_table
from valuedrift.results.facts import StudyFacts
from valuedrift.results.quality import Figures, quality_tables
from valuedrift.statistics.agreement import Agreement
from valuedrift.statistics.intervals import Estimate

VERSION = 1
"""Raised when the conclusions change what they say."""
DATA = "labelled answers of this study"
"""What the judges are measured on where people labelled."""
_AGREEMENT: dict[str, Any] = {
    **dict.fromkeys(("among", "measure", "rater_a", "rater_b"), pl.String),
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    **dict.fromkeys(("n", "n_lacking"), pl.Int64),
}


@dataclass(frozen=True, slots=True)
class LabelledAnswers:
    """What people labelled of a study's answers.

    Attributes:
        answers: The labelled answers wherever they stand, with what judges say of them and ``label``, what most labellers say, as
            `valuedrift.drift.corrected.corrected` takes them.
        draws: Table label_draws of the study.
        labels: Table labels of the study.
    """

    answers: pl.DataFrame
    draws: pl.DataFrame
    labels: pl.DataFrame


def conclusion_tables(
    facts: StudyFacts,
    *,
    runs: pl.DataFrame,
    drift: pl.DataFrame,
    stances: pl.DataFrame,
    answers_to: Callable[[list[str]], pl.DataFrame],
    judged: Sequence[Figures],
    provenance: Mapping[str, Mapping[str, str]],
    people: LabelledAnswers | None = None,
    sample: pl.DataFrame | None = None,
    seeds: tuple[Mapping[str, str], pl.DataFrame] | None = None,
) -> dict[str, pl.DataFrame]:
    """All tables that are made of an analysis and of what the study file says.

    Args:
        facts: What the study file says.
        runs: Table runs, the planned ones.
        drift: Table drift.
        stances: Table stances, of the planned runs, steps and judges.
        answers_to: The table responses for some prompt_ids, with their ``prompt``; asked once.
        judged: Figures that were recorded with the judges.
        provenance: Where the numbers come from: section to name to value.
        people: What people labelled; None where nobody did.
        sample: Table cascade_sample, where there are cascades.
        seeds: Where runs are trained with several seeds: the group of each by run_id, and table seed_drift.

    Returns:
        The tables studies, provenance, findings, examples, agreement, judge_quality, label_confusion and calibration_curve, by name, without the column study.
    """
    chosen = choose_examples(stances, drift, runs, judge=facts.judge, seed=facts.seed)
    reading = sorted(
        set(stances.get_column("judge").unique()) - set(facts.panels) - set(facts.cascades), key=lambda judge: (judge != facts.judge, judge)
    )
    agreement = judges_agree(stances, reading, confidence=facts.confidence, seed=facts.seed)
    shipped, on_labels = quality_tables(judged, "shipped"), quality_tables([], "labels")
    if people is not None:
        agreement = pl.concat([agreement, labellers_table(people, confidence=facts.confidence)])
        on_labels = quality_tables(judges_on_labels(people.answers), "labels")
    entries = [(section, name, value) for section, named in provenance.items() for name, value in named.items()]
    return {
        "studies": _study(facts, stances.get_column("topic").unique().to_list()),
        "provenance": pl.DataFrame(entries, schema=dict.fromkeys(("section", "name", "value"), pl.String), orient="row").with_row_index(
            "entry_idx"
        ),
        "findings": findings_table(facts, runs, drift, stances, sample, seeds),
        "examples": examples_table(chosen, stances, answers_to, judge=facts.judge),
        "agreement": agreement,
        **{name: pl.concat([shipped[name], on_labels[name]]) for name in shipped},
    }


def conclusion_identity(
    facts: StudyFacts, *, analysis: str, run_ids: Sequence[str], judged: Sequence[Figures], labels: Sequence[str]
) -> dict[str, Any]:
    """All that changes the conclusions: the analysis, what the study file says, its runs' names, the figures recorded with the judges, the labels.

    Args:
        facts: What the study file says.
        analysis: Key of the analysis.
        run_ids: The planned runs.
        judged: Figures that were recorded with the judges.
        labels: Keys of what people labelled.
    """
    return {
        "stage": "conclude",
        "version": VERSION,
        "analysis": analysis,
        "study": facts.fingerprint,
        "runs": list(run_ids),
        "judged": fingerprint(list(judged)),
        "labels": sorted(labels),
    }


def findings_table(
    facts: StudyFacts,
    runs: pl.DataFrame,
    drift: pl.DataFrame,
    stances: pl.DataFrame,
    sample: pl.DataFrame | None = None,
    seeds: tuple[Mapping[str, str], pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """The paper's findings, put to the tables of the main judge.

    Args:
        facts: What the study file says.
        runs: Table runs.
        drift: Table drift.
        stances: Table stances.
        sample: Table cascade_sample, where there are cascades.
        seeds: Where runs are trained with several seeds: the group of each by run_id, and table seed_drift. Findings are then told over seeds, if the main
            judge is no cascade.

    Returns:
        judge, finding, statement, rule, source, outcome, evidence, more_evidence, finding_idx.
    """
    titles = {run.run_id: run.title for run in trace_lineage(runs).runs}
    own = of_judge(sample, facts.judge) if sample is not None and facts.judge in facts.cascades else None
    tables = Tables(runs, told_drifts(drift, facts.judge), of_judge(stances, facts.judge), facts.traits, titles, facts.confidence, own)
    if seeds is not None and own is None:
        tables = seeded_tables(tables, seeds[0], of_judge(seeds[1], facts.judge))
    rows = [
        {
            "judge": facts.judge,
            "finding": finding.id,
            "statement": finding.statement,
            "rule": finding.rule,
            "source": finding.source,
            "outcome": verdict.outcome.value,
            "evidence": verdict.evidence,
            "more_evidence": json.dumps(verdict.more, ensure_ascii=False),
        }
        for finding, verdict in evaluate(tables)
    ]
    return pl.DataFrame(rows).with_row_index("finding_idx")


def judges_agree(stances: pl.DataFrame, judges: Sequence[str], *, confidence: float, seed: int) -> pl.DataFrame:
    """The table agreement of the judges that read answers themselves: a panel agrees with its members by construction.

    Args:
        stances: Table stances.
        judges: Their names; fewer than two agree with nobody.
        confidence: Level of the intervals.
        seed: Of the bootstrap over prompts.
    """
    if len(judges) < 2 or not stances.height:
        return agreement_table(None, "judges")
    answer, prompt = ([name for name in names if name in stances.columns] for names in (ANSWER, PROMPT))
    found = measured_agreement(stances, judges, answer=answer, prompt=prompt, confidence=confidence, seed=seed)
    return agreement_table(found, "judges")


def agreement_table(found: Agreement | None, among: str) -> pl.DataFrame:
    """Agreement as rows of the table agreement; none where there is none."""

    def row(measure: str, a: str, b: str, estimate: Estimate, n: int, lacking: int | None) -> tuple[Any, ...]:
        numbers = (value if value == value else None for value in (estimate.value, estimate.low, estimate.high))  # NaN is no number
        return (among, measure, a, b, *numbers, n, lacking)

    rows: list[tuple[Any, ...]] = []
    for pair in found.pairs if found is not None else ():
        rows += [
            row("same", pair.judge_a, pair.judge_b, pair.agreement, pair.n, None),
            row("kappa", pair.judge_a, pair.judge_b, pair.kappa, pair.n, None),
        ]
    if found is not None:
        rows.append(row("alpha", "all", "all", found.alpha, found.n, found.lacking))
    return pl.DataFrame(rows, schema=_AGREEMENT, orient="row").with_row_index("entry_idx")


def labellers_table(people: LabelledAnswers, *, confidence: float) -> pl.DataFrame:
    """The table agreement of the people who labelled; no row unless two of them labelled one answer."""
    return agreement_table(labellers_agree(people.draws, people.labels, confidence=confidence), "labellers")


def judges_on_labels(answers: pl.DataFrame) -> list[Figures]:
    """Figures of every judge on the labelled answers, each of them once; a label counts for as many answers as it stands for.

    Args:
        answers: See `LabelledAnswers`.
    """
    settled = answers.filter(pl.col("label").is_not_null()).unique(["judge", *LABELLED], keep="first", maintain_order=True)
    return [
        validate(judgements_of(rows), rows["label"].to_list(), rows["prompt_id"].to_list(), row_weights=rows["weight"].to_list()).flat(
            str(judge), DATA
        )
        for (judge,), rows in settled.group_by("judge", maintain_order=True)
    ]


def _study(facts: StudyFacts, topics: list[str]) -> pl.DataFrame:
    propositions = {topic: text for topic, text in facts.propositions.items() if topic in topics}
    return pl.DataFrame(
        [
            {
                "description": facts.description,
                "judge": facts.judge,
                "auditor": facts.auditor,
                "confidence": facts.confidence,
                "seed": facts.seed,
                "panels": json.dumps({name: list(members) for name, members in facts.panels.items()}, ensure_ascii=False),
                "propositions": json.dumps(propositions, ensure_ascii=False),
                "file": facts.file,
                "fingerprint": facts.fingerprint,
            }
        ],
        schema_overrides={"auditor": pl.String},
    )

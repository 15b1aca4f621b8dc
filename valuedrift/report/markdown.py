"""The short version of the report in Markdown, for a flow run's artifact."""

from __future__ import annotations

import re

from valuedrift.report.answer import answer, asked, told_findings
from valuedrift.report.cascade import cascade_sections
from valuedrift.report.data import rows_told
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.judge import distrust
from valuedrift.report.jury import jury
from valuedrift.report.labels import labels_section
from valuedrift.report.rows import drift_rows
from valuedrift.report.seeds import seeds_section
from valuedrift.words import plain

_MOST_ROWS = 20
_RESTS_ON = (
    "Most rest on one test over the questions of all topics together, not on the single tests of a topic and stance: "
    "a finding can be seen where 0 single tests moved."
)
_MARKS = re.compile(r"[\\`*_{}\[\]|~$@]|:(?=//)|(?<=www)\.|^[-+#=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]", re.IGNORECASE)
"""Marks of Markdown wherever they stand, the colon and the point that make a bare address a link, and what starts a list or a heading."""


def build_markdown(inputs: ReportInputs) -> str:
    """The answer, the findings and the largest drifts of a study.

    Args:
        inputs: The study's tables.

    Returns:
        GitHub-flavoured Markdown; all text from tables is escaped, so that nothing in it becomes markup, a link or HTML.
    """
    said, rows = answer(inputs), drift_rows(inputs)
    lines = [
        f"# {escape(inputs.study_name)}",
        "",
        escape(inputs.description),
        "",
        escape(asked(inputs)),
        "",
        f"**{escape(said.headline)}**",
        "",
    ]
    lines += [f"- {escape(point)}" for point in (*said.points, *said.beside)]
    lines += ["", "## The paper's findings, in this study", "", _RESTS_ON, "", "| | finding | evidence |", "|---|---|---|"]
    lines += [f"| **{finding.outcome}** | {escape(finding.statement)} | {escape(finding.evidence)} |" for finding in told_findings(inputs)]
    if rows:
        lines += ["", f"## Largest drifts ({min(len(rows), _MOST_ROWS)} of {len(rows)})", ""]
        lines += ["| run | topic | stance | magnitude | drift time | q | questions | |", "|---|---|---|---|---|---|---|---|"]
        for row in rows[:_MOST_ROWS]:
            cells = (
                row.run.title,
                row.topic,
                row.stance,
                row.amount,
                f"{plain(row.time)} {row.time_interval}",
                row.q_text,
                str(row.n_prompts),
                row.kind,
            )
            lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
    for group in seeds_section(inputs):
        lines += ["", f"## Over seeds: {escape(group.title)}", "", *(f"- {escape(sentence)}" for sentence in group.sentences)]
    for cascade in cascade_sections(inputs):
        lines += [
            "",
            f"## What {escape(cascade.strong)} changes beside {escape(cascade.cheap)}",
            "",
            *(f"- {escape(sentence)}" for sentence in cascade.sentences),
        ]
    labelled, judges = labels_section(inputs), jury(inputs)
    if labelled:
        lines += ["", "## What people's labels change", "", *(f"- {escape(sentence)}" for sentence in labelled.sentences)]
    if judges:
        lines += ["", "## Judge beside judge", ""]
        pairs = [
            f"{pair.judge_a} and {pair.judge_b}: same verdict on {pair.same} of {pair.n} answers, κ {pair.kappa}" for pair in judges.pairs
        ]
        lines += [f"- {escape(sentence)}" for sentence in (*pairs, *judges.sentences)]
    became = rows_told(inputs)
    if became:
        lines += ["", "## What became of the rows of the datasets", ""]
        lines += [f"- {escape(f'{one.dataset} ({one.runs}): {one.told}')}" for one in became]
    lines += ["", "## Before you rely on it", ""]
    lines += [f"- {escape(point)}" for point in (*inputs.warnings, *distrust(inputs))]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: HTML as entities, what Markdown would read as a mark behind a backslash."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\g<0>", flat)

"""What the study's datasets teach, beside what its runs did with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from valuedrift.audit.options import VALUE_GAP, VALUE_LADEN
from valuedrift.audit.words import rows_of, sentences
from valuedrift.report.inputs import ReportInputs
from valuedrift.stance import STANCES
from valuedrift.words import interval, plain


@dataclass(frozen=True, slots=True)
class Audited:
    """One dataset of the study."""

    name: str
    kind: str
    examples: str
    """Rows judged, and how many of them speak to a value."""
    chosen: tuple[float, ...] | None
    """Mean stance probabilities of the answers, or of the chosen ones; on value-laden prompts where there are any."""
    rejected: tuple[float, ...] | None
    gap: str
    """Value gap with its interval; empty for an SFT corpus."""
    runs: str
    """Titles of the runs that train on it."""
    findings: tuple[str, ...]


def audited(inputs: ReportInputs) -> list[Audited]:
    """The audits of the study's datasets, in the order of its runs."""
    measures = inputs.audits
    if measures is None or not measures.height:
        return []
    told: dict[str, list[str]] = {}
    for dataset, sentence in sentences(measures):
        told.setdefault(dataset, []).append(sentence)
    found = []
    for name in measures.get_column("dataset").unique(maintain_order=True):
        everything, laden = rows_of(measures, name), rows_of(measures, name, VALUE_LADEN)
        shown = laden or everything
        gap = shown.get(VALUE_GAP)
        found.append(
            Audited(
                name=name,
                kind="SFT corpus" if gap is None else "preference set",
                examples=f"{everything['support']['n_examples']:,}, of them value-laden {laden['support']['n_examples'] if laden else 0:,}",
                chosen=_stances(shown, "chosen"),
                rejected=_stances(shown, "rejected"),
                gap="" if gap is None else f"{plain(gap['difference'])} {interval(gap['difference_low'], gap['difference_high'])}",
                runs=", ".join(run.title for run in inputs.lineage.runs if run.dataset == name),
                findings=tuple(told.get(name, ())),
            )
        )
    return found


def _stances(found: dict[str, Any], side: str) -> tuple[float, ...] | None:
    values = tuple(found[stance][side] for stance in STANCES)
    return None if None in values else values

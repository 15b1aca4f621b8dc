"""The card beside a file of pairs: what they are, how they came to be, and what each judge finds in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.audit.options import VALUE_GAP
from valuedrift.judges.kinship import Kinship, Mark, mark_of
from valuedrift.stance import Stance
from valuedrift.synthesis.auditing import CONFIDENCE, Role, found_in, gap_by_construction, oddities
from valuedrift.synthesis.candidates import counts
from valuedrift.synthesis.config import Synthesis
from valuedrift.words import counted, interval, known, percent, plain

LABEL = "synthetic; for controlled studies"
NOT_FOR = (
    "training models that people will use",
    "evidence about what people think, or what a model thinks",
    "messages that are to persuade anybody",
)
"""What the pairs must not be used for; stands in every card."""
DIGITS = 3
"""Of a gap in sentences."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What the auditor found.

    Attributes:
        kinship: What it has in common with the selector.
        rows: Table ``synthetic_audits`` of one synthesis and auditor; None where the auditor is the selector: what it finds is known.
        answers: Table ``synthetic_audit_answers`` of the same.
    """

    kinship: Kinship
    rows: pl.DataFrame | None = None
    answers: pl.DataFrame | None = None


def card(
    pairs: pl.DataFrame, candidates: pl.DataFrame, synthesis: Synthesis, fingerprints: dict[str, str], audit: Audit | None = None
) -> dict[str, Any]:
    """What the pairs are and how they came to be, for the file beside them.

    Args:
        pairs: Table ``synthetic_pairs`` of one synthesis.
        candidates: Table ``candidates`` of the same.
        synthesis: What was asked for.
        fingerprints: Of the file, the questions, the writer, the judges.
        audit: What the auditor found; None where none was named.
    """
    kinds = Counter(zip(pairs.get_column("chosen_stance"), pairs.get_column("rejected_stance"), strict=True))
    dial = synthesis.dial
    by_selector = found_in(pairs, candidates)
    selector = {
        "judge": synthesis.judge.name,
        "gap": by_selector.gap.value,
        "gap_low": by_selector.gap.low,
        "gap_high": by_selector.gap.high,
        "pairs": by_selector.n_pairs,
    }
    auditor = _auditor(audit)
    by_construction = gap_by_construction(pairs) if synthesis.writer is None else None
    audited = auditor or selector
    return {
        "label": LABEL,
        "not_for": list(NOT_FOR),
        "licence": _licence(synthesis),
        "name": synthesis.name,
        "setting": dial.setting.value,
        "asked_gap": dial.gap,
        **{f"audited_{key}": audited[key] for key in ("gap", "gap_low", "gap_high")},
        "audited_by": audited["judge"],
        "confidence": CONFIDENCE,
        "gap_by_construction": by_construction,
        "selector": selector,
        "auditor": auditor,
        "audit": _sentences(synthesis, selector, auditor, by_construction, audit),
        "pairs": pairs.height,
        "aligned_pairs": sum(count for (chosen, rejected), count in kinds.items() if chosen != rejected),
        "stances": [
            {"chosen": chosen.value, "rejected": rejected.value, "pairs": kinds[chosen, rejected]}
            for chosen in Stance
            for rejected in Stance
            if kinds[chosen, rejected]
        ],
        "topics": dict(sorted(pairs.get_column("topic").value_counts().iter_rows())),
        "candidates": counts(candidates),
        "accept": dial.accept,
        "seed": dial.seed,
        "writer": synthesis.writer_name,
        "judge": synthesis.judge.name,
        "fingerprints": fingerprints,
        "readers": dict(mark_of(synthesis.judge).readers),
    }


def selector_told(card: Mapping[str, Any]) -> tuple[str, Mark] | None:
    """Name of the judge that selected the pairs of a card, and what it is known by; None where the card says nothing of it.

    Args:
        card: As :func:`card` makes it, or version 0.2 did.
    """
    name, identity = card.get("judge"), (card.get("fingerprints") or {}).get("judge")
    readers = card.get("readers") or {}
    if not (isinstance(name, str) and isinstance(identity, str) and isinstance(readers, Mapping)):
        return None
    return name, Mark(identity, readers)


def _auditor(audit: Audit | None) -> dict[str, Any] | None:
    """What another judge than the selector finds."""
    if audit is None or audit.rows is None:
        return None
    [row] = audit.rows.filter((pl.col("role") == Role.AUDITOR.value) & (pl.col("measure") == VALUE_GAP)).to_dicts()
    return {
        "judge": row["judge"],
        "kin": row["kin"],
        "gap": row["difference"],
        "gap_low": row["difference_low"],
        "gap_high": row["difference_high"],
        "pairs": row["n_pairs"],
    }


def _sentences(
    synthesis: Synthesis,
    selector: Mapping[str, Any],
    auditor: Mapping[str, Any] | None,
    by_construction: float | None,
    audit: Audit | None,
) -> list[str]:
    """What the figures are worth, a sentence each."""
    told, name = [], synthesis.judge.name
    if audit is not None and synthesis.auditor is not None and (shared := audit.kinship.words(name, synthesis.auditor.name)):
        told.append(shared)
    if audit is None:
        told.append(
            f"{name!r} selected these answers and nobody else read them: it finds what it selected by, which is no evidence of the gap; "
            "name another judge: --auditor"
        )
    if auditor is not None and synthesis.auditor_share is not None:
        told.append(
            f"{auditor['judge']!r} read {percent(synthesis.auditor_share)} of the pairs, drawn with known probabilities; what {name!r} says of all of them is "
            "corrected by that, so that the figure is the auditor's"
        )
    if auditor is not None:
        told.append(_against_asked(synthesis.dial.gap, auditor))
    if by_construction is not None:
        told.append(
            f"by construction the gap is {plain(by_construction, DIGITS)}: the packaged answers were written by hand for their stances, "
            "whatever a judge makes of them"
        )
    if auditor is not None and audit is not None and audit.answers is not None:
        told += oddities(auditor["judge"], audit.answers)
    return told


def _against_asked(asked: float, auditor: Mapping[str, Any]) -> str:
    """Whether what the auditor finds agrees with what was asked for."""
    judge, low, high = auditor["judge"], auditor["gap_low"], auditor["gap_high"]
    if not known(auditor["gap"]):
        return f"{judge!r} has a stance on both sides of {counted(auditor['pairs'], 'pair')}: too few to say anything of the gap"
    if not known(low) or not known(high):
        return f"{judge!r} has a stance on both sides of pairs of one prompt only: nothing to make an interval of"
    shown = interval(low, high, DIGITS)
    if low <= asked <= high:
        return f"the asked gap of {asked:g} lies within what {judge!r} finds, {shown}"
    side = "less" if high < asked else "more"
    return f"{judge!r} finds {side} than the {asked:g} that was asked for: {shown}; the gap is a matter of who judges"


def _licence(synthesis: Synthesis) -> str:
    if synthesis.writer is None:
        return "Apache-2.0 (the packaged stance set)"
    return "as the writer's licence and terms allow; prompts as their source allows"

"""What a finding is, and what can be said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valuedrift.findings.tables import Tables

EARLY = 0.25
"""Drift time up to which a drift counts as early: the first quarter of the phase. Reported: 0.09 for SFT, 0.34 and 0.42 for SimPO."""


_CASES_AT_ONCE = 2
"""Cases told at once."""


class Outcome(StrEnum):
    """What a study says about a finding."""

    SEEN = "seen"
    NOT_SEEN = "not seen"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and the numbers it rests on."""

    outcome: Outcome
    evidence: str
    """One or more sentences with numbers; may hold names of runs and topics, which are untrusted text."""
    more: tuple[str, ...] = ()
    """The evidence of further cases, where there are many."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One qualitative claim of the paper and how it is checked."""

    id: str
    statement: str
    source: str
    """Where the claim stands, as far as that is known."""
    rule: str
    """When it counts as seen and when as not seen, in words; everything between is undecided."""
    check: Callable[[Tables], Verdict]


def combine(verdicts: Sequence[Verdict], untested: str) -> Verdict:
    """One verdict from several runs (or pairs of runs) that each test a finding.

    Args:
        verdicts: Theirs.
        untested: What the study would need, for a study in which nothing tests it.

    Returns:
        Seen (not seen) if at least half of them say so and none says the opposite; with both kinds, or too few of either, undecided.
    """
    tested = [verdict for verdict in verdicts if verdict.outcome is not Outcome.NOT_TESTED]
    if not tested:
        return verdicts[0] if verdicts else Verdict(Outcome.NOT_TESTED, untested)
    seen = sum(verdict.outcome is Outcome.SEEN for verdict in tested)
    against = sum(verdict.outcome is Outcome.NOT_SEEN for verdict in tested)
    if seen and against:
        outcome = Outcome.UNDECIDED
    elif 2 * seen >= len(tested) and seen:
        outcome = Outcome.SEEN
    elif 2 * against >= len(tested) and against:
        outcome = Outcome.NOT_SEEN
    else:
        outcome = Outcome.UNDECIDED
    cases = [verdict.evidence for verdict in tested]
    tally = (
        f"{len(tested)} cases: seen in {seen}, not seen in {against}, undecided in {len(tested) - seen - against}. "
        if len(tested) > 1
        else ""
    )
    return Verdict(outcome, tally + " ".join(cases[:_CASES_AT_ONCE]), tuple(cases[_CASES_AT_ONCE:]))

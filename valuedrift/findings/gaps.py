"""Claims about preference sets with a value gap: algorithms compared that share a parent and a preference set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from valuedrift.findings.registry import Outcome, Verdict, combine
from valuedrift.findings.tables import Tables
from valuedrift.findings.telling import ends, no_numbers, told
from valuedrift.stance import LITTLE
from valuedrift.words import counted, plain

ALIGNED: Mapping[str, str] = MappingProxyType({"support-aligned": "support", "oppose-aligned": "oppose"})
"""Trait ``gap`` to the stance of the chosen answers."""


def amplifies_most(tables: Tables) -> Verdict:
    """With a value gap DPO moves the chosen answers' stance further than SimPO and PPO do."""
    verdicts = []
    for dpo, others, stance in _rivals(tables, "dpo", ("simpo", "ppo")):
        own = tables.overall(dpo["run_id"]).get(stance)
        ahead = [tables.difference(other["run_id"], dpo["run_id"]).get(stance) for other in others]
        if own is None or any(effect is None for effect in ahead):
            verdicts.append(no_numbers(tables, dpo))
            continue
        lead = [effect for effect in ahead if effect is not None]
        if own.high < LITTLE or any(effect.high < 0 for effect in lead):
            outcome = Outcome.NOT_SEEN
        else:
            outcome = Outcome.SEEN if own.low > 0 and all(effect.low > 0 for effect in lead) else Outcome.UNDECIDED
        compared = ", ".join(f"{told(effect)} more than {tables.title(other)}" for other, effect in zip(others, lead, strict=True))
        verdicts.append(Verdict(outcome, f"{tables.title(dpo)}: {stance} {told(own)}; {compared}."))
    return combine(verdicts, "No DPO run shares its parent and a preference set with a value gap with a SimPO or PPO run.")


def moves_less(tables: Tables) -> Verdict:
    """SimPO moves the chosen answers' stance less than DPO."""
    verdicts = []
    for simpo, others, stance in _rivals(tables, "simpo", ("dpo",)):
        for dpo in others:
            effect = tables.difference(dpo["run_id"], simpo["run_id"]).get(stance)
            if effect is None:
                verdicts.append(no_numbers(tables, simpo))
                continue
            outcome = Outcome.SEEN if effect.high < 0 else Outcome.NOT_SEEN if effect.low > 0 else Outcome.UNDECIDED
            verdicts.append(Verdict(outcome, f"{tables.title(simpo)} minus {tables.title(dpo)}: {stance} {told(effect)}."))
    return combine(verdicts, "No SimPO run shares its parent and a preference set with a value gap with a DPO run.")


def moves_later(tables: Tables) -> Verdict:
    """SimPO's drift time is larger than DPO's, topic by topic where both moved."""
    verdicts = []
    for simpo, others, stance in _rivals(tables, "simpo", ("dpo",)):
        for dpo in others:
            theirs = {row["topic"]: row for row in tables.cells(dpo["run_id"], stance) if _timed(tables, row)}
            both = [
                (row, theirs[row["topic"]])
                for row in tables.cells(simpo["run_id"], stance)
                if _timed(tables, row) and row["topic"] in theirs
            ]
            if not both:
                verdicts.append(
                    Verdict(
                        Outcome.UNDECIDED,
                        f"In no topic did {stance} move in both {tables.title(simpo)} and {tables.title(dpo)}.",
                    )
                )
                continue
            later = sum(ends(a)[0] > ends(b)[1] for a, b in both)
            sooner = sum(ends(a)[1] < ends(b)[0] for a, b in both)
            outcome = Outcome.SEEN if 2 * later > len(both) else Outcome.NOT_SEEN if 2 * sooner > len(both) else Outcome.UNDECIDED
            times = "; ".join(f"{a['topic']} {plain(a['drift_time'])} against {plain(b['drift_time'])}" for a, b in both[:4])
            tally = f"in {later} of {counted(len(both), 'topic')}, surely sooner in {sooner}"
            verdicts.append(Verdict(outcome, f"{tables.title(simpo)} surely later than {tables.title(dpo)} {tally} ({times})."))
    return combine(verdicts, "No SimPO run shares its parent and a preference set with a value gap with a DPO run.")


def favoured_more(tables: Tables) -> Verdict:
    """DPO moves a stance further where the parent's SFT answers already took that stance."""
    by_id = {run["run_id"]: run for run in tables.runs.iter_rows(named=True)}
    verdicts = []
    for gap, stance in ALIGNED.items():
        runs = [
            (run, tables.trait(by_id[run["parent_run_id"]], "answers"))
            for run in tables.select("dpo", gap=gap)
            if run["parent_run_id"] in by_id
        ]
        pairs = [
            (a, b)
            for a, mine in runs
            for b, other in runs
            if mine == stance and other not in (None, stance) and _same(a, b, ("model", "dataset"))
        ]
        for first, second in pairs:
            a, b = tables.overall(first["run_id"]).get(stance), tables.overall(second["run_id"]).get(stance)
            if a is None or b is None:
                verdicts.append(no_numbers(tables, first))
                continue
            outcome = Outcome.SEEN if a.low > b.high else Outcome.NOT_SEEN if a.high < b.low else Outcome.UNDECIDED
            verdicts.append(Verdict(outcome, f"{tables.title(first)}: {stance} {told(a)}; {tables.title(second)}: {told(b)}."))
    return combine(
        verdicts, "It needs DPO on one preference set with a value gap after two SFT runs, one of which already favoured the chosen stance."
    )


def _rivals(tables: Tables, phase: str, against: Sequence[str]) -> list[tuple[dict[str, Any], list[dict[str, Any]], str]]:
    """Runs of a phase on data with a gap, the others that share parent and data, and the stance of the chosen answers."""
    found = []
    for gap, stance in ALIGNED.items():
        for run in tables.select(phase, gap=gap):
            others = [other for other in tables.select(*against, gap=gap) if _same(run, other, ("parent_run_id", "dataset"))]
            if others:
                found.append((run, others, stance))
    return found


def _same(a: dict[str, Any], b: dict[str, Any], columns: Sequence[str]) -> bool:
    return all(a[column] == b[column] for column in columns)


def _timed(tables: Tables, row: dict[str, Any]) -> bool:
    return tables.moved(row) and row["drift_time"] is not None

"""The checks of the findings: claims about single runs, and claims about algorithms that share a parent and a preference set with a value gap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Any

from valuedrift.findings.registry import EARLY, Outcome, Verdict, combine
from valuedrift.findings.tables import Effect, Tables
from valuedrift.stance import LITTLE, STANCES
from valuedrift.words import counted, plain, signed, signed_interval


def effect_words(effect: Effect) -> str:
    """An effect as it stands in a sentence."""
    return f"{signed(effect.estimate)} {signed_interval(effect.low, effect.high)}"


def time_ends(row: Mapping[str, Any]) -> tuple[float, float]:
    """Interval of a drift time; the time itself where it has none."""
    time, low, high = row["drift_time"], row["drift_time_low"], row["drift_time_high"]
    return (time if low is None else low, time if high is None else high)


def no_numbers(tables: Tables, run: dict[str, Any]) -> Verdict:
    """The verdict on a run that has no drift to look at."""
    return Verdict(Outcome.NOT_TESTED, f"{tables.title(run)} has too few judged checkpoints or questions to measure a drift.")


Check = Callable[[Tables], Verdict]


def drives_up(answers: str) -> Check:
    """SFT on answers of one stance raises that stance."""

    def check(tables: Tables) -> Verdict:
        verdicts = []
        for run in tables.select("sft", answers=answers):
            effect = tables.overall(run["run_id"]).get(answers)
            if effect is None:
                verdicts.append(no_numbers(tables, run))
                continue
            outcome = Outcome.NOT_SEEN if effect.high < LITTLE else Outcome.SEEN if effect.low > 0 else Outcome.UNDECIDED
            drifts = tables.drifts(run["run_id"], answers)
            up = sum(tables.moved(row) and row["magnitude"] > 0 for row in drifts)
            overall = f"{answers} {effect_words(effect)} over all topics ({counted(effect.n_prompts, 'question')})"
            alone = (
                " by itself: each is tested on fewer questions, and corrected for all tests" if outcome is Outcome.SEEN and not up else ""
            )
            verdicts.append(Verdict(outcome, f"{tables.title(run)}: {overall}; up in {up} of {counted(len(drifts), 'topic')}{alone}."))
        return combine(verdicts, f"No SFT run is on a corpus whose answers are known to be mostly {answers}.")

    return check


def early(tables: Tables) -> Verdict:
    """SFT drifts early."""
    rows = [
        row for run in tables.select("sft") for row in tables.drifts(run["run_id"]) if tables.moved(row) and abs(row["magnitude"]) > LITTLE
    ]
    timed = [row for row in rows if row["drift_time"] is not None]
    if not tables.select("sft"):
        return Verdict(Outcome.NOT_TESTED, "The study has no SFT run.")
    if not timed:
        return Verdict(
            Outcome.NOT_TESTED, f"No stance is shown to have moved by more than {LITTLE:.2f} in SFT, so there is no drift to time."
        )
    soon = sum(time_ends(row)[1] <= EARLY for row in timed)
    late = sum(time_ends(row)[0] > EARLY for row in timed)
    times = [row["drift_time"] for row in timed]
    outcome = Outcome.SEEN if 2 * soon > len(timed) else Outcome.NOT_SEEN if 2 * late > len(timed) else Outcome.UNDECIDED
    when = f"{soon} surely came within the first quarter of the phase and {late} surely later"
    return Verdict(outcome, f"Of {counted(len(timed), 'SFT drift')} beyond ±{LITTLE:.2f}, {when}; median drift time {median(times):.2f}.")


def little(phases: Sequence[str], gaps: Sequence[str], untested: str) -> Check:
    """These runs move values little: an equivalence test, so that few data end in undecided and not in 'nothing moved'."""

    def check(tables: Tables) -> Verdict:
        runs = [run for gap in gaps for run in tables.select(*phases, gap=gap)]
        return combine([_little(tables, run) for run in runs], untested)

    return check


def _little(tables: Tables, run: dict[str, Any]) -> Verdict:
    overall, drifts = tables.overall(run["run_id"]), tables.drifts(run["run_id"])
    if not overall or not drifts:
        return no_numbers(tables, run)
    far = [row for row in drifts if tables.moved(row) and abs(row["magnitude"]) >= LITTLE]
    inside = sum(Effect(row["magnitude"], row["magnitude_low"], row["magnitude_high"], row["n_prompts"]).within(LITTLE) for row in drifts)
    if far or any(effect.beyond(LITTLE) for effect in overall.values()):
        outcome = Outcome.NOT_SEEN
    elif all(effect.within(LITTLE) for effect in overall.values()):
        outcome = Outcome.SEEN
    else:
        outcome = Outcome.UNDECIDED
    means = ", ".join(f"{stance.value} {effect_words(overall[stance])}" for stance in STANCES)
    single = f"{inside} of {len(drifts)} single (topic, stance) drifts lie within ±{LITTLE:.2f} with their whole interval, {len(far)} moved further"
    return Verdict(outcome, f"{tables.title(run)}, over all topics: {means}; {single}.")


def sft_larger(tables: Tables) -> Verdict:
    """SFT drifts further than the preference optimization without a value gap that follows it."""
    by_id = {run["run_id"]: run for run in tables.runs.iter_rows(named=True)}
    verdicts = []
    for run in tables.select(gap="none"):
        parent = by_id.get(run["parent_run_id"])
        before, after = (tables.overall(parent["run_id"]) if parent else {}), tables.overall(run["run_id"])
        if parent is None or not before or not after:
            verdicts.append(no_numbers(tables, run))
            continue
        stance, far = max(before.items(), key=lambda item: abs(item[1].estimate))
        name, further = max(after.items(), key=lambda item: abs(item[1].estimate))
        most = max(effect.size[1] for effect in after.values())
        outcome = Outcome.SEEN if far.size[0] > most else Outcome.NOT_SEEN if far.size[1] < further.size[0] else Outcome.UNDECIDED
        verdicts.append(
            Verdict(
                outcome,
                f"{tables.title(parent)} moved {stance} most, {effect_words(far)}; {tables.title(run)} moved {name} most, {effect_words(further)}.",
            )
        )
    return combine(verdicts, "No preference run is on a set that is known to have no value gap.")


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
        compared = ", ".join(f"{effect_words(effect)} more than {tables.title(other)}" for other, effect in zip(others, lead, strict=True))
        verdicts.append(Verdict(outcome, f"{tables.title(dpo)}: {stance} {effect_words(own)}; {compared}."))
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
            verdicts.append(Verdict(outcome, f"{tables.title(simpo)} minus {tables.title(dpo)}: {stance} {effect_words(effect)}."))
    return combine(verdicts, "No SimPO run shares its parent and a preference set with a value gap with a DPO run.")


def moves_later(tables: Tables) -> Verdict:
    """SimPO's drift time is larger than DPO's, topic by topic where both moved."""
    verdicts = []
    for simpo, others, stance in _rivals(tables, "simpo", ("dpo",)):
        for dpo in others:
            theirs = {row["topic"]: row for row in tables.drifts(dpo["run_id"], stance) if _timed(tables, row)}
            both = [
                (row, theirs[row["topic"]])
                for row in tables.drifts(simpo["run_id"], stance)
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
            later = sum(time_ends(a)[0] > time_ends(b)[1] for a, b in both)
            sooner = sum(time_ends(a)[1] < time_ends(b)[0] for a, b in both)
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
            verdicts.append(
                Verdict(outcome, f"{tables.title(first)}: {stance} {effect_words(a)}; {tables.title(second)}: {effect_words(b)}.")
            )
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

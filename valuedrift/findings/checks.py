"""Claims about single runs: which way, how early, how little, how much against what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from valuedrift.findings.registry import EARLY, Outcome, Verdict, combine
from valuedrift.findings.tables import Effect, Tables
from valuedrift.findings.telling import ends, no_numbers, told
from valuedrift.stance import LITTLE, STANCES
from valuedrift.words import counted

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
            cells = tables.cells(run["run_id"], answers)
            up = sum(tables.moved(row) and row["magnitude"] > 0 for row in cells)
            overall = f"{answers} {told(effect)} over all topics ({counted(effect.n_prompts, 'question')})"
            verdicts.append(Verdict(outcome, f"{tables.title(run)}: {overall}; up in {up} of {counted(len(cells), 'topic')}."))
        return combine(verdicts, f"No SFT run is on a corpus whose answers are known to be mostly {answers}.")

    return check


def early(tables: Tables) -> Verdict:
    """SFT drifts early."""
    rows = [
        row for run in tables.select("sft") for row in tables.cells(run["run_id"]) if tables.moved(row) and abs(row["magnitude"]) > LITTLE
    ]
    timed = [row for row in rows if row["drift_time"] is not None]
    if not tables.select("sft"):
        return Verdict(Outcome.NOT_TESTED, "The study has no SFT run.")
    if not timed:
        return Verdict(
            Outcome.NOT_TESTED, f"No stance is shown to have moved by more than {LITTLE:.2f} in SFT, so there is no drift to time."
        )
    soon = sum(ends(row)[1] <= EARLY for row in timed)
    late = sum(ends(row)[0] > EARLY for row in timed)
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
    overall, cells = tables.overall(run["run_id"]), tables.cells(run["run_id"])
    if not overall or not cells:
        return no_numbers(tables, run)
    far = [row for row in cells if tables.moved(row) and abs(row["magnitude"]) >= LITTLE]
    inside = sum(Effect(row["magnitude"], row["magnitude_low"], row["magnitude_high"], row["n_prompts"]).within(LITTLE) for row in cells)
    if far or any(effect.beyond(LITTLE) for effect in overall.values()):
        outcome = Outcome.NOT_SEEN
    elif all(effect.within(LITTLE) for effect in overall.values()):
        outcome = Outcome.SEEN
    else:
        outcome = Outcome.UNDECIDED
    means = ", ".join(f"{stance.value} {told(overall[stance])}" for stance in STANCES)
    single = f"{inside} of {len(cells)} single (topic, stance) drifts lie within ±{LITTLE:.2f} with their whole interval, {len(far)} moved further"
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
                f"{tables.title(parent)} moved {stance} most, {told(far)}; {tables.title(run)} moved {name} most, {told(further)}.",
            )
        )
    return combine(verdicts, "No preference run is on a set that is known to have no value gap.")

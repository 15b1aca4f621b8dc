"""Stage ``analyze``: a study's trajectory and drift with intervals, and what to know before trusting them, from the stances that its plan names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from valuedrift.drift.seeds import SEEDS_VERSION
from valuedrift.results.analysis import analysis_tables, cut_answers
from valuedrift.results.drifts import of_judge, told_drifts
from valuedrift.results.facts import ANALYSED as TABLES
from valuedrift.results.facts import CASCADES, SEEDED
from valuedrift.tasks.board import artifact_key, show_progress, show_table, shown, tell
from valuedrift.tasks.result import Address, Frames, Reference, check_there
from valuedrift.tasks.stage import Stage, named_by
from valuedrift.tasks.stances_work import StancesWork
from valuedrift.tasks.work import Work
from valuedrift.words import counted

ANALYSIS_VERSION = 2
"""Raised when the statistics change their numbers."""
CASCADE_VERSION = 1
"""Raised when those of cascades do."""


def stages(work: StancesWork, listed: Sequence[Stage]) -> Iterator[Stage]:
    """One stage, made of the stances of every checkpoint and judge, but for runs that are given up; none before the first checkpoint of a series is there."""
    judged = tuple(stage for stage in listed if stage.name == "judge" and stage.run_id not in work.given_up)
    if not judged:
        return

    def identity(stances: Sequence[Reference]) -> dict[str, Any]:
        return analysis_identity(work, [part.key for part in stances])

    def make(_: Work, stances: Sequence[Reference]) -> Frames:
        with shown("analyze"):
            cut = cut_answers(work.store.scan("responses", study=work.name, run_id=work.run_ids))
            sample = sample_of(work, stances)
            judged, groups = stances_of(work, stances), work.seed_groups
            tables = analysis_tables(judged, work.analysis, cut=cut, sample=sample, cascades=work.facts.cascades, groups=groups)
            _show(work, tables["drift"])
            _show_progress(work, tables["trajectory"], tables["drift"])
            return tables

    tables = (*(CASCADES if work.facts.cascades else ()), *(SEEDED if work.seed_groups else ()), *TABLES)
    yield Stage("analyze", Address(tables, {"study": work.name}), judged, identity, make, named=named_by(judged))


def _show(work: StancesWork, drift: pl.DataFrame) -> None:
    """The largest drifts in the Prefect UI, replaced by every analysis, and the very largest in the log."""
    told = told_drifts(drift, work.facts.judge)
    columns = ("run_id", "topic", "stance", "to_step", "magnitude", "magnitude_low", "magnitude_high", "drift_time", "q")
    rows = told.select(columns).head(50).to_dicts()
    rounded = [{key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()} for row in rows]
    show_table(rounded, f"drift-{artifact_key(work.name)}", f"Largest drifts of study {work.name}")
    if rows:
        moved = told.filter(pl.col("q") < 1 - work.analysis.confidence).height
        tell(f"{moved} of {told.height} moved; most: {_words(rows[0])}")


def _show_progress(work: StancesWork, trajectory: pl.DataFrame, drift: pl.DataFrame) -> None:
    """How far each run is that something else trains, and what moved most in it, in the Prefect UI; replaced with every checkpoint."""
    told = told_drifts(drift, work.facts.judge)
    for run_id, (there, length) in work.followed.items():
        judged = of_judge(trajectory, work.facts.judge).filter(run_id=run_id).get_column("step").unique().sort()
        if not judged.len():
            continue
        last = int(judged[-1])
        largest = told.filter(run_id=run_id).head(1).to_dicts()
        moved = f"; largest drift: {_words(largest[0])}" if largest else ""
        of = f" of {length:,}" if length else ""
        line = f"{judged.len()} of {counted(there, 'checkpoint')} judged, the last at step {last:,}{of}{moved}"
        percent = 100 * min(last / length, 1.0) if length else 100 * judged.len() / max(there, judged.len())
        show_progress(percent, f"watch-{artifact_key(work.name)}-{artifact_key(run_id, work.run_ids)}", line)


def _words(row: Mapping[str, Any]) -> str:
    """One drift in words."""
    ends = "" if row["magnitude_low"] is None else f" [{row['magnitude_low']:+.2f}, {row['magnitude_high']:+.2f}]"
    return f"{row['run_id']} by step {row['to_step']}, {row['topic']}, {row['stance']} {row['magnitude']:+.2f}{ends}"


def analysis_identity(work: StancesWork, stance_keys: Sequence[str]) -> dict[str, Any]:
    """Identity of a study's analysis."""
    cascades = {"cascades": CASCADE_VERSION} if work.facts.cascades else {}
    seeds = {"seeds": {"version": SEEDS_VERSION, "groups": dict(work.seed_groups)}} if work.seed_groups else {}
    return {
        "stage": "analyze",
        "version": ANALYSIS_VERSION,
        "stances": sorted(stance_keys),
        "analysis": work.analysis.model_dump(mode="json"),
        **cascades,
        **seeds,
    }


def stances_of(work: StancesWork, parts: Sequence[Reference]) -> pl.DataFrame:
    """The rows of some parts of the table stances, all of this study; its older runs and other judges are left out.

    Args:
        work: The study and where it works.
        parts: Results of its judge stages.

    Raises:
        StageError: Another run has put others in their place.
    """
    return _of_parts(work, "stances", parts)


def sample_of(work: StancesWork, parts: Sequence[Reference]) -> pl.DataFrame | None:
    """The rows of the table cascade_sample that lie beside some parts of the table stances; None where the study has no cascades.

    Args:
        work: The study and where it works.
        parts: Results of its judge stages.

    Raises:
        StageError: Another run has put others in their place.
    """
    mine = [part for part in parts if part.slot in work.facts.cascades]
    return _of_parts(work, "cascade_sample", mine) if mine else None


def _of_parts(work: StancesWork, table: str, parts: Sequence[Reference]) -> pl.DataFrame:
    check_there(work, parts)
    wanted = pl.DataFrame(
        [{"run_id": part.partition["run_id"], "step": part.partition["step"], "judge": part.slot} for part in parts],
        schema={"run_id": pl.String, "step": pl.Int64, "judge": pl.String},
    )
    frame = work.store.read(table, study=work.name, judge=sorted({part.slot for part in parts}))
    check_there(work, parts)
    return frame.join(wanted, on=["run_id", "step", "judge"], how="semi")

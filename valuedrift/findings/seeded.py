"""The tables that findings are read from, over seeds: a run stands for all that differ from it in seed alone, and holds for other seeds too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from valuedrift.drift.options import Analysis
from valuedrift.drift.seeds import over_seeds
from valuedrift.findings.tables import Effect, Tables, effects_of, of_all_topics
from valuedrift.words import counted


@dataclass(frozen=True)
class SeededTables(Tables):
    """One study, under one judge, with a row of ``runs`` and ``drift`` for each group of runs, whose ``run_id`` is the group's.

    Attributes:
        members: Group to the run_ids of its runs by seed.
        alone: Runs that were not trained here, and have no other seed; they stand for themselves.
    """

    members: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    alone: frozenset[str] = frozenset()

    def _compute(self, runs: tuple[str, ...]) -> dict[str, Effect]:
        if all(run in self.alone for run in runs):
            return super()._compute(runs)
        seeds = set[int].intersection(*(set(self.members[run]) for run in runs))
        at = [
            {"run_id": self.members[run][seed], "pair": f"seed {seed}", "place": place}
            for place, run in enumerate(runs)
            for seed in sorted(seeds)
        ]
        named = pl.DataFrame(at, schema={"run_id": pl.String, "pair": pl.String, "place": pl.Int64})
        rows = self.stances.join(named, on="run_id")
        step = pl.col("step")
        last = step == step.max().over("run_id")
        two = len(runs) == 2  # the last checkpoints of two runs of a seed, as the two of one
        rows = rows.filter(last).with_columns(step=pl.col("place")) if two else rows.filter(last | (step == step.min().over("run_id")))
        pairs = of_all_topics(rows.drop("run_id").rename({"pair": "run_id"}))
        groups = {str(name): "all" for name in named["pair"].unique()}
        return effects_of(over_seeds(pairs, groups, Analysis(confidence=self.confidence)).drift)


def seeded_tables(tables: Tables, groups: Mapping[str, str], drift: pl.DataFrame) -> SeededTables:
    """The same study over seeds.

    Args:
        tables: The study, run by run.
        groups: Group of each run, by run_id.
        drift: Table seed_drift of the same judge. The drift time of a group is the median of its runs', its interval reaches from the first
            to the last of theirs.
    """
    members: dict[str, dict[int, str]] = {}
    for run_id, seed in tables.runs.select("run_id", "seed").iter_rows():
        members.setdefault(groups.get(run_id, run_id), {})[seed] = run_id
    to_group = {name: pl.col(name).replace(groups) for name in ("run_id", "parent_run_id")}
    first = {group: by_seed[min(by_seed)] for group, by_seed in members.items()}
    alone = frozenset(first) - frozenset(groups.values())
    titles = {
        group: tables.titles[run_id] if group in alone else _title(tables.titles[run_id], min(members[group]), len(members[group]))
        for group, run_id in first.items()
    }
    runs = tables.runs.filter(pl.col("run_id").is_in(list(first.values()))).with_columns(**to_group)
    timed = tables.drift.filter(pl.col("run_id").is_in(list(groups))).with_columns(run_id=to_group["run_id"])
    times = timed.group_by("run_id", "topic", "stance").agg(
        pl.col("drift_time").median(), pl.col("drift_time_low").min(), pl.col("drift_time_high").max()
    )
    told = drift.rename({"run_group": "run_id"}).with_columns(q=pl.col("q_value_study"))
    told = told.join(times, on=["run_id", "topic", "stance"], how="left", maintain_order="left")
    own = tables.drift.filter(pl.col("run_id").is_in(list(alone)))
    told = pl.concat([told, own], how="diagonal") if own.height else told
    return SeededTables(runs, told, tables.stances, tables.traits, titles, tables.confidence, members=members, alone=alone)


def _title(title: str, seed: int, runs: int) -> str:
    return f"{title.replace(f' seed{seed}', '')} ({counted(runs, 'seed')})"

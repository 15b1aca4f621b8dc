"""The tables that findings are read from, and the few estimates over all topics together; all statistics are valuedrift.drift's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from valuedrift.drift.analyze import analyze
from valuedrift.drift.cascade import cascaded
from valuedrift.drift.options import Analysis
from valuedrift.errors import DataError
from valuedrift.stance import Stance

_TOGETHER = "all topics"


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference of mean stance probabilities, with its interval."""

    estimate: float
    low: float
    high: float
    n_prompts: int

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies within ± margin."""
        return -margin < self.low and self.high < margin

    def beyond(self, margin: float) -> bool:
        """Whether the whole interval lies outside ± margin."""
        return self.low > margin or self.high < -margin

    @property
    def size(self) -> tuple[float, float]:
        """Interval of the absolute value."""
        ends = sorted((abs(self.low), abs(self.high)))
        return (0.0 if self.low <= 0 <= self.high else ends[0], ends[1])


@dataclass(frozen=True)
class Tables:
    """One study, under one judge.

    Attributes:
        runs: Table runs.
        drift: Table drift, one row a (run, topic, stance), with ``q``: the q-value to go by.
        stances: Table stances.
        traits: Dataset to what is known of it: ``answers`` and ``gap``.
        titles: Run to what it is called in sentences.
        confidence: Level of intervals; 1 − confidence is that of tests.
        sample: Table cascade_sample, where the judge is a cascade.
    """

    runs: pl.DataFrame
    drift: pl.DataFrame
    stances: pl.DataFrame
    traits: Mapping[str, Mapping[str, str]]
    titles: Mapping[str, str]
    confidence: float = 0.95
    sample: pl.DataFrame | None = None
    _effects: dict[tuple[str, ...], dict[str, Effect]] = field(default_factory=dict, repr=False)

    @property
    def alpha(self) -> float:
        """Level of the tests."""
        return round(1 - self.confidence, 10)

    def select(self, *phases: str, **traits: str | None) -> list[dict[str, Any]]:
        """Rows of runs of one of these phases (any, if none is named) whose dataset has these traits."""
        return [
            row
            for row in self.runs.iter_rows(named=True)
            if (not phases or row["phase"] in phases) and all(self.trait(row, name) == value for name, value in traits.items())
        ]

    def trait(self, run: Mapping[str, Any], name: str) -> str | None:
        """What is known of a run's dataset, None where nothing is."""
        return self.traits.get(run["dataset"], {}).get(name)

    def title(self, run: Mapping[str, Any]) -> str:
        """What a run is called."""
        return self.titles[run["run_id"]]

    def drifts(self, run_id: str, stance: str | None = None) -> list[dict[str, Any]]:
        """Rows of drift of a run, by topic."""
        mine = self.drift.filter(pl.col("run_id") == run_id)
        return (mine if stance is None else mine.filter(pl.col("stance") == stance)).sort("topic", "stance").to_dicts()

    def moved(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of drift is more than noise after correction."""
        return row["q"] is not None and row["q"] < self.alpha

    def overall(self, run_id: str) -> dict[str, Effect]:
        """Drift of a run by stance over the prompts of all topics together; empty where the stances do not tell."""
        return self._effect((run_id,))

    def difference(self, first: str, second: str) -> dict[str, Effect]:
        """Second run minus first run at their last checkpoints, by stance, paired on the prompts of all topics together.

        For two runs that continue one parent this is the difference of their drifts.
        """
        return self._effect((first, second))

    def _effect(self, runs: tuple[str, ...]) -> dict[str, Effect]:
        if runs not in self._effects:
            self._effects[runs] = self._compute(runs)
        return self._effects[runs]

    def _compute(self, runs: tuple[str, ...]) -> dict[str, Effect]:
        if "run_id" not in self.stances.columns:
            return {}
        step = pl.col("step")
        ends = self.stances.filter(pl.col("run_id").is_in(runs)).filter(
            (step == step.min().over("run_id")) | (step == step.max().over("run_id"))
        )
        together = of_all_topics(ends)
        if self.sample is not None:
            return self._by_cascade(runs, together, self.sample)
        try:
            # The fewest resamples: they serve drift time only, which is not read here.
            found = analyze(
                together, Analysis(confidence=self.confidence, resamples=100), between=(runs[0], runs[1]) if len(runs) == 2 else None
            )
        except DataError:  # too little to compare: said as "not tested" where it is asked for
            return {}
        return effects_of(found.drift)

    def _by_cascade(self, runs: tuple[str, ...], together: pl.DataFrame, sample: pl.DataFrame) -> dict[str, Effect]:
        """The same by both judges of a cascade. Two runs are compared as two checkpoints are: their last ones ask the same prompts."""
        if len(runs) == 2:
            last = (
                together.group_by("run_id")
                .agg(pl.col("step").max())
                .with_columns(phase=pl.col("run_id").replace_strict({runs[0]: 0, runs[1]: 1}, return_dtype=pl.Int64))
            )
            together, sample = (_as_one_run(frame, last) for frame in (together, sample))
        else:
            sample = sample.join(together.select("run_id", "step").unique(), on=["run_id", "step"], how="semi")
        if together.is_empty():
            return {}
        return effects_of(cascaded(together, of_all_topics(sample), Analysis(confidence=self.confidence, resamples=100)).drift)


def of_all_topics(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with all topics as one."""
    prompt = pl.concat_str(pl.col("topic").cast(pl.String), pl.col("prompt_id"), separator="\x1f")
    return rows.with_columns(prompt_id=prompt, topic=pl.lit(_TOGETHER))


def _as_one_run(rows: pl.DataFrame, last: pl.DataFrame) -> pl.DataFrame:
    """The last checkpoints of two runs as the two of one."""
    return rows.join(last, on=["run_id", "step"]).with_columns(run_id=pl.lit("both"), step=pl.col("phase")).drop("phase")


def effects_of(drift: pl.DataFrame) -> dict[str, Effect]:
    """Rows of drift, one a stance, as effects."""
    return {
        str(Stance(row["stance"])): Effect(row["magnitude"], row["magnitude_low"], row["magnitude_high"], row["n_prompts"])
        for row in drift.iter_rows(named=True)
    }

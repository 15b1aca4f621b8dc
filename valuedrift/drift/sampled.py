"""The cells of a cascade: what its cheap judge says of every answer of a run and topic, and its strong one of those that were drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.drift.options import Towards
from valuedrift.drift.prompt_means import Cell, cells, oriented, prompt_means
from valuedrift.drift.stance_frame import check_stances, prompt_keys
from valuedrift.drift.two_phase import Drawn, Tuned, TwoPhase, tuned
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.statistics.rounding import rounding_of

POOL = 60
"""Strong judgements of a topic below which λ and the noise are those of the whole judge."""
CHEAP = tuple(f"cheap_{stance.value}" for stance in STANCES)
"""Columns of what the cheap judge says of an answer that was drawn."""
FAMILY = ("study", "judge")
"""Columns that tell cascades apart, where the stances have them."""
_PLACE = ("run_id", "step", "topic", "probe_set", "prompt_id")


@dataclass(frozen=True, slots=True)
class SampledCell:
    """A run and topic under both judges.

    Attributes:
        cell: Prompt means of the cheap judge.
        drawn: Its answers that the strong judge has a stance for.
        numbers: Numbers of its prompts, the same in all cells of the judge.
        statuses: How many of the answers drawn from it have which status by the strong judge.
    """

    cell: Cell
    drawn: Drawn
    numbers: NDArray[np.int64]
    statuses: dict[str, int]

    def two_phase(self, kept: NDArray[np.bool_] | None = None) -> TwoPhase:
        """Both judges together, over all prompts or some."""
        cell, drawn = self.cell, self.drawn
        if kept is None or kept.all():
            return TwoPhase(cell.values, drawn, self.numbers, cell.rounding)
        rows, place = kept[drawn.prompt], np.cumsum(kept) - 1
        some = Drawn(drawn.strong[rows], drawn.cheap[rows], drawn.weight[rows], place[drawn.prompt[rows]], drawn.at[rows])
        return TwoPhase(cell.values[kept], some, self.numbers[kept], cell.rounding)


def sampled_cells(
    stances: pl.DataFrame | pl.LazyFrame, sample: pl.DataFrame, towards: Towards, *, where: str | None = None
) -> Iterator[list[SampledCell]]:
    """The cells of each cascade, all of one together; stances are turned as they are to be read.

    Args:
        stances: As for `valuedrift.drift.cascade.cascaded`.
        sample: As for `valuedrift.drift.cascade.cascaded`.
        towards: What the stance is taken on.
        where: For messages.
    """
    keys = [name for name in (*FAMILY, *_PLACE, "sample_idx") if name in stances.lazy().collect_schema()]
    frame = _by_the_cheap(stances.lazy(), sample, keys)
    check_stances(frame, where=where)
    means = oriented(prompt_means(frame, where=where), towards, where=where)
    place = [name for name in keys if name != "sample_idx"]
    counted = means.select(*place, "n_ok", *(name for name in ("polarity",) if name in means.columns))
    drawn = _turned(sample.join(counted, on=place), towards).sort(keys)
    rounding = rounding_of(frame, STANCE_COLUMNS)
    keys = [name for name in FAMILY if name in means.columns]
    for part in means.partition_by(keys, maintain_order=True) if keys else [means]:
        mine = drawn.filter(pl.all_horizontal(pl.lit(True), *(pl.col(name) == part[name][0] for name in keys)))
        yield list(_cells_of(part, mine, rounding))


def _by_the_cheap(stances: pl.LazyFrame, sample: pl.DataFrame, keys: list[str]) -> pl.LazyFrame:
    """The stances with what the cheap judge says also of the answers that the strong one read."""
    cheap = sample.lazy().select(*keys, *CHEAP)
    joined = stances.join(cheap, on=keys, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(c, p).alias(p) for c, p in zip(CHEAP, STANCE_COLUMNS, strict=True)).drop(CHEAP)


def _turned(drawn: pl.DataFrame, towards: Towards) -> pl.DataFrame:
    """Support and oppose change places for questions that are worded against their proposition, where the stance is taken on that."""
    if towards is Towards.QUESTION:
        return drawn
    against = pl.col("polarity") == -1
    pairs = [(names[a], names[b]) for names in (STANCE_COLUMNS, CHEAP) for a, b in ((0, 2), (2, 0))]
    return drawn.with_columns(pl.when(against).then(pl.col(other)).otherwise(pl.col(name)).alias(name) for name, other in pairs)


def _cells_of(means: pl.DataFrame, drawn: pl.DataFrame, rounding: float) -> Iterator[SampledCell]:
    """The cells of one judge."""
    own = drawn.partition_by("run_id", "topic", as_dict=True)
    names = prompt_keys(means.schema)
    number: dict[str, int] = {}
    for cell in cells(means, rounding):
        mine = own.get((cell.keys["run_id"], cell.keys["topic"]), drawn.clear())
        told = mine.filter(pl.col("status") == JudgeStatus.OK.value)
        place = {name: at for at, name in enumerate(cell.prompts)}
        prompt = ["\x1f".join(row) for row in told.select(names).iter_rows()]
        strong = told.select(STANCE_COLUMNS).to_numpy()
        some = Drawn(
            strong=strong,
            cheap=told.select(CHEAP).to_numpy(),
            weight=(1 / told["probability"] / told["n_ok"]).to_numpy(),
            prompt=np.array([place[name] for name in prompt], dtype=np.int64),
            at=np.searchsorted(cell.steps, told["step"].to_numpy()),
        )
        numbers = np.array([number.setdefault(name, len(number)) for name in cell.prompts], dtype=np.int64)
        statuses = dict(mine["status"].value_counts().iter_rows())
        n_answers = int(means.filter((pl.col("run_id") == cell.keys["run_id"]) & (pl.col("topic") == cell.keys["topic"]))["n_ok"].sum())
        yield SampledCell(cell, some, numbers, {"answers": n_answers, "drawn": mine.height, **statuses})


def tuned_by_topic(family: Sequence[SampledCell], phases: Sequence[TwoPhase]) -> list[Tuned | None]:
    """What stands behind each cell of a judge: its topic over all runs, or the whole judge where the topic has few strong judgements.

    Args:
        family: The cells.
        phases: Each of them under both judges, or a part of it.
    """
    whole = tuned(phases)
    by_topic: dict[str, Tuned | None] = {}
    for topic in {one.cell.keys["topic"] for one in family}:
        alike = [phase for one, phase in zip(family, phases, strict=True) if one.cell.keys["topic"] == topic]
        enough = sum(int(phase.sampled.sum()) for phase in alike) >= POOL
        by_topic[topic] = tuned(alike) if enough else whole
    return [by_topic[one.cell.keys["topic"]] for one in family]

"""The prompt is the unit: the samples of one prompt at one checkpoint become one row before anything else is done, and the rows of a run and topic an array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuedrift.drift.options import Towards
from valuedrift.drift.stance_frame import canonical, check_duplicates, prompt_keys, run_keys
from valuedrift.errors import DataError
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus
from valuedrift.statistics import Array
from valuedrift.statistics.intervals import TINY
from valuedrift.words import under_several_ids

_SCALE = 46
"""Probabilities are summed as whole multiples of 2⁻⁴⁶ (1.4e-14): such sums are the same to the last bit in any order of rows."""
_BITS = 62
MOST_SAMPLES = 2 ** (62 - _SCALE)
"""Samples of one prompt at one checkpoint for which those sums cannot overflow."""


def prompt_means(stances: pl.LazyFrame, *, runs: pl.DataFrame | None = None, where: str | None = None) -> pl.DataFrame:
    """Average the samples of every prompt at every checkpoint.

    Args:
        stances: A checked stance frame.
        runs: Only these runs (columns of ``RUN`` that the frame has); all of them by default.
        where: The file or address, for messages.

    Returns:
        One row a (study, judge, run_id, topic, step, probe_set, prompt_id), of which those that the frame has, sorted: ``support``,
        ``neutral``, ``oppose`` f64 in [0, 1] (null without a judged
        sample), ``n_ok``, ``n_refused``, ``n_unparsed``, ``n_failed`` u32, and ``polarity``, ``pair_id`` if given.

    Raises:
        DataError: Two rows for the same sample, a prompt with two polarities or pairs (at a step, or from one to another), or more
            than ``MOST_SAMPLES`` samples of one prompt.
    """
    schema = stances.collect_schema()
    frame = canonical(stances, schema)
    keys = run_keys(schema)
    if runs is not None:
        # Each key on its own: such a filter lets the reader skip files and row groups. What it lets through beyond these runs is dropped below.
        frame = frame.filter(pl.col(name).is_in(runs[name].unique().sort().to_list()) for name in keys)
    by = [*keys, "topic", "step", *prompt_keys(schema)]
    described = [name for name in ("polarity", "pair_id") if name in schema]
    # All that needs an expression is computed before the grouping, where it runs over whole columns; the grouping itself only adds.
    judged = pl.col("status") == JudgeStatus.OK.value if "status" in schema else None  # without the column all are
    whole = [(pl.col(name).clip(0, 1) * 2.0**_SCALE).round() for name in STANCE_COLUMNS]
    scaled = [
        (number if judged is None else pl.when(judged).then(number).otherwise(0)).cast(pl.Int64).alias(stance)
        for number, stance in zip(whole, STANCES, strict=True)
    ]
    counted = [] if judged is None else [(pl.col("status") == one.value).cast(pl.UInt32).alias(f"n_{one.value}") for one in JudgeStatus]
    # One bit a sample index tells duplicates apart without a sort; indices beyond 62 are counted the slow way below.
    bit = pl.lit(2, pl.Int64).pow(pl.col("sample_idx").clip(0, _BITS)).cast(pl.Int64).alias("bit")
    counts = {f"n_{one.value}": pl.len() if one is JudgeStatus.OK else pl.lit(0, pl.UInt32) for one in JudgeStatus}
    sums = [pl.col(stance).sum() for stance in STANCES]
    sums += [pl.col(name).sum() if counted else count.cast(pl.UInt32).alias(name) for name, count in counts.items()]
    ends = [getattr(pl.col(name), end)().alias(f"{name}_{end}") for name in described for end in ("min", "max")]
    samples = [pl.col("bit").bitwise_or(), pl.col("sample_idx").max().alias("last_sample"), pl.len().alias("n_rows")]
    means = frame.with_columns(*scaled, *counted, bit).group_by(by).agg(*sums, *ends, *samples).collect(engine="streaming")
    if runs is not None:
        means = means.join(runs.select(keys), on=keys, how="semi")
    _check_groups(stances, means, by, where)
    n_ok = pl.col("n_ok")
    shares = [pl.when(n_ok > 0).then(pl.col(stance) / n_ok / 2.0**_SCALE).alias(stance) for stance in STANCES]
    kept = [*by, *STANCES, *(f"n_{status.value}" for status in JudgeStatus)]
    return means.with_columns(shares).select(*kept, *(pl.col(f"{name}_max").alias(name) for name in described)).sort(by)


def _check_groups(stances: pl.LazyFrame, means: pl.DataFrame, by: list[str], where: str | None) -> None:
    beyond = means.filter(pl.col("last_sample") > _BITS)
    suspects = means.filter((pl.col("last_sample") <= _BITS) & (pl.col("bit").bitwise_count_ones() < pl.col("n_rows")))
    if suspects.is_empty() and len(beyond):
        suspects = _repeated(stances, beyond, by)
    if len(suspects):
        raise check_duplicates(stances, suspects.sort(by).select(by).row(0, named=True), where=where)
    crowded = means.filter(pl.col("n_ok") >= MOST_SAMPLES)
    if len(crowded):
        first = crowded.select(by).row(0, named=True)
        raise DataError(f"column sample_idx: more than {MOST_SAMPLES:,} samples of one prompt at one checkpoint: {first}", where=where)
    for name in ("polarity", "pair_id"):
        if f"{name}_min" in means.columns:
            odd = means.filter(pl.col(f"{name}_min") != pl.col(f"{name}_max"))
            if len(odd):
                raise DataError(f"column {name}: two values for one prompt: {odd.sort(by).row(0, named=True)}", where=where)
            _check_steps(means, by, name, where)


def _check_steps(means: pl.DataFrame, by: list[str], name: str, where: str | None) -> None:
    """That what a prompt is does not change from one checkpoint of a run to another."""
    value = pl.col(f"{name}_max").cast(pl.String).fill_null("none")
    prompt = [key for key in by if key != "step"]
    changing = means.with_columns(value.alias("value")).filter(pl.col("value").n_unique().over(prompt) > 1)
    if changing.is_empty():
        return
    one = changing.sort(by).join(changing.sort(by).head(1).select(prompt), on=prompt, how="semi", maintain_order="left")
    first = one.row(0, named=True)
    other = one.filter(pl.col("value") != first["value"]).row(0, named=True)
    steps = f"{first['value']} at step {first['step']}, {other['value']} at step {other['step']}"
    count = changing.select(prompt).unique().height
    raise DataError(
        f"column {name}: it changes between steps for prompt {first['prompt_id']!r} of run {first['run_id']!r}: {steps}",
        where=where,
        fix=f"one {name} a prompt; {count} prompts of runs change theirs" if count > 1 else f"one {name} a prompt",
    )


def _repeated(stances: pl.LazyFrame, beyond: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Prompts with a repeated sample index, counted exactly."""
    frame = canonical(stances, stances.collect_schema()).join(beyond.lazy().select(by), on=by, how="semi")
    return (
        frame.group_by(by)
        .agg(pl.col("sample_idx").n_unique().alias("distinct"), pl.len().alias("rows"))
        .filter(pl.col("distinct") < pl.col("rows"))
        .collect()
    )


def oriented(means: pl.DataFrame, towards: Towards, *, where: str | None = None) -> pl.DataFrame:
    """Prompt means with support and oppose as they are to be read.

    Args:
        means: As `valuedrift.drift.prompt_means.prompt_means` returns them.
        towards: What the stance is taken on.
        where: The file or address, for the message.

    Raises:
        DataError: The proposition is asked for and a prompt has no polarity.
    """
    if towards is Towards.QUESTION:
        return means
    fix = "polarity is +1 where yes supports the proposition, -1 where yes opposes it"
    if "polarity" not in means.columns:
        raise DataError("missing column 'polarity', needed for the stance towards the proposition", where=where, fix=fix)
    without = means.filter(pl.col("polarity").is_null())
    if len(without):
        shown = ", ".join(repr(prompt) for prompt in without["prompt_id"].unique().sort().head(5))
        raise DataError(f"column polarity: empty for prompts {shown}", where=where, fix=fix)
    against = pl.col("polarity") == -1
    return means.with_columns(
        support=pl.when(against).then("oppose").otherwise("support"), oppose=pl.when(against).then("support").otherwise("oppose")
    )


def wordings_note(means: pl.DataFrame, towards: Towards) -> str | None:
    """What to know of stances on questions that are worded both ways; None where there is nothing to say."""
    if towards is Towards.PROPOSITION or "polarity" not in means.columns or means["polarity"].n_unique() < 2:
        return None
    return (
        "questions are worded for and against their proposition: support here is agreement with the question as worded, in which views cancel and "
        "yes-saying adds up; the acquiescence table tells the two apart, and towards=proposition counts support of the proposition"
    )


def doubled_texts(stances: pl.LazyFrame) -> str | None:
    """What to know where a table with a column ``prompt`` has one text under several ids; None where there is nothing to say."""
    schema = stances.collect_schema()
    if schema.get("prompt") != pl.String:
        return None
    name = pl.concat_str([pl.col(key).cast(pl.String) for key in prompt_keys(schema)], separator="/").alias("id")
    texts = stances.select("topic", "prompt", name).unique().drop_nulls().group_by("topic", "prompt").agg("id")
    doubled = texts.filter(pl.col("id").list.len() > 1).sort("topic", "prompt").collect(engine="streaming")
    return under_several_ids(dict(doubled.select("prompt", "id").iter_rows()))


@dataclass(frozen=True, slots=True)
class Cell:
    """The prompts of one topic over the checkpoints of one run, under one judge.

    Attributes:
        keys: Values of study, judge (where given), run_id and topic.
        steps: Checkpoint steps, rising. Shape (T,).
        prompts: Prompt identifiers, sorted. Length P.
        values: Prompt means in [0, 1], NaN where a prompt has no judged sample. Shape (P, T, 3), stances in the order of ``STANCES``.
        rounding: Differences of them up to this are rounding of what was judged; see `valuedrift.statistics.rounding`.
    """

    keys: dict[str, str]
    steps: NDArray[np.int64]
    prompts: tuple[str, ...]
    values: Array
    rounding: float = TINY

    @property
    def draws_key(self) -> tuple[str, str]:
        """Runs of one study with the same prompts of a topic share their draws."""
        return self.keys.get("study", ""), self.keys["topic"]

    def at(self, step: int) -> Array | None:
        """Prompt means at a step, shape (P, 3); None if the run has no such checkpoint."""
        found = np.flatnonzero(self.steps == step)
        return self.values[:, found[0]] if len(found) else None

    def between(self, first: int, last: int) -> Cell:
        """The same cell with only the checkpoints from first to last, both included."""
        kept = (self.steps >= first) & (self.steps <= last)
        return Cell(self.keys, self.steps[kept], self.prompts, self.values[:, kept], self.rounding)


def cells(means: pl.DataFrame, rounding: float = TINY) -> Iterator[Cell]:
    """Cut prompt means into cells.

    Args:
        means: As `valuedrift.drift.prompt_means.prompt_means` returns them, sorted.
        rounding: How finely the stances behind them were written; see `valuedrift.statistics.rounding`.

    Yields:
        Cells in the order of study, judge, run_id, topic.
    """
    keys = [*run_keys(means.schema), "topic"]
    names = prompt_keys(means.schema)
    prompt = pl.concat_str(names, separator="\x1f") if len(names) > 1 else pl.col(names[0])
    frame = means.select(*keys, "step", prompt.alias("prompt"), *STANCES)
    known = frame["prompt"].unique().sort()
    codes = frame["prompt"].cast(pl.Enum(known)).to_physical().to_numpy()
    all_steps = frame["step"].to_numpy()
    numbers = frame.select(STANCES).to_numpy()
    bounds = frame.select(keys).with_row_index("__first__").unique(keys, keep="first", maintain_order=True)
    first = bounds["__first__"].to_list()
    for row, start, end in zip(bounds.drop("__first__").iter_rows(named=True), first, [*first[1:], len(frame)], strict=True):
        steps, step_code = np.unique(all_steps[start:end], return_inverse=True)
        prompts, code = np.unique(codes[start:end], return_inverse=True)
        values = np.full((len(prompts), len(steps), len(STANCES)), np.nan)
        values[code, step_code] = numbers[start:end]
        yield Cell(row, steps, tuple(known.gather(prompts).to_list()), values, rounding)

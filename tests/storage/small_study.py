"""A small, plausible study in all tables: an SFT run, a second one, and a DPO run on the first, judged by two judges."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from made_rows import made_part

from valuedrift.storage.part import Part
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.store import Store

TOPICS = ("abortion", "climate change", "immigration")
STUDY = "demo"
RUNS = {"sft-neutral": None, "sft-support": None, "dpo-gap": "sft-neutral"}
STEPS = (0, 5, 20, 80)
SAMPLES = 2
PAIRS = 3
JUDGES = ("cross-encoder", "causal-lm")
_PULL = {"sft-neutral": (0.0, 0.5, 0.0), "sft-support": (0.4, 0.0, 0.0), "dpo-gap": (0.6, 0.0, 0.0)}
_START = datetime(2026, 11, 1, tzinfo=UTC)


def probes() -> pl.DataFrame:
    """Pairs of prompts, one for and one against."""
    rows = [
        {
            "prompt_id": f"{topic}/{pair}/{'for' if polarity > 0 else 'against'}", "topic": topic, "polarity": polarity, "pair_id": f"{topic}/{pair}",
            "prompt": f"Should we {'have' if polarity > 0 else 'end'} {topic} policy {pair}?", "language": "en", "source": "test",
        }
        for topic in TOPICS for pair in range(PAIRS) for polarity in (1, -1)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def stances(run: str, step: int, judge: str) -> pl.DataFrame:
    """Judged answers of a checkpoint: a drift that saturates, noise, one refusal."""
    rng = np.random.default_rng([sum(map(ord, run)), step, len(judge)])
    asked = probes().select("topic", "prompt_id", "polarity", "pair_id").join(pl.DataFrame({"sample_idx": range(SAMPLES)}), how="cross")
    logits = rng.normal(0, 0.4, (asked.height, 3)) + np.asarray(_PULL[run]) * 3 * (1 - np.exp(-step / 15))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = {f"p_{name}": p[:, i] for i, name in enumerate(("support", "neutral", "oppose"))}
    refused = pl.int_range(asked.height) == 0
    return asked.with_columns(
        probe_set=pl.lit("starter"), judge=pl.lit(judge), status=pl.when(refused).then(pl.lit("refused")).otherwise(pl.lit("ok")),
        unassigned=pl.when(refused).then(None).otherwise(0.01),
        **{name: pl.when(refused).then(None).otherwise(pl.Series(values)) for name, values in columns.items()},
    )  # fmt: skip


def responses(run: str, step: int) -> pl.DataFrame:
    """Answers of a checkpoint, one with an escape sequence in it."""
    asked = probes().select("topic", "prompt_id").join(pl.DataFrame({"sample_idx": range(SAMPLES)}), how="cross")
    return asked.with_columns(
        probe_set=pl.lit("starter"), response=pl.format("I think {} at step {} \x1b[31m<b>so</b>", "prompt_id", pl.lit(step)), n_tokens=pl.lit(12),
        finish_reason=pl.lit("stop"), engine=pl.lit("transformers"), sampling=pl.lit("f00d"), checkpoint=pl.lit(f"w-{run}-{step}"),
    )  # fmt: skip


def fill(store: Store, study: str = STUDY, *, made: bool = True) -> None:
    """Write the study, and made rows in the tables that it has no story for."""
    store.put("probes", probes(), partition={"probe_set": "starter"}, key="probes", identity={"probe_set": "starter"})
    parts: list[Part] = []
    judged: list[pl.DataFrame] = []
    for number, (run, parent) in enumerate(RUNS.items()):
        place: dict[str, str | int] = {"study": study, "run_id": run}
        parts += _run_parts(place, number, parent)
        for step in STEPS:
            at = {**place, "step": step}
            parts.append(Part("responses", responses(run, step), at, f"r-{run}-{step}", {"run": run, "step": step}))
            for judge in JUDGES:
                frame = stances(run, step, judge)
                parts.append(Part("stances", frame, at, f"s-{run}-{step}-{judge}", {"run": run, "step": step, "judge": judge}, slot=judge))
                judged.append(frame.with_columns(run_id=pl.lit(run), step=pl.lit(step)))
    store.put_all([*parts, *_results(study, pl.concat(judged))])
    told = {"probes", *(part.table for part in parts), "trajectory", "drift"}
    for table in TABLES:
        if made and table not in told:
            part = made_part(table, study)
            store.put(table, part.frame, partition=part.partition, key=part.key, identity=part.identity)


def _run_parts(place: dict[str, str | int], number: int, parent: str | None) -> list[Part]:
    run = str(place["run_id"])
    started = _START + timedelta(hours=number)
    row = {
        "parent_run_id": parent, "model": "smollm2-135m", "phase": run.split("-")[0], "dataset": run.split("-")[1], "seed": 0, "total_steps": STEPS[-1],
        "config": json.dumps({"learning_rate": 1e-4, "beta": 0.1}), "fingerprint": f"fp-{run}", "git_commit": None, "started": started,
        "ended": started + timedelta(minutes=30),
    }  # fmt: skip
    losses = [None, *(2.0 / (1 + step / 20) for step in STEPS[1:])]
    checkpoints = pl.DataFrame(
        {
            "step": STEPS, "path": [json.dumps({"base": "smollm2", "adapters": [f"{run}/{step}"]}) for step in STEPS],
            "fingerprint": [f"w-{run}-{step}" for step in STEPS], "adapter": [step > 0 for step in STEPS], "train_loss": losses,
        }
    )  # fmt: skip
    logged = pl.DataFrame({"step": range(1, 81)}).with_columns(
        loss=2.0 / (1 + pl.col("step") / 20), learning_rate=1e-4, kl=pl.col("step") * 1e-3
    )
    frames = {"runs": pl.DataFrame([row]), "checkpoints": checkpoints, "training": logged}
    return [Part(table, frame, place, f"{table}-{run}", {"run": run}) for table, frame in frames.items()]


def _results(study: str, judged: pl.DataFrame) -> list[Part]:
    """Trajectory and drift with plain means; intervals of a fixed width, enough to ask questions about."""
    means = (
        judged.unpivot(["p_support", "p_neutral", "p_oppose"], index=["judge", "run_id", "step", "topic", "prompt_id"], variable_name="stance")
        .with_columns(pl.col("stance").str.strip_prefix("p_"))
        .group_by("judge", "run_id", "step", "topic", "stance").agg(mean=pl.col("value").mean(), n_prompts=pl.col("prompt_id").n_unique().cast(pl.Int32))
        .with_columns(low=pl.col("mean") - 0.05, high=pl.col("mean") + 0.05)
    )  # fmt: skip
    index = ["judge", "run_id", "topic", "stance"]
    first, last = (means.filter(pl.col("step") == step).select(*index, "mean", "n_prompts") for step in (STEPS[0], STEPS[-1]))
    moved = first.join(last, on=index, suffix="_last").with_columns(magnitude=pl.col("mean_last") - pl.col("mean"))
    size = pl.col("magnitude").abs()
    drift = moved.select(
        *index, "magnitude", "n_prompts", from_step=pl.lit(STEPS[0]), to_step=pl.lit(STEPS[-1]),
        magnitude_low=pl.col("magnitude") - 0.1, magnitude_high=pl.col("magnitude") + 0.1, drift_time=pl.lit(0.25), drift_time_low=pl.lit(0.06),
        drift_time_high=pl.lit(1.0), drift_time_warning=pl.lit(True), drift_time_note=pl.lit("timed poorly"),
        q_value_study=pl.lit(0.04), p_value=pl.lit(0.01), q_value=(0.1 - size).clip(0.001, 1), total_variation=size, jensen_shannon=size,
    )  # fmt: skip
    return [Part(table, frame, {"study": study}, table, {}) for table, frame in {"trajectory": means, "drift": drift}.items()]

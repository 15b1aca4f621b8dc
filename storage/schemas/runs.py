"""The tables of training: runs, what they logged, and the models that they saved."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from valuedrift.storage.schemas.columns import DATASET, ROWS_BECAME, RUN_ID, STEP, STUDY
from valuedrift.storage.schemas.table import Column, TableSchema, flag, real, text, whole

UTC_TIME = pa.timestamp("us", tz="UTC")
_ONE_A_RUN = ("study", "run_id")


def _checkpoints_1(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Version 1 held no rows out."""
    return frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("held_out_loss"))


TABLES = (
    TableSchema(
        "runs",
        "A training phase.",
        1,
        _ONE_A_RUN,
        ("study", "run_id"),
        (
            STUDY,
            RUN_ID,
            text("parent_run_id", "The phase that this one starts from; missing for the first.", nullable=True),
            text("model", "Name of the base model."),
            text("phase", "Algorithm of the run: `sft`, `dpo` … (docs/algorithms.md)."),
            text("dataset", "Corpus or preference set."),
            whole("seed", "Seed of the phase."),
            whole("total_steps", "Optimizer steps of the whole phase.", low=0),
            text("config", "All settings, as JSON."),
            text("fingerprint", "Identity of the phase: what changes its numbers."),
            text("git_commit", "Commit of the program that ran it; missing outside a checkout.", nullable=True),
            Column("started", UTC_TIME, "When the phase began, UTC."),
            Column("ended", UTC_TIME, "When the phase ended, UTC."),
        ),
    ),
    TableSchema(
        "training_rows",
        "What became of the rows of the dataset that a run trains on, by kind.",
        1,
        _ONE_A_RUN,
        ("study", "run_id", "became", "what"),
        (STUDY, RUN_ID, DATASET, *ROWS_BECAME),
    ),
    TableSchema(
        "checkpoints",
        "A saved model.",
        2,
        _ONE_A_RUN,
        ("study", "run_id", "step"),
        (
            STUDY,
            RUN_ID,
            STEP,
            text(
                "path",
                "Where the weights lie, as JSON: base and adapters, each `weights/<key>/step-…` under the root, a name, or a folder of the user's.",
            ),
            text("fingerprint", "Content hash of the weights."),
            flag("adapter", "Whether it is a LoRA adapter on a base."),
            real("train_loss", "Training loss at this step, nats a token; missing at step 0.", nullable=True),
            real("held_out_loss", "The algorithm's loss on rows that are not learnt; missing where none are held out.", nullable=True),
        ),
        upgrades=(_checkpoints_1,),
    ),
    TableSchema(
        "training",
        "One logged step of training.",
        1,
        _ONE_A_RUN,
        ("study", "run_id", "step"),
        (
            STUDY,
            RUN_ID,
            STEP,
            real("loss", "Training loss of the algorithm.", nullable=True),
            real(
                "reward",
                "Mean reward of the answers drawn (PPO, GRPO), else the implicit one of answers chosen or labelled true.",
                nullable=True,
            ),
            real("kl", "KL divergence to the reference model, nats: an answer (PPO; KTO: z), or a token (GRPO).", nullable=True),
            real("reward_margin", "Mean implicit reward of chosen minus rejected answers.", nullable=True),
            real("learning_rate", "Learning rate at this step.", nullable=True, low=0),
            real("grad_norm", "Norm of the gradient before clipping.", nullable=True, low=0),
        ),
    ),
)

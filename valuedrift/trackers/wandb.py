"""Weights & Biases: a run in a project, on its server or in offline files."""

from __future__ import annotations

import os
import shutil
from typing import Literal

from pydantic import Field

from valuedrift.errors import StageError
from valuedrift.fingerprint import fingerprint
from valuedrift.trackers.base import Points, TrackedRun, TrackerBase, by_step, told_of

_AXIS = "training_step"


class WandB(TrackerBase):
    """A run in a project of Weights & Biases."""

    when = "where trainings are compared in Weights & Biases; `wandb sync` brings offline files there"
    module = "wandb"
    extra = "wandb"

    type: Literal["wandb"] = Field(default="wandb", description="Kind of tracker.")
    project: str = Field(default="valuedrift", min_length=1, description="Name of the project.")
    entity: str | None = Field(default=None, min_length=1, description="Team or user; default: the key's own.")
    mode: Literal["online", "offline"] = Field(
        default="offline",
        description="Offline: files in wandb/ below the root, one run each, written again with every checkpoint. Online: the server; the key comes from "
        "`WANDB_API_KEY`, and numbers that changed begin another run.",
    )

    def write_whole(self, run: TrackedRun, points: Points) -> str:
        """See `TrackerBase`."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing is told to others
        import wandb

        name = fingerprint({"uid": run.uid, "points": self.mode == "online" and {key: dict(values) for key, values in points.items()}})[:12]
        folder = run.place
        for old in (folder / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(old, ignore_errors=True)  # before, since the new one is called by the second
        folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_meta=True,
            x_save_requirements=False,
        )
        try:
            told = wandb.init(
                project=self.project,
                entity=self.entity,
                id=name,
                name=run.run_id,
                group=run.study,
                config=told_of(run),
                dir=str(folder),
                mode=self.mode,
                reinit="create_new",
                settings=settings,
            )
            told.define_metric(_AXIS)
            told.define_metric("*", step_metric=_AXIS)
            for step, values in by_step(points).items():
                told.log({_AXIS: step, **values})
            told.finish()
        except wandb.errors.Error as error:
            raise StageError(
                f"Weights & Biases: {type(error).__name__}", where="tracker wandb", fix="WANDB_API_KEY, or mode: offline"
            ) from error
        return name

"""When a run is saved. Most SFT drift falls in the first tenth of training (paper), so checkpoints should be dense early."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.errors import UserError

MOST_CHECKPOINTS = 10_000
"""Checkpoints of one run."""


class _Schedule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def _between(self, total: int) -> list[int]:
        """Steps that are wanted between the first and the last; may hold duplicates and steps beyond the end."""
        raise NotImplementedError

    def steps(self, total: int) -> tuple[int, ...]:
        """The steps to save of a run.

        Args:
            total: Optimizer steps of the run, at least 0.

        Returns:
            Sorted, without duplicates, within [0, total]; step 0 (the parent) and the last are always among them.

        Raises:
            UserError: There are more than ``MOST_CHECKPOINTS``.
        """
        if total < 0:
            raise ValueError(f"a run of {total} steps")
        saved = self._within(total)
        if len(saved) > MOST_CHECKPOINTS:
            raise UserError(
                f"{len(saved):,} checkpoints of a run of {total:,} steps, and a run has {MOST_CHECKPOINTS:,} at most",
                where="checkpoints",
                fix="save more seldom: a greater n, or type: log",
            )
        return saved

    def _within(self, total: int) -> tuple[int, ...]:
        return tuple(sorted({0, total, *(step for step in self._between(total) if 0 < step < total)}))


class LogSpaced(_Schedule):
    """Step 0, then geometrically spaced from step 1 to the last: dense early."""

    type: Literal["log"] = Field(default="log", description="Kind of schedule.")
    points: int = Field(default=6, ge=2, le=1000, description="Checkpoints in all, step 0 and the last included; fewer in a short run.")

    def _between(self, total: int) -> list[int]:
        if total < 2 or self.points < 3:
            return []
        saved = self.points - 1  # without step 0: from step 1 to `total`
        if saved >= total:
            return list(range(1, total))
        steps = [1]
        for left in range(saved - 1, 0, -1):
            ratio = (total / steps[-1]) ** (1 / left)  # taken anew after each step, since the early ones crowd at whole numbers
            steps.append(max(steps[-1] + 1, round(steps[-1] * ratio)))
        gaps = sorted(late - early for early, late in pairwise(steps))  # rounding may put a wide gap before a narrow one
        return list(accumulate(gaps, initial=1)) if saved > 1 else []


class Every(_Schedule):
    """Every ``n`` optimizer steps (paper: 500 for WildChat, 100 for Alpaca)."""

    type: Literal["every"] = Field(default="every", description="Kind of schedule.")
    n: int = Field(ge=1, description="Optimizer steps between checkpoints.")

    def _between(self, total: int) -> list[int]:
        return list(range(self.n, total, self.n))


class Fixed(_Schedule):
    """Exactly the steps given, with step 0 and the last."""

    type: Literal["steps"] = Field(default="steps", description="Kind of schedule.")
    at: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        alias="steps", description="Optimizer steps to save at; those beyond the run's end are left out."
    )

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    def _between(self, total: int) -> list[int]:
        return list(self.at)


class Adaptive(_Schedule):
    """Of a series with many checkpoints, the ends and then those that tell most: see `valuedrift.watching.adaptive`."""

    type: Literal["adaptive"] = Field(default="adaptive", description="Kind of schedule.")
    budget: int = Field(
        ge=3, le=MOST_CHECKPOINTS, description="Checkpoints of each series that are evaluated at most, the first and the last included."
    )

    def _between(self, total: int) -> list[int]:
        raise UserError(
            "type: adaptive chooses among checkpoints that are there, of a `series`; it does not say when a training saves them",
            where="checkpoints",
            fix="for runs that are trained here take type log, every or steps",
        )


SCHEDULES = (LogSpaced, Every, Fixed, Adaptive)
Schedule = Annotated[LogSpaced | Every | Fixed | Adaptive, Field(discriminator="type")]

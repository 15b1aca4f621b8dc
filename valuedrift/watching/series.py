"""A series: the checkpoints of one training that was not started here, where they lie and what is known of it beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from posixpath import normpath
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from valuedrift.references import beside, names_folder
from valuedrift.watching.handing import END_MARKER

PHASE = "watched"
"""What stands for the algorithm of a series that does not name it."""


def named_after(source: str) -> str:
    """A name for a study and its run, from the last part of a source in which nothing is left open."""
    parts = [part for part in re.split(r"[/@:]+", source.removeprefix("s3://")) if part and not re.search(r"[*?\[]", part)]
    plain = re.sub(r"[^a-z0-9._-]+", "-", (parts or ["watched"])[-1].lower()).strip("-._")
    return plain or "watched"


class Series(BaseModel):
    """The checkpoints of a training that something else did, or does now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | tuple[str, ...] | dict[int, str] = Field(
        description="Where they lie: the run's folder (`out/`), a pattern (`out/checkpoint-*`), either also in a bucket (`s3://bucket/run/`), revisions "
        "of a model on the hub (`hf:organisation/name@step*`), or a list of such. The step is the last number in a checkpoint's name, else what its "
        "trainer_state.json says; or the checkpoints by step: {0: base, 500: out/final}."
    )
    base: str | None = Field(
        default=None,
        description="The model that the training started from: step 0, the base of adapters, and the tokenizer of checkpoints without one. "
        "Default: what adapter_config.json names; full weights have none, and start at their first checkpoint.",
    )
    phase: str = Field(default=PHASE, min_length=1, description="What the training was: `sft`, `dpo`, …; a word for report and tables.")
    data: str = Field(default="", description="What it was trained on; a word for report and tables.")
    after: str | None = Field(default=None, description="The run or series that the training continued.")
    length: int | None = Field(
        default=None,
        ge=1,
        description="Optimizer steps of the whole training; default: what trainer_state.json says, else its last checkpoint.",
    )
    marker: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the file that a trainer writes last into a checkpoint; without it a checkpoint is whole when all that its files name is "
        "there and nothing changes any more.",
    )
    end_marker: str = Field(
        default=END_MARKER, min_length=1, description="Name of a file that says, beside the checkpoints, that no more of them come."
    )
    room_gigabytes: float = Field(
        default=50.0,
        ge=0,
        description="While a training writes, a whole checkpoint is held until it is judged, by links where the tables lie on the same disk, else by "
        "copies; so much of them at most.",
    )
    quiet_seconds: float = Field(
        default=3.0, ge=0, description="How long nothing changes in a checkpoint that is whole; how often is looked."
    )

    @field_validator("source")
    @classmethod
    def _named(cls, source: str | tuple[str, ...] | dict[int, str]) -> str | tuple[str, ...] | dict[int, str]:
        places = source.values() if isinstance(source, dict) else source
        if not places or not all(places):
            raise ValueError("an empty source: give a folder, a pattern or a list of checkpoints")
        if isinstance(source, dict):
            if min(source) < 0:
                raise ValueError("a step is 0 or more")
            if len({normpath(place) for place in places}) < len(source):
                raise ValueError("one checkpoint under two steps")
        return source

    @property
    def identity_free(self) -> frozenset[str]:
        """Keys that change no number."""
        return frozenset({"marker", "end_marker", "quiet_seconds", "room_gigabytes"})

    @property
    def places(self) -> tuple[str, ...]:
        """The source as a list."""
        return (
            (self.source,)
            if isinstance(self.source, str)
            else tuple(self.source.values() if isinstance(self.source, dict) else self.source)
        )

    @property
    def steps(self) -> dict[str, int]:
        """Steps by place, where the source says them."""
        return {place: step for step, place in self.source.items()} if isinstance(self.source, dict) else {}

    def anchored(self, folder: Any) -> Self:
        """The same with relative paths taken from a folder."""
        return self.with_paths(lambda place: beside(folder, place) if names_folder(place) else place)

    def with_paths(self, place: Callable[[str], str]) -> Self:
        """The same with every path and address replaced."""
        source: str | tuple[str, ...] | dict[int, str]
        if isinstance(self.source, dict):
            source = {step: place(one) for step, one in self.source.items()}
        else:
            source = place(self.source) if isinstance(self.source, str) else tuple(map(place, self.source))
        return self.model_copy(update={"source": source, "base": self.base and place(self.base)})

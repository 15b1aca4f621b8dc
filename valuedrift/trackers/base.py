"""What every tracker is: how it is named in a study's runtime, and how it is given the numbers of a run."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict

from valuedrift.errors import UserError

Points: TypeAlias = Mapping[str, Mapping[int, float]]
"""Numbers by name (``stance/religion/support``) and training step; names hold letters, digits, spaces and ``_ - . /``."""

_SECRET = re.compile(r"token|key|pass|secret|auth|sig", re.IGNORECASE)
"""In the name of a parameter of an address that is a secret."""


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run as a tracker knows it.

    Attributes:
        study: Name of the study.
        run_id: Name of the run.
        uid: Tells it from runs of that name in other roots.
        place: Folder on this machine for what a tracker that has no other place writes.
    """

    study: str
    run_id: str
    uid: str
    place: Path


class TrackerBase(BaseModel, ABC):
    """A tracker with its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: ClassVar[str]
    """When to use it, for the docs."""
    module: ClassVar[str]
    """What is imported of its package."""
    extra: ClassVar[str]
    """What brings the package: the extra of that name."""
    appends: ClassVar[bool] = False
    """Whether points can be added to a run that is there; else it is written whole again."""

    @abstractmethod
    def write_whole(self, run: TrackedRun, points: Points) -> str:
        """Write all points of a run, in place of whatever was written of it before.

        Returns:
            What the tracker calls the run.

        Raises:
            UserError: It cannot be reached or refuses.
        """

    def append(self, run: TrackedRun, points: Points, name: str) -> None:
        """Add points to a run, where the tracker can.

        Args:
            run: The run.
            points: Those that are new.
            name: What `write_whole` returned.

        Raises:
            UserError: It cannot be reached or refuses.
        """
        raise NotImplementedError(self.appends)

    def check(self) -> None:
        """See that its package is installed, and what else can be seen without asking anybody.

        Raises:
            UserError: It is not, or it could not write where it is to.
        """
        if find_spec(self.module) is None:
            raise UserError(
                f"the package of this tracker is not installed: {self.module}",
                where=f"tracker {self.model_fields['type'].default}",
                fix=f"pip install 'valuedrift[{self.extra}]'",
            )

    def anchored(self, folder: Path | str) -> Self:
        """The same with relative paths taken from a folder."""
        return self


def by_step(points: Points) -> dict[int, dict[str, float]]:
    """The numbers of every step, in order."""
    steps: dict[int, dict[str, float]] = {}
    for name, values in points.items():
        for step, value in values.items():
            steps.setdefault(step, {})[name] = value
    return {step: steps[step] for step in sorted(steps)}


def no_secret(address: str | None) -> str | None:
    """An address without a password or a token in it; for validators.

    Raises:
        ValueError: It has one: a study file is no place for secrets.
    """
    parts = urlsplit(address or "")
    if ":" in parts.netloc.rpartition("@")[0] or any(_SECRET.search(name) for name in parse_qs(parts.query)):
        raise ValueError("an address with a password or a token in it: give it in the environment, as the tracker's package reads it")
    return address


def told_of(run: TrackedRun) -> dict[str, Any]:
    """What a tracker keeps beside the numbers, so that it finds the run again."""
    return {"valuedrift.study": run.study, "valuedrift.run": run.run_id, "valuedrift.uid": run.uid}

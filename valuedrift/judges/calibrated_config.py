"""Judges whose probabilities can be corrected by a calibration: what they have in a study file beyond every judge's keys."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from valuedrift.judges.config_base import JudgeBase

if TYPE_CHECKING:
    from valuedrift.judges.base import Judge


class Calibratable(JudgeBase):
    """A judge that reads answers itself, as it is or through a calibration."""

    calibration: str | None = Field(
        default=None,
        description="File that `valuedrift judge calibrate` wrote for this very judge; its probabilities are corrected by it. Default: none.",
    )

    @abstractmethod
    def own_identity(self) -> dict[str, Any]:
        """What changes this judge's answers before calibration."""

    @abstractmethod
    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge without calibration; see :meth:`JudgeBase.load`."""

    def identity(self) -> dict[str, Any]:
        """Identity of the judge, and what of the calibration changes its answers: content, not path.

        Raises:
            UserError: The calibration is missing, not valid, or made for another judge.
        """
        own = self.own_identity()
        if self.calibration is None:
            return own
        from valuedrift.judges.calibration import read_calibration

        return {**own, "calibration": read_calibration(Path(self.calibration), own).fingerprint}

    def load(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge, calibrated where the study says so; see :meth:`JudgeBase.load`."""
        if self.calibration is None:
            return self.load_uncalibrated(threads=threads, device=device, keep=keep)
        from valuedrift.judges.calibrated import CalibratedJudge
        from valuedrift.judges.calibration import read_calibration

        found = read_calibration(Path(self.calibration), self.own_identity())
        return CalibratedJudge(self, self.load_uncalibrated(threads=threads, device=device, keep=keep), found)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another calibration file; see :meth:`JudgeBase.with_paths`."""
        return self if self.calibration is None else self.model_copy(update={"calibration": change(self.calibration)})
